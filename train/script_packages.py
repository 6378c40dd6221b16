"""Packages that a user's code brings or asks for: requirements.txt and setup.py, through pip."""

import logging
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from contract.errors import JobError
from train.script import Kind, Script

log = logging.getLogger(__name__)

REQUIREMENTS = "requirements.txt"
_LIMIT_SECONDS = 3600.0  # large wheels over a slow line


def install_packages(script: Script, work_dir: Path, index: str | None = None) -> tuple[Path, ...]:
    """Install what the code needs; nothing where it brings neither file.

    Where the image's own packages cannot be written (another user, a read-only root), the new
    ones land below `work_dir`; the folders returned must then be on the script's path.

    Args:
        index: where pip looks, unless it is its usual place. May hold a password.

    Raises JobError with pip's last words: a package that is not there fails again.
    """
    words = _what(script)
    if not words:
        return ()
    site = Path(sysconfig.get_path("purelib"))
    prefix: tuple[str, ...] = ()
    places: tuple[Path, ...] = ()
    if not os.access(site, os.W_OK):
        prefix = ("--prefix", str(work_dir))
        variables = {"base": str(work_dir), "platbase": str(work_dir)}
        places = tuple(
            Path(sysconfig.get_path(name, "venv", variables)) for name in ("purelib", "platlib")
        )
    log.info("script  pip install %s", " ".join(words))
    _pip([*words, *prefix], script.folder, {"PIP_INDEX_URL": index} if index else {})
    return places


def _what(script: Script) -> list[str]:
    """What pip is told to install, with the options that go with it."""
    words = []
    if script.kind is Kind.PACKAGE:
        words = ["."]
        if not (script.folder / "pyproject.toml").is_file():
            # With our own setuptools; an isolated build would download one.
            words = ["--no-build-isolation", "."]
    if script.kind is not Kind.COMMAND and (script.folder / REQUIREMENTS).is_file():
        words += ["-r", REQUIREMENTS]
    return words


def _pip(words: list[str], folder: Path, more: Mapping[str, str]) -> None:
    """-P: a file of the user's must not stand before a module of pip's."""
    command = [sys.executable, "-P", "-m", "pip", "install", "--no-input", *words]
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**settings, **os.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise JobError(f"pip install {' '.join(words)} took over {_LIMIT_SECONDS:g} s") from None
    log.info("%s", done.stdout.rstrip())
    if done.returncode:
        told = [line.strip() for line in done.stdout.splitlines() if line.startswith("ERROR:")]
        why = " ".join(told) or " ".join(done.stdout.split())[-400:]
        raise JobError(f"pip install {' '.join(words)} failed: {why.removeprefix('ERROR: ')[:600]}")
