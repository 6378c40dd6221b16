"""Fixtures that several rooms share, and the rule that a test leaves the process as it was."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fuzz_budget import tried
from kinds import encode, rgb

if TYPE_CHECKING:
    from aws_front import Aws
    from masters import Master

# Before torch is imported: its threads would spin while they wait for one another, which makes
# tiny networks ten times slower wherever something else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Nothing is kept outside of the clone, and every test starts cold; those of the cache say where.
os.environ["KENNEL_CACHE_DIR"] = "off"


# A shell's background jobs ignore Ctrl-C, and so would every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOMS = ("contract", "classifier", "train", "serve", "control", "debugger")

# pytest's own, and what importing torchvision sets.
SET_BY_OTHERS = frozenset({"PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR"})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much the fuzzers and the tests of the OpenAPI document tried."""
    for name, count in sorted(tried.items()):
        terminalreporter.write_line(f"{name}: {count:,}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells the process that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(tried)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended, with what it told."""
    tried.update(getattr(node, "workeroutput", {}).get("tried", {}))


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG of 320 x 240."""
    return encode(rgb(320, 240), "JPEG", quality=90)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train, validation and test: three classes of small pictures. Do not write."""
    from training import write_pictures

    return write_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="session")
def tiny_bundle(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a real small training run that learned the pictures. Do not write."""
    from training import flags, run_job

    out = tmp_path_factory.mktemp("tiny")
    code, output = run_job(flags(pictures, out, epochs="8"))
    assert code == 0, output
    return out / "model"


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """moto's server, one for all tests of a worker."""
    from aws_front import moto

    with moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def aws(moto_url: str, tmp_path: Path) -> Iterator["Aws"]:
    """An empty AWS account; see tests/aws_front.py."""
    from access import everybody
    from aws_front import aws as front

    home = tmp_path / "home"
    home.mkdir()
    with front(moto_url, home) as running:
        running.script.gate = gate = everybody()
        yield running
        assert running.script.refused == []
        assert gate.refused == [], "control/aws/access lacks what a command calls"


@pytest.fixture
def aws_here(aws: "Aws", monkeypatch: pytest.MonkeyPatch) -> "Aws":
    """The same for what runs in the test's own process: control.cli.main([...])."""
    for name, value in aws.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("KENNEL_POLL_SECONDS", "0.01")
    return aws


@pytest.fixture
def start_master() -> Iterator[Callable[..., "Master"]]:
    """Starts masters of studies, and ends those that are still there after the test."""
    from masters import Master

    masters: list[Master] = []

    def begin(words: list[str], **variables: str) -> Master:
        masters.append(Master(words, **variables))
        return masters[-1]

    yield begin
    for master in masters:
        master.end()


def _loggers() -> dict[str, tuple[int, bool, bool]]:
    """What decides whether a record of one of our rooms is seen: level, disabled, propagate."""
    known = logging.root.manager.loggerDict
    loggers = {
        name: log
        for name, log in known.items()
        if name.split(".")[0] in ROOMS and name != "serve.emf"  # numbers that are asked for
    }
    found = {
        name: (log.level, log.disabled, log.propagate)
        for name, log in {"": logging.root, **loggers}.items()
        if isinstance(log, logging.Logger)
    }
    usual = (logging.NOTSET, False, True)
    found["disable"] = (logging.root.manager.disable, False, True)
    found["handlers"] = (max([0, *(one.level for one in logging.root.handlers)]), False, True)
    return {name: state for name, state in found.items() if name == "" or state != usual}


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    """Fails a test that leaves an environment variable, a folder, a thread or a level behind."""
    environment, folder = dict(os.environ), Path.cwd()
    threads, loggers = set(threading.enumerate()), _loggers()
    yield
    changed = {
        name
        for name in environment.keys() | os.environ.keys()
        if environment.get(name) != os.environ.get(name) and name not in SET_BY_OTHERS
    }
    assert not changed
    assert Path.cwd() == folder
    assert _loggers() == loggers
    left = [thread for thread in threading.enumerate() if thread not in threads]
    assert [thread.name for thread in left if thread.is_alive() and not thread.daemon] == []
