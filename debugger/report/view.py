"""View: what the sections of a profile's page are made from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.profile_rules import SCAN_INTERVAL_US
from contract.rule_result import RuleResult
from debugger.profile.data import FloatArray, NodeMetrics, Profile, Series
from debugger.profile.summary import Summary

MOST_HOSTS = 8  # with figures of their own; tables name all of them
MOST_PROCESSES = 6
POINTS = 300  # of a line: more than that is not seen in a figure


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One job's profile, judged."""

    profile: Profile
    summary: Summary
    results: Sequence[RuleResult]

    def result(self, rule: str) -> RuleResult | None:
        """What the rule of AWS's name found; None when it was not asked."""
        return next((one for one in self.results if one.rule == rule), None)

    def details(self, rule: str) -> Mapping[str, Any]:
        """`Details` of the rule's report in AWS's form; empty when it was not asked."""
        result = self.result(rule)
        return (result.report.get("Details") or {}) if result else {}

    def hosts(self) -> Iterator[tuple[str, NodeMetrics]]:
        """Those that are drawn."""
        names = list(self.profile.system)[:MOST_HOSTS]
        return ((name, self.profile.system[name]) for name in names)

    def since_start(self, times: FloatArray) -> FloatArray:
        """Unix seconds as seconds of the job."""
        return times - self.profile.started_at

    def windows(self, result: RuleResult) -> list[tuple[float, float]]:
        """Start and length of the minutes in which a rule fired, in seconds of the job."""
        length = float(result.parameters.get("scan_interval_us") or SCAN_INTERVAL_US) / 1e6
        first = self.profile.first_file_at - self.profile.started_at
        spans = []
        for number in sorted({finding.step for finding in result.findings}):
            start = max(first + number * length, 0.0)
            end = min(first + (number + 1) * length, self.profile.seconds)
            if end > start:
                spans.append((start, end - start))
        return spans


def by_number(names: Mapping[str, Series]) -> list[str]:
    """cpu2 before cpu10."""
    return sorted(names, key=lambda name: (len(name), name))


def gpus_of(view: View, metric: str) -> list[tuple[str, str, Series]]:
    """Host, name and series of every GPU that has the metric."""
    return [
        (host, name, node.of(metric)[name])
        for host, node in view.profile.system.items()
        for name in by_number(node.of(metric))
    ]
