"""What `kennel debug` looks at: a run of ours, a folder that a job left, or a prefix in S3."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.errors import SpecError, UsageError
from contract.files import cannot_write, read_json
from contract.hook_config import END_NAME
from contract.rule_result import REPORT_NAME, RULE_OUTPUT, RuleResult
from contract.rules import RuleSpec
from control.debug_spec import CLASSIC_RULES
from control.download import THREADS, Download
from control.progress import Progress
from control.rule_watch import CONFIG_NAME
from control.runs import RUN_NAME, Run, find_run, read_run
from control.s3 import S3, SCHEME, S3Object, S3Uri
from control.staging_list import list_files

# Of what lies below a job's prefix: tensors, profile and findings; no model, no checkpoints.
OUTPUTS = frozenset({"debug-output", "profiler-output", "rule-output", "tensors", "profiler"})
TENSORS = frozenset({"events", "index", "collections"})
PROFILE = frozenset({"system", "framework"})
MB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugSource:
    """Something that a job left, on this machine."""

    folder: Path
    name: str  # as a person knows it
    run: Run | None = None  # None: it is no run of ours
    is_temporary: bool = False  # gone when the command ends

    @property
    def out(self) -> Path:
        """Where findings go unless told otherwise."""
        return self.folder / RULE_OUTPUT

    def has_tensors(self) -> bool:
        """Whether a hook has saved anything, in any of the layouts."""
        return self._has(TENSORS, ("output/tensors", "debug-output"))

    def has_profile(self) -> bool:
        """Whether something was measured, in any of the layouts."""
        return self._has(PROFILE, ("output/profiler", "profiler-output"))

    def rules(self) -> tuple[RuleSpec, ...]:
        """Those that the run was told; else the classic five and the profiler's report.

        Raises UsageError: there is nothing that a rule could look at.
        """
        path = self.folder / CONFIG_NAME
        if path.is_file():
            given = read_json(path, SpecError)
            return tuple(RuleSpec.from_json(one) for one in given["rules"])
        names = (
            *(CLASSIC_RULES if self.has_tensors() else ()),
            *(("ProfilerReport",) if self.has_profile() else ()),
        )
        if not names:
            raise UsageError(
                f"{self.name} holds neither tensors nor a profile: run the job with --debug or "
                "--profile"
            )
        return tuple(RuleSpec(name=name, rule=name) for name in names)

    def results(self) -> tuple[RuleResult, ...]:
        """What rules have found already, in the run's order. Raises SpecError: damaged."""
        found = [_result_in(path) for path in sorted(self.out.glob(f"*/{REPORT_NAME}"))]
        order = [str(one["name"]) for one in self.run.rules] if self.run else []
        places = {name: place for place, name in enumerate(order)}
        return tuple(sorted(found, key=lambda one: places.get(one.name, len(places))))

    def _has(self, names: frozenset[str], places: tuple[str, ...]) -> bool:
        folders = [self.folder, *(self.folder / place for place in places)]
        folders += [host / place for host in self.folder.glob("hosts/*") for place in places]
        return any((folder / name).is_dir() for folder in folders for name in names)


@contextlib.contextmanager
def opened_source(which: str | None, runs: Path) -> Iterator[DebugSource]:
    """A run by folder, number or name (without any, the newest), a folder, or s3://BUCKET/PREFIX.

    What is in S3 is downloaded for as long as the block lasts. Raises UsageError: there is none.
    """
    if which and which.startswith(SCHEME):
        with tempfile.TemporaryDirectory(prefix="kennel-debug-") as name:
            folder = Path(name)
            _download(S3Uri.parse(which), folder)
            yield DebugSource(folder=folder / "data", name=which, is_temporary=True)
        return
    path = Path(which) if which else None
    if path is not None and path.is_dir():
        run = read_run(path) if (path / RUN_NAME).is_file() else None
        yield DebugSource(folder=path, name=str(path), run=run)
        return
    if path is not None and len(path.parts) > 1:
        raise UsageError(f"{path} is no folder: give a run, a folder that a job left, or s3://...")
    run = find_run(runs, which)
    yield DebugSource(folder=run.folder, name=str(run.folder), run=run)


def _download(uri: S3Uri, folder: Path) -> None:
    """What the Debugger and the profiler left below `uri`, into `folder`/data."""
    s3 = S3(connections=THREADS)
    files = {name: item for name, item in list_files(s3, uri).items() if _is_ours(name)}
    if not files:
        raise UsageError(
            f"{uri} holds no tensors and no profile: give the prefix that has debug-output/ or "
            "profiler-output/"
        )
    total = sum(item.num_bytes for item in files.values())
    progress = Progress(sys.stderr, -(-total // MB), unit="MB")
    try:
        (folder / "data").mkdir()
        _get(s3, uri, folder, files, progress)
    except OSError as error:
        raise cannot_write(folder, error) from error
    progress.clear()


def _get(s3: S3, uri: S3Uri, folder: Path, files: dict[str, S3Object], progress: Progress) -> None:
    download = Download(s3, uri.bucket, folder / "data", folder / "partial")
    download.run(files, lambda _name: None, lambda count: progress.show(count // MB))


def _is_ours(name: str) -> bool:
    parts = set(name.split("/")[:-1])
    return bool(parts & (OUTPUTS | TENSORS | PROFILE)) or name.endswith(END_NAME)


def _result_in(path: Path) -> RuleResult:
    try:
        return RuleResult.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} cannot be read: {error}") from None
