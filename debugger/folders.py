"""Where a job's saved tensors lie: below its folder, at every host, or in S3."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import JobError, UsageError
from contract.files import read_json
from contract.hook_config import HookConfig
from contract.opt_ml import HOOK_NAME, OptMl
from contract.strict import FALSE_WORDS, unquote
from debugger import tensors

S3 = "s3://"
PARTS = ("events", "index", "collections")  # of a folder of saved tensors
SERVICE_NAME = "debug-output"  # below a job's prefix
HOSTS = "hosts"  # further hosts of a job on this machine, with the same layout


def find_tensors(source: str, *, is_awaited: bool = False) -> tuple[str, ...]:
    """Folders, or one s3:// prefix, with saved tensors; several when hosts wrote on their own.

    With `is_awaited` a folder that does not exist yet is answered, where a job would write it.
    """
    if source.startswith(S3):
        places = [source.rstrip("/"), f"{source.rstrip('/')}/{SERVICE_NAME}"]
        return (next((one for one in places if not tensors.lacking(one)), places[0]),)
    base = Path(source)
    found = [
        place
        for one in (base, *sorted(base.glob(f"{HOSTS}/*")))
        if (place := next((place for place in _places(one) if _is_there(place)), None))
    ]
    if not found and is_awaited:
        found = [base if base.name in ("tensors", SERVICE_NAME) else OptMl(base).tensors_dir]
    return tuple(str(one) for one in dict.fromkeys(found))


def check_source(source: str) -> None:
    """Raises UsageError when a local SOURCE does not exist."""
    if not source.startswith(S3) and not Path(source).is_dir():
        raise UsageError(f"{source}: expected a job's folder or an s3:// prefix, there is none")


def is_fine_tuned(source: str) -> bool | None:
    """Whether a job began with pretrained weights; None: its description is not there."""
    given = _hyperparameters(source)
    if given is None:
        return None
    data_dir = OptMl(Path(source)).data_dir
    if any((data_dir / name).exists() for name in ("pretrained", "model")):
        return True
    return unquote(str(given.get("pretrained", "true"))).lower() not in FALSE_WORDS


def has_evaluations(source: str) -> bool:
    """Whether a job will surely evaluate: our training does after every epoch, a script may not."""
    given = _hyperparameters(source)
    return given is not None and "sagemaker_program" not in given


def _hyperparameters(source: str) -> dict[str, Any] | None:
    """What a job was told; None: its description is not there, or damaged."""
    file = OptMl(Path(source)).config_dir / "hyperparameters.json"
    if source.startswith(S3) or not file.is_file():
        return None
    try:
        given = read_json(file, JobError)
    except JobError:
        return None
    return given if isinstance(given, dict) else None


def _places(base: Path) -> list[Path]:
    """Where a base directory may keep saved tensors; where the job says otherwise comes first."""
    said = []
    file = OptMl(base).config_dir / HOOK_NAME
    if file.is_file():
        local = HookConfig.from_json(read_json(file, JobError)).local_path
        said = [local] if local is not None else []
    return [*said, OptMl(base).tensors_dir, base / SERVICE_NAME, base]


def _is_there(folder: Path) -> bool:
    return any((folder / part).is_dir() for part in PARTS)


@dataclass(slots=True)
class TensorPlace:
    """One path that smdebug can open, also where every host wrote a folder of its own.

    Then it is a folder of links to all their files. Close it.
    """

    folders: tuple[str, ...]
    _links: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)

    @property
    def path(self) -> str:
        """Open this."""
        if len(self.folders) == 1:
            return self.folders[0]
        if self._links is None:
            self._links = tempfile.TemporaryDirectory(prefix="kennel-tensors-")
        return self._links.name

    def update(self) -> None:
        """Link what the hosts wrote meanwhile."""
        if len(self.folders) == 1:
            return
        for folder in map(Path, self.folders):
            for part in PARTS:
                for file in (folder / part).rglob("*"):
                    link = Path(self.path) / file.relative_to(folder)
                    if file.is_file() and file.suffix != ".tmp" and not link.is_symlink():
                        link.parent.mkdir(parents=True, exist_ok=True)
                        link.symlink_to(file.resolve())

    def has_ended(self) -> bool:
        """Every host has said that nothing follows."""
        return all(tensors.has_ended(one) for one in self.folders)

    def close(self) -> None:
        """Remove the links."""
        if self._links is not None:
            self._links.cleanup()
            self._links = None
