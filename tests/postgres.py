"""A real PostgreSQL server for the tests of studies that several hosts share."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving import free_port

_WAIT_SECONDS = 60


def _programs() -> Path | None:
    """Debian keeps them off PATH."""
    found = shutil.which("postgres")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return folders[-1].parent if folders else None


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a database of its own, on a server that ends with the block."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql")
    # It refuses to run as root, and root's temporary folders are closed to others.
    owner = pwd.getpwnam("nobody") if os.getuid() == 0 else None
    who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    with tempfile.TemporaryDirectory(prefix="kennel-postgres-") as folder:
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = Path(folder) / "data"
        initdb = [programs / "initdb", "-D", data, "-U", "kennel", "-A", "trust", "--no-sync"]
        subprocess.run(
            [*initdb, "--no-locale", "-E", "UTF8"],
            check=True, capture_output=True, timeout=_WAIT_SECONDS, cwd=folder, **who,
        )  # fmt: skip
        port = free_port()
        options = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", str(port), "-k", folder, *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **who,
        )  # fmt: skip
        try:
            _await(programs, port)
            yield f"postgresql+psycopg://kennel@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # its "fast" way: connections are cut
            server.wait(timeout=_WAIT_SECONDS)


def _await(programs: Path, port: int) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    command = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(command, timeout=_WAIT_SECONDS, check=False).returncode:
        assert time.monotonic() < deadline, "PostgreSQL does not start"
        time.sleep(0.1)
