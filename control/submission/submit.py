"""Submit: a submission is made beside its place, checked, and put there in one step."""

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contract.errors import UsageError
from contract.files import cannot_write, write_text
from control.runs import make_run_folder
from control.submission.checklist import Checked, check, to_html, to_markdown
from control.submission.material import Material
from control.submission.package import Package
from control.submission.readme import to_readme
from control.submission.rubric import COURSES

NAME = "submission"  # of folders below runs/


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What came of it. `folder` is None when it was only checked."""

    folder: Path | None
    checked: list[Checked]


def look(course: str, material: Material) -> Submitted:
    """What would be in it; nothing is left behind. Raises HostError, SpecError."""
    with tempfile.TemporaryDirectory(prefix="kennel-submission-") as name:
        return Submitted(folder=None, checked=_write(course, material, Path(name)))


def submit(course: str, material: Material, runs: Path, out: Path | None) -> Submitted:
    """Write it to `out`, which must not exist, or below `runs`. Raises UsageError, HostError."""
    if out is not None and out.exists():
        raise UsageError(f"{out} exists, and nothing is overwritten: give another --out")
    parent = runs if out is None else out.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".submission-", dir=parent) as name:
            made = Path(name) / "made"
            made.mkdir()
            checked = _write(course, material, made)
            folder = out or make_run_folder(runs, NAME)
            os.replace(made, folder)  # in place of the empty folder, if there is one
    except OSError as error:
        raise cannot_write(out or runs, error) from error
    return Submitted(folder=folder, checked=checked)


def _write(course: str, material: Material, folder: Path) -> list[Checked]:
    package = Package(folder=folder, material=material, made_at=datetime.now(UTC))
    package.fill()
    write_text(folder / "README.md", to_readme(course, material, folder))
    if material.run is None:  # a page without a single result is no write-up
        (folder / "README.md").unlink()
    checked = check(COURSES[course], package.files(), material.evidence)
    write_text(folder / "checklist.md", to_markdown(course, checked))
    write_text(folder / "checklist.html", to_html(course, checked))
    return checked
