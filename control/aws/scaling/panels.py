"""The panels of a played trace: what is drawn of it, one under the other."""

from collections.abc import Sequence
from itertools import accumulate

from control.aws.scaling.chart import Panel, Series, Style, pooled
from control.aws.scaling.findings import Findings
from control.aws.scaling.policy import Metric, ScalingSpec
from control.aws.scaling.simulation import Machine, Played
from control.aws.scaling.tracking import LOW_SHARE, WATCHES

METRIC_NAMES: dict[Metric, str] = {
    "invocations_per_instance": "Requests a minute, for each instance",
    "concurrent_requests_per_model": "Requests at a time, for each instance",
    "backlog_per_instance": "Backlog, for each instance",
}


def panels_of(
    spec: ScalingSpec, machine: Machine, played: Played, findings: Findings
) -> list[Panel]:
    """From what comes to what it costs."""
    can = [ready * machine.images_per_second for ready in played.ready]
    return [
        Panel(
            title="Requests a second",
            series=(
                _line("that come", pooled(played.arrived, "mean"), "muted", "area"),
                _line("that the instances can answer", pooled(can, "mean"), "accent"),
                _line("refused", pooled(played.refused, "mean"), "wrong", "area"),
            ),
        ),
        Panel(
            title=METRIC_NAMES[spec.metric],
            series=(
                _line("the metric", _metric(spec, played), "accent"),
                _line("target: more above it", [spec.target] * 2, "wrong", "dashed"),
                _line("fewer below this", [LOW_SHARE * spec.target] * 2, "muted", "dashed"),
            ),
        ),
        Panel(
            title="Instances",
            series=(
                _line(
                    "paid for, with those that start",
                    pooled(played.desired, "last"),
                    "wrong",
                    "steps",
                ),
                _line("ready", pooled(played.ready, "last"), "accent", "steps"),
            ),
            is_whole=True,
        ),
        Panel(
            title="Requests that wait",
            series=(_line("in all", pooled(played.waiting, "most"), "accent", "area"),),
        ),
        Panel(
            title="Seconds to an answer, estimated",
            series=(_line("the slowest then", pooled(played.latency, "most"), "accent"),),
            is_log=True,
        ),
        _cost(spec, machine, played, findings),
    ]


def _line(label: str, values: Sequence[float], ink: str, style: Style = "line") -> Series:
    return Series(label=label, values=values, ink=ink, style=style)


def _metric(spec: ScalingSpec, played: Played) -> list[float]:
    """Points as they end; before the first one has, it is shown already."""
    first = min(WATCHES[spec.metric].period_seconds, played.seconds) - 1
    points = [played.metric[first]] * first + played.metric[first:]
    return pooled(points, "last")


def _cost(spec: ScalingSpec, machine: Machine, played: Played, findings: Findings) -> Panel:
    price = machine.usd_per_hour
    unit = 1.0 if price is None else price

    def so_far(counts: Sequence[int]) -> list[float]:
        return pooled([unit * total / 3600 for total in accumulate(counts)], "last")

    most, enough = spec.maximum, findings.fixed_enough
    lines = [_line("scaled", so_far(played.desired), "accent")]
    lines.append(_line(f"{most} all the time", so_far([most] * played.seconds), "muted", "dashed"))
    if enough not in (0, most):
        label = f"{enough} all the time, enough"
        lines.append(_line(label, so_far([enough] * played.seconds), "wrong", "dashed"))
    title = "Instance hours so far" if price is None else "US dollars so far"
    return Panel(title=title, series=tuple(lines), unit="" if price is None else "$")
