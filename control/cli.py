"""The command `kennel`: finds the verb, runs it, turns errors into one line and an exit code.

Exit codes: 0 fine, 1 the job (or the machine) failed, 2 you asked for something impossible,
130 stopped by Ctrl-C.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.errors import HostError, KennelError, UsageError
from contract.files import cannot_write, is_full
from contract.strict import nearest
from control.command_cleanup import CLEANUP
from control.command_data import DATA
from control.command_debug import DEBUG
from control.command_demo import DEMO
from control.command_deploy import DEPLOY
from control.command_doctor import DOCTOR
from control.command_iam import IAM
from control.command_lambda import LAMBDA
from control.command_list import LIST
from control.command_models import MODELS
from control.command_predict import PREDICT
from control.command_report import REPORT
from control.command_run import RUN
from control.command_scale import SCALE
from control.command_serve import SERVE
from control.command_submission import SUBMISSION
from control.command_transform import TRANSFORM
from control.command_tune import TUNE
from control.parser import Command, parse
from control.terminal import complain, say

COMMANDS: tuple[Command, ...] = (
    RUN,
    TUNE,
    SERVE,
    PREDICT,
    TRANSFORM,
    DEPLOY,
    MODELS,
    SCALE,
    LAMBDA,
    IAM,
    DATA,
    DEBUG,
    REPORT,
    SUBMISSION,
    LIST,
    CLEANUP,
    DOCTOR,
    DEMO,
)
INTERRUPTED = 130  # 128 + SIGINT, what shells expect


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code."""
    given = list(sys.argv[1:] if words is None else words)
    _open_closed_streams()
    try:
        code = _answer(given)
        sys.stdout.flush()  # or Python would, at its end, and complain
        return code
    except BrokenPipeError:  # nobody reads any more: `kennel list | head`
        _leave_stdout()
        return 1
    except OSError as error:
        has_no_room = is_full(error) or (error.errno == errno.ENOENT and not error.filename)
        if not has_no_room:
            raise
        _leave_stdout()
        with contextlib.suppress(OSError):  # stderr may lie on the same disk
            complain(_no_room(error))
        return 1


def _no_room(error: OSError) -> HostError:
    if error.filename:
        return cannot_write(Path(error.filename), error)
    if error.errno == errno.ENOENT:  # tempfile, when no folder takes a file of a few bytes
        return HostError(f"{error.strerror}; make room in one of them, or set TMPDIR")
    return HostError(
        f"cannot write any more: {error.strerror}; make room on that disk, or write elsewhere"
    )


def _leave_stdout() -> None:
    """What is still to be written there is lost; Python would try it again at its end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed_streams() -> None:
    """`kennel list >&-`: what the shell has closed, Python has not; then it is /dev/null.

    Otherwise the next file or connection would get its number, and a child of ours would write
    there what it says.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            os.set_inheritable(number, True)
            stream = open(number, "r" if name == "stdin" else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def _answer(words: list[str]) -> int:
    """Run it, and turn every end but a closed pipe into an exit code."""
    try:
        return _run(words)
    except KennelError as error:
        complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        complain("stopped")
        return INTERRUPTED
    except SystemExit as stop:  # argparse's --help
        return int(stop.code or 0)


def find_command(name: str) -> Command:
    """The command called `name`. Raises UsageError with the nearest name."""
    for command in COMMANDS:
        if command.name == name:
            return command
    names = [command.name for command in COMMANDS]
    near = nearest(name, names)
    hint = f"did you mean `kennel {near}`?" if near else f"known: {', '.join(names)}"
    raise UsageError(f"unknown command {name!r}; {hint}")


def overview() -> str:
    """What `kennel --help` prints."""
    width = max(len(command.name) for command in COMMANDS)
    commands = [f"  {command.name.ljust(width)}  {command.help}" for command in COMMANDS]
    return "\n".join(
        [
            "usage: kennel COMMAND ...",
            "",
            "Train and serve image classifiers: the same job on this machine and on SageMaker.",
            "",
            "commands:",
            *commands,
            "",
            "examples:",
            "  kennel demo",
            "  kennel run jobs/digits.toml --set epochs=5",
            "",
            "`kennel COMMAND --help` says more. Exit codes: 0 fine, 1 failed, 2 impossible.",
        ]
    )


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        say(overview())
        return 0
    if words[0] == "--version":
        say(f"kennel {_version()}")
        return 0
    command = find_command(words[0])
    return command.run(parse(command, words[1:]))


def _version() -> str:
    from importlib import metadata  # 70 ms that --help need not wait for

    try:
        return metadata.version("kennel")
    except metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
