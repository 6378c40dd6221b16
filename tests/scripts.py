"""For the tests of script mode: jobs with a user's code, run in the train image."""

import json
import tarfile
import textwrap
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from containers import Container, container, mount, network, open_to_all

IMAGE = "kennel-train"
HOSTS = ("algo-1", "algo-2")


def write_code(folder: Path, files: Mapping[str, str]) -> Path:
    """A user's source folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def write_opt_ml(
    base: Path,
    hyperparameters: Mapping[str, str],
    *,
    hosts: Sequence[str] = HOSTS[:1],
    current: str = HOSTS[0],
) -> Path:
    """/opt/ml of one host as the platform lays it out, with one channel."""
    for name in ("input/data/training", "input/config", "model", "output/data", "code"):
        (base / name).mkdir(parents=True)
    configuration = {
        "hyperparameters": dict(hyperparameters),
        "inputdataconfig": {"training": {"TrainingInputMode": "File"}},
        "resourceconfig": {
            "current_host": current,
            "hosts": list(hosts),
            "network_interface_name": "ethwe",  # which the SDK's local mode says and does not have
        },
    }
    for name, value in configuration.items():
        (base / "input" / "config" / f"{name}.json").write_text(json.dumps(value))
    return open_to_all(base)


def pack(code: Path, archive: Path) -> Path:
    """sourcedir.tar.gz as the SDK packs it."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(code.iterdir()):
            tar.add(path, path.name)
    return archive


def write_wheel(folder: Path, name: str, source: str) -> Path:
    """A wheel of one module, made without any tool."""
    information = f"{name}-1.0.dist-info"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", source)
        wheel.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{information}/RECORD", "")
    return path


@dataclass(frozen=True)
class Finished:
    """A job that has ended."""

    code: int
    log: str
    base: Path

    @property
    def words(self) -> str:
        """The log on one line."""
        return " ".join(self.log.split())

    @property
    def is_success(self) -> bool:
        return (self.base / "output" / "success").exists()

    @property
    def failure(self) -> str:
        path = self.base / "output" / "failure"
        return path.read_text() if path.exists() else ""


@contextmanager
def started(base: Path, *options: str) -> Iterator[Container]:
    """The train image on a laid-out job."""
    mounted = (mount(base, "/opt/ml"), *options)
    with container(IMAGE, "train", options=mounted, published=False) as running:
        yield running


def run_script(base: Path, *options: str) -> Finished:
    """To its end, without a network unless `options` name one."""
    with started(base, *(options or ("--network=none",))) as running:
        return Finished(running.wait(), running.log(), base)


def run_files(
    base: Path, program: str, files: Mapping[str, str], *options: str, **hyperparameters: str
) -> Finished:
    """A job whose code lies in /opt/ml/code."""
    write_opt_ml(base, {"sagemaker_program": json.dumps(program), **hyperparameters})
    write_code(base / "code", files)
    return run_script(base, *options)


@contextmanager
def two_hosts(
    folder: Path, files: Mapping[str, str], order: Sequence[str] = HOSTS, **hyperparameters: str
) -> Iterator[dict[str, Container]]:
    """algo-1 and algo-2 on one network, each with an /opt/ml of its own.

    The second one starts when the first one says that it waits for it.
    """
    first, second = order
    sent = {"sagemaker_program": "mine.py", **hyperparameters}
    bases = {host: write_opt_ml(folder / host, sent, hosts=HOSTS, current=host) for host in order}
    for base in bases.values():
        write_code(base / "code", files)
    with network() as lan, ExitStack() as stack:

        def start(host: str) -> Container:
            options = (f"--network={lan}", f"--network-alias={host}", "--memory=3g")
            return stack.enter_context(started(bases[host], *options))

        running = {first: start(first)}
        line = f"waiting for the address of host {second}"
        running[first].wait_until(lambda: line in running[first].log(), "it does not wait")
        running[second] = start(second)
        yield running
