"""Leash: becomes a command that the kernel ends when our process ends, be it by SIGKILL.

Run as a script of its own: `python -I leash.py OUR_PID COMMAND ...`. Only Linux has this; elsewhere
the command runs unleashed.
"""

import os
import signal
import sys
from pathlib import Path

PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2); it stays with the process through exec


def leashed(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command that runs `command` on a leash of this process.

    Start it from the main thread: the kernel counts the death of the starting thread.
    """
    return (sys.executable, "-I", str(Path(__file__).resolve()), str(os.getpid()), *command)


def become(owner: int, command: list[str]) -> None:
    """Returns only when the owner is gone already."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != owner:  # it died before the call above
            return
    os.execvp(command[0], command)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
