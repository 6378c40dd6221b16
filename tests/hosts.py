"""For the tests of jobs on several hosts: their containers' processes, all on this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving import free_port
from training import REPOSITORY, TINY, WAIT_SECONDS

from contract.aliases import is_reserved
from contract.opt_ml import write_job

# Names that resolve everywhere. Sorted, so the first one leads.
HOSTS = ("127.0.0.1", "127.0.0.2", "localhost")


@dataclass(kw_only=True)
class Host:
    """One host's /opt/ml and its process."""

    base: Path
    process: "subprocess.Popen[str]"
    output: str = ""

    def wait(self, seconds: float = WAIT_SECONDS) -> int:
        """The exit code; `output` holds stdout and stderr then."""
        self.output += self.process.communicate(timeout=seconds)[0]
        return self.process.returncode

    def wait_for(self, words: str, seconds: float = WAIT_SECONDS) -> None:
        """Read on until a line has these words."""
        deadline = time.monotonic() + seconds
        assert self.process.stdout is not None
        while words not in self.output:
            line = self.process.stdout.readline()
            self.output += line
            assert line, self.output
            assert time.monotonic() < deadline, self.output

    @property
    def model(self) -> Path:
        """Where the bundle would be."""
        return self.base / "model"

    @property
    def reason(self) -> str:
        """The one line of the failure file."""
        return (self.base / "output" / "failure").read_text()


def lay_out_hosts(
    folder: Path, channels: Sequence[Mapping[str, Path]], **changes: str
) -> list[Path]:
    """One /opt/ml a host, `channels` by host. `changes` are hyperparameters."""
    given = {**TINY, **{_name_of(key): text for key, text in changes.items()}}
    hosts = HOSTS[: len(channels)]
    bases = []
    for host, own in zip(hosts, channels, strict=True):
        bases.append(folder / host)
        write_job(bases[-1], given, own, hosts=hosts, current_host=host)
    return bases


def _name_of(key: str) -> str:
    """Reserved names keep their underscore."""
    return key if is_reserved(key) else key.replace("_", "-")


@contextmanager
def running(
    bases: Sequence[Path],
    environment: Mapping[str, str] | None = None,
    delays: Sequence[float] = (),
) -> Iterator[list[Host]]:
    """The processes of all hosts, started one after the other; killed in the end."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("SAGEMAKER")}
    clean |= {"PYTHONPATH": str(REPOSITORY), "KENNEL_PORT": str(free_port())}
    clean |= {"OMP_NUM_THREADS": "1", **(environment or {})}
    hosts: list[Host] = []
    try:
        for index, base in enumerate(bases):
            time.sleep(delays[index] if index < len(delays) else 0)
            process = subprocess.Popen(
                [sys.executable, "-m", "train"],
                env={**clean, "SAGEMAKER_BASE_DIR": str(base)},
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            hosts.append(Host(base=base, process=process))
        yield hosts
    finally:
        for host in hosts:
            host.process.kill()
            host.process.wait(timeout=WAIT_SECONDS)
            if host.process.stdout is not None:
                host.process.stdout.close()


def run_hosts(
    bases: Sequence[Path], environment: Mapping[str, str] | None = None
) -> list[tuple[int, str]]:
    """Run all hosts to their ends: (exit code, output) of each."""
    with running(bases, environment) as hosts:
        return [(host.wait(), host.output) for host in hosts]
