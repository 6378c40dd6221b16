"""Figures of a played trace in words: for the terminal and the page."""

from collections.abc import Mapping

from control.aws.scaling.findings import NOBODY_LOST, Findings
from control.aws.scaling.policy import ScalingSpec
from control.aws.scaling.simulation import Machine
from control.terminal import duration


def figures_of(spec: ScalingSpec, machine: Machine, found: Findings) -> Mapping[str, str]:
    """Name -> value, for people."""
    fixed = _cost(found.fixed_max_usd, found.fixed_max_hours)
    figures = {
        "time": duration(found.seconds),
        "requests": f"{found.arrived:,.0f}, {found.peak_per_second:,.3g} a second at the peak",
        "answered in time": f"{found.answered:,.0f}",
        "refused (503)": _counted(found.refused, found.arrived),
        "answered too late": _counted(found.late, found.arrived),
        "still waiting": f"{found.waiting:,.0f}",
        "instances": f"{found.peak_instances} at most, {found.num_changes} changes",
        "above the target": f"{duration(found.seconds_over_target)}"
        f" ({share_text(found.seconds_over_target, found.seconds)})",
        "answer": f"{seconds_text(found.usual_seconds)} usually, 99 % within "
        f"{seconds_text(found.slow_seconds)}, {seconds_text(found.longest_wait_seconds)} at worst",
        "cost": _cost(found.usd, found.instance_hours),
        f"cost of {spec.maximum} all the time": fixed,
    }
    if found.fixed_enough:
        hours = found.fixed_enough * found.seconds / 3600
        figures[f"cost of {found.fixed_enough} all the time, enough with a tenth to spare"] = _cost(
            found.fixed_enough_usd, hours
        )
    if machine.usd_per_hour is None:
        figures["price"] = "unknown: give --instance-type or --price"
    return figures


def headline(spec: ScalingSpec, found: Findings) -> str:
    """How it went, in one clause."""
    lost, cost = found.lost, _cost(found.usd, found.instance_hours)
    if lost >= NOBODY_LOST:
        share = share_text(lost, found.arrived)
        went = f"{lost:,.0f} of {found.arrived:,.0f} requests ({share}) get no answer"
    else:
        went = f"all of {found.arrived:,.0f} requests are answered"
    if found.instance_hours >= found.fixed_max_hours:
        return f"{went}, for {cost}: as much as {spec.maximum} all the time"
    saved = 1 - found.instance_hours / found.fixed_max_hours
    return f"{went}, for {cost}: {100 * saved:.0f} % less than {spec.maximum} all the time"


def money(usd: float) -> str:
    """`$1.24`; small prices keep three digits."""
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.3f}"


def share_text(part: float, whole: float) -> str:
    """`0.3 %`; nothing of nothing is 0 %."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def seconds_text(seconds: float) -> str:
    """`48 ms`, `3.2 s` or `4 min 10 s`."""
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else duration(seconds)


def _counted(part: float, whole: float) -> str:
    return "0" if part < NOBODY_LOST else f"{part:,.0f} ({share_text(part, whole)})"


def _cost(usd: float | None, hours: float) -> str:
    shown = f"{hours:,.1f} instance hours"
    return shown if usd is None else f"{money(usd)} ({shown})"
