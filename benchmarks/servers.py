"""Servers: who is compared, each started as its own guide says, with the same weights."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.layout import (
    INDEX_NAME,
    LABELS_NAME,
    MODEL,
    PEER_SCRIPT,
    PEER_WEIGHTS,
    cpu_only,
)
from benchmarks.process import Process, free_ports

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).parent / "peers"
BENCH_BIN = ROOT / ".venv-bench" / "bin"
PACK_SECONDS = 120
BOUNDARY = "kennel-benchmark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One row of the table, and how to start it on `ports` in `folder`."""

    name: str
    title: str
    command: Callable[[Path, list[int]], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    path: str = "/invocations"
    ready: str = "/ping"
    form: str = "raw"  # how a picture is sent: raw, form (multipart) or json (base64)
    num_ports: int = 1
    is_ours: bool = False

    def start(self, folder: Path, model: Path) -> "Started":
        """Start it. `model`: what benchmarks.model wrote."""
        ports = free_ports(self.num_ports)
        environment = {
            **cpu_only(),
            "BENCH_WEIGHTS": str(model / PEER_WEIGHTS),
            "BENCH_LABELS": str(model / LABELS_NAME),
            "BENCH_PORT": str(ports[0]),
            "TMPDIR": str(folder),  # TorchServe notes there that it runs, and refuses a second one
            **self.environment,
        }
        if not self.is_ours:
            environment["PATH"] = f"{BENCH_BIN}{os.pathsep}{os.environ['PATH']}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        process = Process(self.title, self.command(folder, ports), environment, folder)
        return Started(server=self, process=process, port=ports[0])

    def request(self, picture: bytes) -> bytes:
        """The bytes that a client sends for one picture."""
        if self.form == "form":
            head = (
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '
                'filename="picture.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
            )
            body = head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
            kind = f"multipart/form-data; boundary={BOUNDARY}"
        elif self.form == "json":
            body = json.dumps({"image_data": base64.b64encode(picture).decode()}).encode()
            kind = "application/json"
        else:
            body, kind = picture, "image/jpeg"
        return http_request("POST", self.path, body, kind)


@dataclass(slots=True, kw_only=True)
class Started:
    """A server that runs."""

    server: Server
    process: Process
    port: int
    ready_seconds: float = 0.0

    def wait_ready(self, picture: bytes) -> None:
        """Until it answers its health check and then a picture."""
        self.process.wait_ready(self.port, http_request("GET", self.server.ready))
        request = self.server.request(picture)
        self.ready_seconds = self.process.wait_ready(self.port, request)


def http_request(method: str, path: str, body: bytes = b"", kind: str = "text/plain") -> bytes:
    """One HTTP/1.1 request."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def top_label(body: bytes) -> str:
    """The first label of an answer in any of the forms that these servers have."""
    answer = json.loads(body)
    if "predictions" in answer:
        return str(answer["predictions"][0]["label"])
    return str(answer["label"]) if "label" in answer else str(next(iter(answer)))


def our_server(model: Path, variant: str = "auto") -> Server:
    """The real server on the bundle, with no other setting than the one that pins a variant."""

    def command(_folder: Path, ports: list[int]) -> list[str]:
        bundle = ["--bundle", str(model / MODEL), "--host", "127.0.0.1"]
        return [sys.executable, "-m", "serve", *bundle, "--port", str(ports[0])]

    pinned = {} if variant == "auto" else {"KENNEL_VARIANT": variant}
    return Server(
        name="kennel" if variant == "auto" else f"kennel-{variant}",
        title="Kennel" if variant == "auto" else f"Kennel, {variant} pinned",
        command=command,
        environment={"PYTHONPATH": str(ROOT), **pinned},
        is_ours=True,
    )


def peers(model: Path) -> list[Server]:
    """Everybody else. Their model archives are packed into `model`."""
    eager = pack(model, "eager", "image_classifier")
    script = pack(model, "script", str(PEERS / "torchserve" / "one_thread.py"))
    two_workers = {"PYTHONPATH": str(PEERS / "flask_gunicorn")}
    return [
        torchserve("torchserve", "TorchServe as it comes", eager, "default.properties"),
        torchserve("torchserve-tuned", "TorchServe, tuned", script, "tuned.properties"),
        flask("flask", "Flask + gunicorn, eager torch, 2 workers", two_workers),
        flask(
            "flask-1-thread",
            "the same, OMP_NUM_THREADS=1",
            {**two_workers, "OMP_NUM_THREADS": "1"},
        ),
        Server(
            name="litserve",
            title="LitServe, batches of 8",
            command=lambda _folder, _ports: [
                str(BENCH_BIN / "python"),
                str(PEERS / "litserve" / "server.py"),
            ],
            path="/predict",
            ready="/health",
            form="json",
        ),
        Server(
            name="fastapi",
            title="FastAPI + uvicorn, eager torch",
            command=lambda _folder, ports: [
                *(str(BENCH_BIN / "uvicorn"), "app:app", "--port", str(ports[0])),
                *("--app-dir", str(PEERS / "fastapi_uvicorn")),
            ],
            path="/predict",
            form="form",
        ),
    ]


def flask(name: str, title: str, environment: Mapping[str, str]) -> Server:
    """gunicorn with two sync workers. They are stopped between rounds, hence the time-out."""
    return Server(
        name=name,
        title=title,
        command=lambda _folder, ports: [
            *(str(BENCH_BIN / "gunicorn"), "--workers", "2", "--timeout", "900"),
            *("--bind", f"127.0.0.1:{ports[0]}", "app:app"),
        ],
        environment=environment,
        path="/predict",
        form="form",
    )


def torchserve(name: str, title: str, archive: Path, properties: str) -> Server:
    """`torchserve --start` on one archive, with the settings of peers/torchserve/`properties`."""

    def command(folder: Path, ports: list[int]) -> list[str]:
        settings = (PEERS / "torchserve" / properties).read_text(encoding="ascii")
        for kind, port in zip(("inference", "management", "metrics"), ports[:3], strict=True):
            settings += f"{kind}_address=http://127.0.0.1:{port}\n"
        settings += f"grpc_inference_port={ports[3]}\ngrpc_management_port={ports[4]}\n"
        # Its workers' sockets are named by number, in a folder that all TorchServes share.
        settings += f"initial_worker_port={ports[5]}\n"
        (folder / "config.properties").write_text(settings, encoding="ascii")
        return [
            *(str(BENCH_BIN / "torchserve"), "--start", "--foreground", "--disable-token-auth"),
            *("--model-store", str(archive.parent), "--models", f"resnet50={archive.name}"),
            *("--ts-config", str(folder / "config.properties")),
        ]

    path = "/predictions/resnet50"
    return Server(name=name, title=title, command=command, path=path, num_ports=6)


def pack(model: Path, kind: str, handler: str) -> Path:
    """A .mar with torch-model-archiver: `eager` (weights and a class) or `script` (TorchScript)."""
    store = model / f"store-{kind}"
    archive = store / "resnet50.mar"
    if archive.is_file():
        return archive
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    command = [str(BENCH_BIN / "torch-model-archiver"), "--model-name", "resnet50"]
    command += ["--version", "1.0", "--handler", handler, "--export-path", str(store)]
    command += ["--extra-files", str(model / INDEX_NAME)]
    if kind == "eager":
        command += ["--model-file", str(PEERS / "torchserve" / "network.py")]
    weights = PEER_WEIGHTS if kind == "eager" else PEER_SCRIPT
    command += ["--serialized-file", str(model / weights)]
    subprocess.run(command, check=True, timeout=PACK_SECONDS)
    return archive
