"""Multi-model endpoints in the serving images: hardened, short of memory, and as AWS tests them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from containers import (
    HARDENED,
    WAIT_SECONDS,
    Container,
    build_images,
    container,
    mount,
    open_to_all,
)
from multi_model import write_program
from random_bundles import random_bundle
from serving import colour_bundle, free_port, picture

pytestmark = pytest.mark.container

MULTI = "--env=SAGEMAKER_MULTI_MODEL=true"
SERVING = ("serve", "serve-cpu")
ROOT = Path(__file__).resolve().parents[1]
MEMORY_MB = 512
MOST_MODELS = 40
# Inside a container without network, somebody in it must ask.
ASK = """
import json, sys, urllib.error, urllib.request
for method, path, body in json.loads(sys.argv[1]):
    data = body.encode("latin-1") if body else None
    request = urllib.request.Request("http://127.0.0.1:8080" + path, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            print(json.dumps([reply.status, json.load(reply)]))
    except urllib.error.HTTPError as error:
        print(json.dumps([error.code, json.load(error)]))
"""

# The first process is gunicorn's main one; its child is who holds the models.
KILL_WORKER = """
import os, signal
(worker,) = open("/proc/1/task/1/children").read().split()
os.kill(int(worker), signal.SIGKILL)
"""


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    build_images()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/opt/ml/models: a bundle and a program, each in the folder of its hash."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(colour_bundle(), folder / "1f" / "model")
    write_program(folder / "2e" / "model")
    return open_to_all(folder)


def call(running: Container, method: str, path: str, body: bytes | None = None) -> tuple[int, dict]:
    """Status and JSON; every body of these routes must be JSON."""
    url = f"http://127.0.0.1:{running.port}{path}"
    request = urllib.request.Request(url, body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def load(running: Container, name: str, url: str) -> tuple[int, dict]:
    body = json.dumps({"model_name": name, "url": url}).encode()
    return call(running, "POST", "/models", body)


@pytest.mark.parametrize("target", SERVING)
def test_every_route_works_hardened_on_a_read_only_mount(target, models):
    picture_text = picture("green").decode("latin-1")
    asked = [
        ("GET", "/ping", ""),
        ("GET", "/models", ""),
        ("POST", "/models", '{"model_name": "1f", "url": "/opt/ml/models/1f/model"}'),
        ("POST", "/models", '{"model_name": "2e", "url": "/opt/ml/models/2e/model"}'),
        ("GET", "/models?limit=1", ""),
        ("POST", "/models/1f/invoke", picture_text),
        ("POST", "/models/2e/invoke", "x"),
        ("DELETE", "/models/1f", ""),
        ("DELETE", "/models/2e", ""),
        ("GET", "/models/1f", ""),
        ("GET", "/execution-parameters", ""),
    ]
    options = (*HARDENED, MULTI, mount(models, "/opt/ml/models", "ro"))
    with container(f"kennel-{target}", "serve", options=options, published=False) as running:
        running.wait_until(lambda: "Booting worker" in running.log(), "the server does not start")
        lines = running.execute("python", "-c", ASK, json.dumps(asked)).splitlines()
        replies = [json.loads(line) for line in lines]
        assert running.stop() == 0
    statuses = [status for status, _ in replies]
    assert statuses == [200] * 9 + [404, 200], replies
    assert replies[1][1] == {"models": []}
    assert replies[4][1]["models"] == [{"modelName": "1f", "modelUrl": "/opt/ml/models/1f/model"}]
    assert replies[5][1]["predictions"][0]["label"] == "green"
    assert replies[6][1] == ["model", "model helper", "model late_helper"]


def test_a_full_container_answers_507_and_goes_on_with_what_it_has(models):
    """The container's own memory limit is the budget, and nothing is killed for it."""
    options = (f"--memory={MEMORY_MB}m", MULTI, mount(models, "/opt/ml/models", "ro"))
    with container("kennel-serve-cpu", "serve", options=options) as running:
        running.wait_until_ready()
        statuses = []
        while len(statuses) < MOST_MODELS and 507 not in statuses:
            number = len(statuses)
            statuses.append(load(running, f"m{number}", "/opt/ml/models/2e/model")[0])
        assert statuses[-1] == 507
        loaded = len(statuses) - 1
        assert statuses[:loaded] == [200] * loaded
        assert loaded >= 1
        for number in range(loaded):
            assert call(running, "POST", f"/models/m{number}/invoke", b"x")[0] == 200
        # As the platform does: unload what is not needed until there is room.
        while load(running, "next", "/opt/ml/models/2e/model")[0] == 507:
            loaded -= 1
            assert call(running, "DELETE", f"/models/m{loaded}")[0] == 200
        assert running.ask("/ping")[0] == 200
        assert running.stop() == 0


@pytest.fixture(scope="module")
def torchscript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as AWS's tests mount it: TorchScript, the archive of it, and code/inference.py."""
    import torch

    folder = tmp_path_factory.mktemp("torchscript")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval()
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 8, 8)), folder / "traced.pt")
    (folder / "traced.tar.gz").write_bytes(b"what traced.pt was unpacked from")
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(
        "import io, json\n"
        "import torchvision.transforms as transforms\n"
        "from PIL import Image\n"
        "def transform_fn(model, payload, content_type, accept):\n"
        "    if content_type != 'application/octet-stream': raise RuntimeError(content_type)\n"
        "    steps = transforms.Compose([transforms.Resize((8, 8)), transforms.ToTensor()])\n"
        "    rows = model(steps(Image.open(io.BytesIO(payload))).unsqueeze(0))\n"
        "    return json.dumps(rows[0].tolist()), 'application/json'\n"
    )
    return open_to_all(folder)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # torch.jit, still what AWS's server takes
def test_the_steps_of_awss_own_multi_model_tests(torchscript):
    options = (MULTI, mount(torchscript, "/first"), mount(torchscript, "/second"))
    with container("kennel-serve", "serve", options=options) as running:
        running.wait_until_ready()
        assert call(running, "GET", "/models") == (200, {"models": []})
        for name in ("first", "second"):
            code, content = load(running, name, f"/{name}")
            assert (code, content["status"]) == (
                200,
                f'Model "{name}" Version: 1.0 registered with 1 initial workers',
            )
        entries = [{"modelName": name, "modelUrl": f"/{name}"} for name in ("first", "second")]
        assert call(running, "GET", "/models")[1]["models"] == entries
        unloaded = call(running, "DELETE", "/models/first")
        assert unloaded == (200, {"status": 'Model "first" unregistered'})
        assert call(running, "GET", "/models")[1]["models"] == entries[1:]
        assert load(running, "banana", "/banana")[0] == 404
        assert call(running, "DELETE", "/models/first")[0] == 404
        assert load(running, "second", "second")[0] == 409
        assert load(running, "first", "/first")[0] == 200
        for name in ("first", "second"):
            path = f"/models/{name}/invoke"
            status, body = running.ask(path, picture(), "application/octet-stream")
            assert (status, len(json.loads(body))) == (200, 10)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classic pair, and an archive."""
    folder = tmp_path_factory.mktemp("zoo")
    shutil.copytree(random_bundle("resnet50"), folder / "resnet50")
    shutil.copytree(random_bundle("mobilenet_v3_large"), folder / "run" / "model")
    with tarfile.open(folder / "colours.tar.gz", "w:gz") as tar:
        tar.add(colour_bundle(), ".")
    return open_to_all(folder)


def target(port: int, name: str) -> str:
    """The label that the target model answers."""
    headers = {"X-Amzn-SageMaker-Target-Model": name, "Content-Type": "image/png"}
    url = f"http://127.0.0.1:{port}/invocations"
    request = urllib.request.Request(url, picture("green"), headers)
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:
        return str(json.load(reply)["predictions"][0]["label"])


def test_target_models_are_served_hardened_and_unloaded_for_one_another(zoo):
    """A resnet50 counts 240 MiB and a mobilenet 70: one of the two fits at a time."""
    options = (
        *HARDENED[1:],
        "--env=KENNEL_MODELS_MEMORY=300",
        MULTI,
        "--env=KENNEL_MODELS_DIR=/models",
        mount(zoo, "/models", "ro"),
    )
    with container("kennel-serve-cpu", "serve", options=options) as running:
        running.wait_until_ready()
        for _ in range(2):
            assert target(running.port, "resnet50").startswith("resnet50-")
            assert target(running.port, "run").startswith("mobilenet_v3_large-")
            assert target(running.port, "colours.tar.gz") == "green"
        assert "making room" in running.log()
        assert "SIGKILL" not in running.log()
        assert running.stop() == 0


def test_kennel_serve_multi_on_container_offers_each_model_by_its_name(zoo, tmp_path):
    port = free_port()
    words = ("serve", "--multi", str(zoo), "--on", "container", "--port", str(port))
    process = subprocess.Popen(
        [sys.executable, "-m", "control", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process.stdout:
        assert any(
            line.startswith(f"next: curl http://127.0.0.1:{port}") for line in process.stdout
        )
        assert target(port, "resnet50").startswith("resnet50-")
        assert target(port, "colours.tar.gz") == "green"
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.wait(WAIT_SECONDS) == 0


def test_a_killed_process_comes_back_with_its_models(models):
    options = (MULTI, mount(models, "/opt/ml/models", "ro"))
    with container("kennel-serve-cpu", "serve", options=options) as running:
        running.wait_until_ready()
        for name in ("1f", "2e"):
            assert load(running, name, f"/opt/ml/models/{name}/model")[0] == 200
        running.execute("python", "-c", KILL_WORKER)
        entries = call(running, "GET", "/models")[1]["models"]
        assert [entry["modelName"] for entry in entries] == ["1f", "2e"]
        assert call(running, "POST", "/models/2e/invoke", b"x")[0] == 200
        assert running.ask("/models/1f/invoke", picture())[0] == 200
        assert running.stop() == 0
