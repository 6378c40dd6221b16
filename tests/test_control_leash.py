"""A leashed command ends with who started it, even by SIGKILL."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from control.leash import leashed

ROOT = Path(__file__).resolve().parents[1]
OWNER = """
import subprocess, sys
from control.leash import leashed
command = (sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
subprocess.Popen(leashed(command), start_new_session=True).wait()
"""


def is_alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel does this")
def test_a_command_ends_when_its_owner_is_killed():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], env=environment, stdout=subprocess.PIPE, text=True
    ) as owner:
        pid = int(owner.stdout.readline())
        assert is_alive(pid)
        owner.kill()
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


def test_a_leashed_command_is_the_command_itself():
    command = leashed((sys.executable, "-c", "import sys; sys.exit(len(sys.argv))", "a b", "c"))
    assert subprocess.run(command, timeout=30, check=False).returncode == 3
