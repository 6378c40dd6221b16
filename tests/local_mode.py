"""For the tests with the SageMaker SDKs: each in its own interpreter, and what it leaves behind.

The SDKs' pins clash with ours, so tests/sdk/NAME.py runs in .venv-NAME and is told what to do.
"""

import json
import os
import select
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from shutil import copyfile
from typing import Any

from containers import REPOSITORY, run
from outside import outside
from serving import free_port

from contract.metrics import read_metrics

DRIVERS = REPOSITORY / "tests" / "sdk"
ANSWER_SECONDS = 300  # one job or endpoint on a busy machine
PREPARE_SECONDS = 1800  # packages, on a slow mirror
NETWORK = "sagemaker-local"  # the SDKs' own name
COMPOSE = "com.docker.compose."  # labels
NO_TELEMETRY = "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"


@dataclass(frozen=True, kw_only=True)
class Host:
    """A container of a job, after its end."""

    name: str
    exit_code: int
    log: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """What came of a training job: the SDK's error, or none; and everything below its folder."""

    root: Path
    artifact: str = ""
    error: str = ""

    def hosts(self) -> list[Host]:
        """Every container, by name of the host. The SDKs look at the first that ended only."""
        return sorted(hosts_below(self.root), key=lambda host: host.name)

    def unpack(self, archive: str) -> Path:
        """A folder with what is in model.tar.gz or output.tar.gz, wherever the SDK put it."""
        (path,) = self.root.rglob(archive)
        folder = self.root / f"unpacked-{archive}"
        with tarfile.open(path) as tar:
            # Python 3.11 before 3.11.4 has no filters; later ones want one.
            tar.extractall(
                folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
            )
        return folder

    def manifest(self) -> dict[str, Any]:
        """Of the bundle in model.tar.gz."""
        facts: dict[str, Any] = json.loads(
            (self.unpack("model.tar.gz") / "bundle.json").read_text()
        )
        return facts

    def config(self) -> dict[str, Any]:
        """The hyperparameters and channels that training took."""
        path = self.unpack("output.tar.gz") / "data" / "config.json"
        facts: dict[str, Any] = json.loads(path.read_text())
        return facts

    def failure(self) -> str:
        """The reason that training left."""
        return (self.unpack("output.tar.gz") / "failure").read_text()

    def log(self) -> str:
        """What all hosts said."""
        return "".join(host.log for host in self.hosts())


@dataclass(kw_only=True)
class Sdk:
    """An SDK at work; jobs and endpoints get a folder each."""

    process: subprocess.Popen[bytes]
    answers: int  # file descriptor
    folder: Path
    log_file: Path
    numbers: Iterator[int] = field(default_factory=count)

    def fit(self, pictures: Path, *channels: str, hosts: int = 1, **more: Any) -> Job:
        """Train on folders of `pictures`; `more` goes to the estimator."""
        root = self._root()
        places = {name: str(pictures / name) for name in channels}
        answer = self._ask(
            verb="fit", root=str(root), image="kennel-train", hosts=hosts, channels=places, **more
        )
        return Job(root=root, **answer)

    def predict(self, image: str, job: Job, requests: list[tuple[Path, str]]) -> list[Any]:
        """The endpoint's answers to files of a content type: body and HTTP status."""
        sent = [(str(path), content_type) for path, content_type in requests]
        answers: list[Any] = self._serve("predict", image, job, requests=sent)
        return answers

    def transform(self, image: str, job: Job, folder: Path, strategy: str | None) -> dict[str, Any]:
        """The batch transform's answer to every file of a folder."""
        place = self._serve("transform", image, job, folder=str(folder), strategy=strategy)
        results = Path(place.removeprefix("file://")).rglob("*.out")
        return {path.stem: json.loads(path.read_text()) for path in results}

    def _serve(self, verb: str, image: str, job: Job, **wishes: Any) -> Any:
        root = self._root()
        artifact = root / "model" / "model.tar.gz"  # the SDK unpacks it beside itself and mounts
        artifact.parent.mkdir()
        copyfile(job.artifact.removeprefix("file://"), artifact)
        return self._ask(
            verb=verb,
            root=str(root),
            image=image,
            artifact=f"file://{artifact}",
            port=free_port(),
            **wishes,
        )

    def _root(self) -> Path:
        root = self.folder / f"job-{next(self.numbers)}"
        root.mkdir()
        return root

    def _ask(self, **wishes: Any) -> Any:
        assert self.process.stdin
        assert self.process.poll() is None, f"the SDK ended early; see {self.log_file}"
        self.process.stdin.write(json.dumps(wishes).encode() + b"\n")
        self.process.stdin.flush()
        answer = b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self.answers], [], [], ANSWER_SECONDS)
            more = os.read(self.answers, 1 << 16) if ready else b""
            if not more:  # it died, or takes too long and must not answer the next wish
                _end(self.process, patience_seconds=1)
                raise AssertionError(
                    f"no answer to {wishes['verb']}:\n{self.log_file.read_text()[-5000:]}"
                )
            answer += more
        return json.loads(answer)


@contextmanager
def sdk(name: str, folder: Path) -> Iterator[Sdk]:
    """Start tests/sdk/NAME.py. At the end its containers are gone, and nothing called out."""
    python = REPOSITORY / f".venv-{name}" / "bin" / "python"
    assert python.exists(), f"{python} is missing; `make test-containers` installs it"
    run(REPOSITORY / "docker" / "prepare_engine.sh", "--local-mode", seconds=PREPARE_SECONDS)
    log_file, (answers, theirs) = folder / "log", os.pipe()
    with engine_left_as_it_was(folder), outside() as calls, log_file.open("wb") as log:
        process = subprocess.Popen(
            [python, DRIVERS / f"{name}.py", str(theirs)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=_without_account(folder, calls.url),
            cwd=folder,
            pass_fds=[theirs],
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield Sdk(process=process, answers=answers, folder=folder, log_file=log_file)
        finally:
            os.close(answers)
            _end(process)
        assert calls.seen == []


def _without_account(folder: Path, url: str) -> dict[str, str]:
    """The environment of somebody who has no AWS account; what calls out all the same is seen."""
    opt_out = folder / "no-telemetry.yaml"
    opt_out.write_text(NO_TELEMETRY)
    names = {name.upper(): name for name in os.environ}
    ours = {names[name] for name in names if name.startswith("AWS_") or name.endswith("_PROXY")}
    return {
        **{name: value for name, value in os.environ.items() if name not in ours},
        "HTTP_PROXY": url,
        "HTTPS_PROXY": url,
        "NO_PROXY": "127.0.0.1,localhost",
        "AWS_ENDPOINT_URL": url,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(opt_out),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(opt_out),
        "TMPDIR": str(folder),
        "PYTHONUNBUFFERED": "1",
    }


def _end(process: subprocess.Popen[bytes], patience_seconds: float = 10) -> None:
    """Let it end by itself; then end it and whatever it started."""
    assert process.stdin
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience_seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


@contextmanager
def engine_left_as_it_was(folder: Path) -> Iterator[None]:
    """Remove what compose started below `folder`, and the SDKs' network unless it was there."""
    had_network = NETWORK in _networks()
    try:
        yield
    finally:
        if found := [facts["Id"] for facts in _containers_below(folder)]:
            run("docker", "rm", "--force", "--volumes", *found)
        if not had_network and NETWORK in _networks():
            run("docker", "network", "rm", NETWORK)


def hosts_below(folder: Path) -> Iterator[Host]:
    """The containers that compose started for jobs below a folder."""
    for facts in _containers_below(folder):
        done = run("docker", "logs", facts["Id"])
        yield Host(
            name=facts["Config"]["Labels"][f"{COMPOSE}service"],
            exit_code=facts["State"]["ExitCode"],
            log=done.stdout + done.stderr,
        )


def _containers_below(folder: Path) -> list[dict[str, Any]]:
    label = f"{COMPOSE}project.working_dir"
    listed = run("docker", "ps", "--all", "--quiet", f"--filter=label={label}").stdout.split()
    known = json.loads(run("docker", "inspect", *listed).stdout) if listed else []
    return [
        facts
        for facts in known
        if Path(facts["Config"]["Labels"][label]).is_relative_to(folder.resolve())
    ]


def examples(pictures: Path) -> list[tuple[Path, str]]:
    """Every picture of the test channel with its content type."""
    kinds = {".jpg": "image/jpeg", ".png": "image/png"}
    return [(path, kinds[path.suffix]) for path in sorted((pictures / "test").glob("*/*"))]


def accuracy(bodies: list[dict[str, Any]], pictures: Path) -> float:
    """The share of `examples` that the answers are right about."""
    labels = [path.parent.name for path, _ in examples(pictures)]
    told = [body["predictions"][0]["label"] for body in bodies]
    right = [label == answer for label, answer in zip(labels, told, strict=True)]
    return sum(right) / len(right)


def metrics_in(log: str) -> dict[str, float]:
    """The last value of every metric that SageMaker's regexes find."""
    found: dict[str, float] = {}
    for line in log.splitlines():
        found |= read_metrics(line)
    return found


def _networks() -> list[str]:
    return run("docker", "network", "ls", "--format={{.Name}}").stdout.split()
