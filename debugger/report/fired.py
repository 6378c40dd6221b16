"""When rules fired: stretches of the job, host by host, for the figures over time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from contract.rule_result import RuleResult
from debugger.profile.timeline_files import host_of
from debugger.report.strips import Row, merge
from debugger.report.view import View

Spans = Sequence[tuple[float, float]]  # start and length, in seconds of the job
_OVER_TIME = (
    "CPUBottleneck", "IOBottleneck", "LowGPUUtilization", "GPUMemoryIncrease", "BatchSize",
    "StepOutlier", "LoadBalancing", "Dataloader", "MaxInitializationTime",
)  # fmt: skip
# They judge the training loop as a whole: no moment of it is worse than another.
_WHOLE = ("BatchSize", "LoadBalancing", "Dataloader")


def fired_rows(view: View, host: str) -> list[Row]:
    """A row for each rule that fired on this host."""
    rows = []
    for rule in _OVER_TIME:
        result = view.result(rule)
        if result is not None and result.findings:
            spans = fired_spans(view, result, host)
            if spans:
                rows.append(Row(label=rule, spans=tuple((*span, "wait") for span in spans)))
    return rows


def fired_spans(view: View, result: RuleResult, host: str) -> Spans:
    """When what the rule looks for was there, on this host.

    The moments themselves where the rule tells them; else the training loop, or the minutes.
    """
    known = list(_intervals(result.report.get("Details") or {}))
    if known:
        mine = sorted(span for place, span in known if place == host)
        starts, ends = (np.array([span[i] for span in mine]) for i in (0, 1))
        least = view.profile.seconds / 400  # what is shorter is not seen
        merged = merge(view.since_start(starts), view.since_start(ends), least)
        return [(start, max(end - start, least)) for start, end in merged]
    if result.rule in _WHOLE:
        loops = [one for one in view.summary.phases if one.name == "training loop"]
        return [(one.started_at - view.profile.started_at, one.seconds) for one in loops]
    return view.windows(result)


def _intervals(details: Mapping[str, Any]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Host and stretch, in Unix seconds, wherever a rule's details keep them."""
    by_host = details.get("intervals")
    if isinstance(by_host, dict):
        for host, spans in by_host.items():
            yield from ((host, (float(span[0]), float(span[1]))) for span in spans)
    for node, modes in (details.get("modes") or {}).items():
        yield from _nested(host_of(node), modes)
    for host, things in details.items():
        if host not in ("modes", "intervals"):
            yield from _nested(host, things)


def _nested(host: str, things: object) -> Iterator[tuple[str, tuple[float, float]]]:
    for thing in things.values() if isinstance(things, dict) else ():
        spans = thing.get("intervals") if isinstance(thing, dict) else None
        for span in spans or ():
            yield host, (float(span[0]), float(span[1]))
