"""The Docker engine, asked through its own command line: what it has, and what to type if not."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from contract.errors import HostError, UsageError

ANSWER_SECONDS = 60.0  # an engine that has just been started, on a slow disk
GPU_CHOICES = ("auto", "all", "none")
Gpus = Literal["auto", "all", "none"]
OURS = re.compile(r"kennel-(train|serve|serve-cpu)(:latest)?")
INSTALL = "install Docker Engine (https://docs.docker.com/engine/install) or use --on process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What matters about an engine when a container is started."""

    has_nvidia: bool = False  # NVIDIA's runtime is registered
    is_rootless: bool = False  # root inside a container is the caller outside


def ask_engine() -> Engine:
    """What the engine here can do. Raises HostError, with what to type, when none answers."""
    if shutil.which("docker") is None:
        raise HostError(f"there is no program docker: {INSTALL}")
    done = _run("info", "--format", "{{json .}}")
    facts = _json_object(done.stdout)
    if not facts.get("ServerVersion"):
        raise HostError(_silence(done.stderr or str(facts.get("ServerErrors") or "")))
    return Engine(
        has_nvidia="nvidia" in (facts.get("Runtimes") or {}),
        is_rootless=any("rootless" in option for option in facts.get("SecurityOptions") or ()),
    )


def require_image(name: str) -> None:
    """Raises UsageError when the engine does not have the image. Nothing is ever pulled."""
    if _run("image", "inspect", "--format", "{{.Id}}", name).returncode == 0:
        return
    remedy = "make images" if OURS.fullmatch(name) else f"docker pull {name}"
    raise UsageError(f"the Docker engine has no image {name!r}: type `{remedy}`")


def docker(*words: str, seconds: float = ANSWER_SECONDS) -> str:
    """Run one docker command to its end and return its stdout. Raises HostError."""
    done = _run(*words, seconds=seconds)
    if done.returncode:
        raise HostError(f"docker {' '.join(words[:2])} failed: {' '.join(done.stderr.split())}")
    return done.stdout


def state_of(container: str) -> Mapping[str, Any]:
    """The engine's record of a container's state; empty when there is no such container."""
    done = _run("container", "inspect", "--format", "{{json .State}}", container)
    return _json_object(done.stdout)


def caller_options(engine: Engine) -> tuple[str, ...]:
    """Run as who asked, so that what is written belongs to them from the first byte on.

    Root inside and a chown afterwards would leave root's files behind whenever we are killed.
    """
    if engine.is_rootless:
        return ()
    groups = [group for group in os.getgroups() if group != os.getgid()]
    return (
        f"--user={os.getuid()}:{os.getgid()}",
        *(f"--group-add={group}" for group in groups),
        "--env=HOME=/tmp",  # this user has no home in there, and / is not writable
    )


def gpu_options(engine: Engine, wish: Gpus) -> tuple[str, ...]:
    """Which GPUs the container gets; `auto` is all of them where the engine can hand them out."""
    if wish == "all" or (wish == "auto" and engine.has_nvidia):
        return ("--gpus=all",)
    # Where NVIDIA's runtime is the default one, it would obey the images' own `all`.
    return ("--env=NVIDIA_VISIBLE_DEVICES=void",) if engine.has_nvidia else ()


def bind(source: Path, target: str, *, writable: bool = False) -> str:
    """The option that shows a folder or file of ours inside. Unlike -v it takes any path."""
    fields = ["type=bind", f"source={source.absolute()}", f"target={target}"]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([*fields, *([] if writable else ["readonly"])])
    return f"--mount={line.getvalue()}"


def explain(text: str) -> str:
    """The engine's words about a container that did not start, with what to do where we know."""
    words = " ".join(text.split())
    if "could not select device driver" in words:
        return f"{words}: install nvidia-container-toolkit, or give --gpus none"
    return words


def _run(*words: str, seconds: float = ANSWER_SECONDS) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ("docker", *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            start_new_session=True,  # Ctrl-C is for us to handle
        )
    except FileNotFoundError:
        raise HostError(f"there is no program docker: {INSTALL}") from None
    except OSError as error:
        raise HostError(f"cannot start docker: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise HostError(
            f"docker {words[0]} did not answer within {seconds:.0f} s: see `docker info`"
        ) from None


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _silence(words: str) -> str:
    """One line about an engine that does not answer."""
    said = " ".join(words.split())
    if "permission denied" in said.lower():
        return (
            "you may not talk to the Docker engine: type `sudo usermod -aG docker $USER` and log "
            f"in again, or use --on process ({said})"
        )
    return (
        "no Docker engine answers: type `sudo systemctl start docker`, or use --on process "
        f"({said or 'it said nothing'})"
    )
