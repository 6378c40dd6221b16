"""ProfileWatch: the profiler's rules over one job; its files again every minute while it runs.

What they find is said when the job is over, as AWS's report says it: shares and quantiles of a
whole job change with every minute of it, and an action cannot be taken back.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from contract.hook_config import END_NAME
from contract.rule_result import RuleResult
from contract.rules import RuleSpec
from debugger.guard import guarded

if TYPE_CHECKING:
    from debugger.profile.data import Profile

EVERY_SECONDS = 60.0  # AWS's windows are as long
OUTPUT, PAGE, REPORTS = "profiler-output", "profiler-report.html", "profiler-reports"
NOTHING_MEASURED = (
    "the job was not profiled: add [profiler] to the job description (ProfilerConfig in AWS)"
)


class ProfileWatch:
    """Evaluates rules over a profile, and writes AWS's files for each of them.

    Args:
        out: NAME/profiler-output/ of each rule lies in there.
        compat: count as AWS does, mistakes included.
    """

    def __init__(
        self,
        source: Path,
        specs: Sequence[RuleSpec],
        out: Path,
        *,
        compat: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._specs, self._out = source, tuple(specs), out
        self._compat, self._clock = compat, clock
        self._results = {
            spec.name: RuleResult(name=spec.name, rule=spec.rule, status="InProgress")
            for spec in specs
        }
        self._last_at = clock()
        self._last_files: tuple[int, int] = (0, 0)

    @property
    def results(self) -> list[RuleResult]:
        """As they stand."""
        return list(self._results.values())

    def has_ended(self) -> bool | None:
        """The profiler has said that nothing follows; None: it has not written anything yet."""
        from debugger.profile.read import find_profiler_folders

        folders = find_profiler_folders(self._source)
        return all((one / END_NAME).exists() for one in folders) if folders else None

    def poll(self) -> None:
        """Write what there is, when a minute is over and there is more than before."""
        if not self._specs or self._clock() - self._last_at < EVERY_SECONDS:
            return
        self._last_at = self._clock()
        files = self._files()
        if files != self._last_files:
            self._last_files = files
            self._evaluate(is_final=False)

    def finish(self) -> None:
        """The job is over."""
        if self._specs:
            self._evaluate(is_final=True)

    def _evaluate(self, *, is_final: bool) -> None:
        profile = guarded("the profile", self._read)
        for spec in self._specs:
            if profile.value is not None:
                found = profile.value
                done = guarded(f"rule {spec.name}", lambda: self._one(found, spec, is_final))  # noqa: B023
                result, error = done.value, done.error
            else:
                result, error = None, profile.error or NOTHING_MEASURED
            if result is None:
                result = replace(self._results[spec.name], status="Error", details=error)
            if is_final:
                self._results[spec.name] = result

    def _read(self) -> "Profile | None":
        from debugger.profile.read import find_profiler_folders, read_profile

        folders = find_profiler_folders(self._source)
        return read_profile(folders) if folders else None

    def _one(self, profile: "Profile", spec: RuleSpec, is_final: bool) -> RuleResult:
        from debugger.profile.evaluate import evaluate_profile

        results = evaluate_profile(profile, spec, compat=self._compat)
        # The page is seconds of work, which the job would miss every minute.
        write_profile(profile, results, self._out / spec.name, has_page=is_final)
        return replace(results[-1], name=spec.name)

    def _files(self) -> tuple[int, int]:
        """Number of files, and their bytes."""
        from debugger.profile.read import find_profiler_folders

        folders = find_profiler_folders(self._source)
        files = [file for one in folders for file in one.rglob("*") if file.is_file()]
        return len(files), sum(file.stat().st_size for file in files)


def write_profile(
    profile: "Profile", results: Sequence[RuleResult], out: Path, *, has_page: bool = True
) -> Path:
    """`out`/profiler-output/profiler-report.html and profiler-reports/*.json, as AWS lays them out.

    Returns the page.
    """
    from debugger.profile.evaluate import write_json_reports

    page = out / OUTPUT / PAGE
    write_json_reports(results, out / OUTPUT / REPORTS)
    if has_page:
        from debugger.report.profile_page import write_profile_page

        write_profile_page(profile, results, page, title="Profile of a training job")
    return page
