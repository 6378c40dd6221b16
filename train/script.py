"""Script: a user's own entry point, where its code comes from and how it is started.

The rules are those of AWS's toolkit (CONTRACT A.10), which would hand the command to a shell and
let no signal through.
"""

import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from contract.errors import HostError, JobError


class Kind(Enum):
    """What an entry point is, which decides how it is started."""

    PROGRAM = "a Python file"
    PACKAGE = "a module of a package with setup.py"
    COMMAND = "a command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """An entry point in its folder."""

    folder: Path  # /opt/ml/code: where it runs
    program: str  # below the folder, or an absolute path
    arguments: tuple[str, ...]  # the hyperparameters as flags

    @property
    def kind(self) -> Kind:
        """By its ending first; setup.py beside it makes a Python file a module."""
        if self.program.endswith(".sh"):
            return Kind.COMMAND
        if (self.folder / "setup.py").is_file():
            return Kind.PACKAGE
        return Kind.PROGRAM if self.program.endswith(".py") else Kind.COMMAND

    @property
    def target(self) -> list[str]:
        """What Python is told to run: a file, or `-m` and a module."""
        if self.kind is Kind.PACKAGE:
            return ["-m", self.program.removesuffix(".py").strip("/").replace("/", ".")]
        return [self.program]

    def command(self) -> list[str]:
        """The words that start it once. Raises JobError for a file that cannot be executed."""
        if self.kind is not Kind.COMMAND:
            return [sys.executable, *self.target, *self.arguments]
        path = self.folder / self.program
        with path.open("rb") as file:
            has_interpreter = file.read(2) in (b"#!", b"\x7fE")  # or is an ELF program
        if not has_interpreter:
            return ["/bin/sh", str(path), *self.arguments]
        try:
            path.chmod(path.stat().st_mode | 0o555)
        except OSError as error:
            if not path.stat().st_mode & 0o111:
                raise JobError(
                    f"{path} is not executable and cannot be made so ({error.strerror}): chmod +x "
                    "it before it is sent"
                ) from error
        return [str(path), *self.arguments]


def find_script(folder: Path, program: str, arguments: tuple[str, ...]) -> Script:
    """The entry point in the folder with the code.

    The SDK's local mode may send a path of the caller's machine; then its last part counts.
    Raises JobError when there is no such file.
    """
    for name in (program, Path(program).name):
        found = Script(folder=folder, program=name, arguments=arguments)
        if (folder / name).is_file():
            return found
        if found.kind is Kind.PACKAGE and _is_module(folder, found.target[1]):
            return found
    held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise JobError(
        f"entry point {program!r} is not in {folder}, which holds {held}: "
        "sagemaker_program names a file below sagemaker_submit_directory"
    )


def fetch_code(
    folder: Path, program: str, source: str | None, download: Callable[[str, Path], None]
) -> None:
    """Bring the user's code into `folder`, unless the program is there already.

    Args:
        source: a folder or a tar.gz, as a path or a file:// address, or what `download` brings
            (s3://...) as such an archive. None: the code is part of the image.

    Raises JobError: nothing there, or no archive. HostError: it cannot be written.
    """
    if source is None or (folder / Path(program).name).is_file() or (folder / program).is_file():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if "://" in source and not source.startswith("file://"):
            download(source, folder)
            return
        path = Path(source.removeprefix("file://"))
        if path.is_dir():
            if path.resolve() != folder.resolve():
                shutil.copytree(path, folder, dirs_exist_ok=True)
        elif path.is_file():
            _unpack(path, folder)
        else:
            raise JobError(
                f"sagemaker_submit_directory {source}: expected a folder or a tar.gz with the "
                "code, there is none"
            )
    except (OSError, shutil.Error) as error:
        raise HostError(f"the code of {source} cannot be put into {folder}: {error}") from error


def _unpack(archive: Path, folder: Path) -> None:
    """The code is the job's own, and runs in a moment: modes and links are kept."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder)
    except (tarfile.TarError, EOFError) as error:
        raise JobError(f"sagemaker_submit_directory {archive} is no tar.gz: {error}") from error


def _is_module(folder: Path, name: str) -> bool:
    path = folder.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
