"""For the container tests: the engine, the images, a container that is gone afterwards."""

import functools
import http.client
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from serving import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
TARGETS = ("train", "serve", "serve-cpu")
ENGINE_SECONDS = 1800  # a base image from packages, on a slow mirror
BUILD_SECONDS = 3000  # several GB of wheels
WAIT_SECONDS = 120
# What a hardened platform takes away from a container: network, a writable root, being root.
HARDENED = ("--network=none", "--read-only", "--tmpfs=/tmp", f"--user={os.getuid() or 1000}:1000")


def run(
    *command: str | Path, seconds: float = WAIT_SECONDS, check: bool = True, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output is captured, and shown when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(  # type: ignore[call-overload]
        words, capture_output=True, text=True, timeout=seconds, check=False, **options
    )
    assert not check or done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done  # type: ignore[no-any-return]


@functools.cache
def base_image() -> str:
    """An engine that answers, and the image to build from."""
    script = REPOSITORY / "docker" / "prepare_engine.sh"
    return run(script, "--registry", seconds=ENGINE_SECONDS).stdout.strip()


@functools.cache
def build_images() -> None:
    """`make images`; a minute of the engine's cache when nothing has changed."""
    run("make", "images", f"BASE_IMAGE={base_image()}", cwd=REPOSITORY, seconds=BUILD_SECONDS)


def remove_left(folder: Path) -> None:
    """The containers that have a folder mounted, with their networks: nobody else will."""
    seen = f"--filter=volume={folder}"
    for name in run("docker", "ps", "--all", seen, "--format={{.Names}}").stdout.split():
        networks = inspect(name)["NetworkSettings"]["Networks"]
        run("docker", "rm", "--force", name)
        run("docker", "network", "rm", *networks)


def inspect(name: str) -> dict:
    """What the engine knows about an image or a container."""
    facts: dict = json.loads(run("docker", "inspect", name).stdout)[0]
    return facts


class Container:
    """One that was started with `docker run --detach`."""

    def __init__(self, identity: str, port: int) -> None:
        self.identity, self.port = identity, port

    def log(self) -> str:
        done = run("docker", "logs", self.identity)
        return done.stdout + done.stderr

    def execute(self, *command: str) -> str:
        return run("docker", "exec", self.identity, *command).stdout

    def ask(
        self, path: str, data: bytes | None = None, kind: str = "image/png"
    ) -> tuple[int, bytes]:
        """Status and body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        if data is not None:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def wait_until_ready(self) -> None:
        self.wait_until(lambda: self._pings(), "the server is not ready")

    def wait_until(self, happened: object, complaint: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            if happened():  # type: ignore[operator]
                return
            if not inspect(self.identity)["State"]["Running"]:
                break
            time.sleep(0.02)
        raise AssertionError(f"{complaint}:\n{self.log()}")

    def stop(self, seconds: int = 30) -> int:
        """SIGTERM, after `seconds` SIGKILL; the exit status."""
        run("docker", "stop", f"--time={seconds}", self.identity)
        return self.wait()

    def wait(self) -> int:
        """The exit status, once it has ended."""
        return int(run("docker", "wait", self.identity).stdout)

    def _pings(self) -> bool:
        try:
            return self.ask("/ping")[0] == 200
        except (OSError, http.client.HTTPException):  # it may die in the middle of an answer
            return False


@contextmanager
def network() -> Iterator[str]:
    """A network of the engine's; gone afterwards. A name of its own: a killed test leaves one."""
    name = f"kennel-test-{uuid.uuid4().hex[:12]}"
    run("docker", "network", "create", name)
    try:
        yield name
    finally:
        run("docker", "network", "rm", name, check=False)


@contextmanager
def container(
    image: str, *command: str, options: Sequence[str] = (), published: bool = True
) -> Iterator[Container]:
    """Start one; remove it in the end. Its port 8080 is published on 127.0.0.1."""
    port = free_port()
    publish = (f"--publish=127.0.0.1:{port}:8080",) if published else ()
    started = run("docker", "run", "--detach", *publish, *options, image, *command)
    running = Container(started.stdout.strip(), port)
    try:
        yield running
    finally:
        run("docker", "rm", "--force", "--volumes", running.identity, check=False)


def mount(folder: Path, place: str, mode: str = "rw") -> str:
    """The option of `docker run` that shows a folder inside."""
    return f"--volume={folder}:{place}:{mode}"


def open_to_all(folder: Path) -> Path:
    """Anybody may read and write the folder: containers have other users."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
    return folder
