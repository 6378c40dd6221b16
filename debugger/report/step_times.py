"""How long steps take, and the ones that took much longer, with their cause."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from contract.page import to_section, to_text
from debugger.profile.numbers import plural
from debugger.profile.summary import Outlier, StepStatistics
from debugger.report.drawing import (
    HALF,
    add_axes,
    add_boxes,
    add_histogram,
    draw_figure,
    style_axes,
    time_axis,
    title_axes,
)
from debugger.report.envelope import build_envelope
from debugger.report.ink import ink
from debugger.report.view import MOST_PROCESSES, POINTS, View
from debugger.report.words import or_dash, to_duration, to_prose, to_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 40
_MOST_OUTLIERS = 12  # rows of the table
_MODES = {"TRAIN": "training", "EVAL": "evaluation", "GLOBAL": "unnamed mode"}
_INKS = {"TRAIN": "backward", "EVAL": "evaluate", "GLOBAL": "backward"}


def steps_section(view: View) -> str:
    """Statistics, histograms, and durations over the job."""
    steps = view.summary.steps
    if not steps:
        return to_section("Steps", "<p>No step was recorded.</p>", "steps")
    shown = _slowest(steps)
    left_out = len(steps) - len(shown)
    more = f" Figures show the slowest {len(shown)} of {len(steps)}." if left_out else ""
    total = ", ".join(
        f"{plural(number, 'step')} of {to_text(_MODES.get(mode, mode))}"
        for mode, number in view.summary.num_steps.items()
    )
    body = (
        f"<p>{total}. A step lasts from waiting for its batch to the end of the update.{more}</p>"
        f"{_table(steps)}"
        f'<div class="panels">{"".join(_draw_histogram(one) for one in shown)}</div>'
        f"{_draw_over_time(view, [one for one in shown if one.mode != 'EVAL'])}"
    )
    return to_section("Steps", body, "steps")


def outliers_section(view: View) -> str:
    """The longest steps and what was different about them."""
    summary = view.summary
    if not summary.outliers:
        told = "No step took much longer than the others of its kind." if summary.steps else (
            "No step was recorded."
        )  # fmt: skip
        return to_section("Outliers", f"<p>{told}</p>", "outliers")
    shown = summary.outliers[:_MOST_OUTLIERS]
    parts = [one.part for one in summary.outliers]
    often = max(dict.fromkeys(parts), key=parts.count)
    told = (
        f"{plural(summary.num_outliers, 'step')} took much longer than usual, "
        f"{to_duration(summary.lost_to_outliers)} in all. In {parts.count(often)} of the "
        f"{len(parts)} longest it was {often} that took longer."
    )
    rows = [_outlier_row(view, one) for one in shown]
    heads = ("process", "cause", "step", "at", "took", "usually")
    left_out = summary.num_outliers - len(shown)
    body = f"<p>{to_prose(told)}</p>{to_table(heads, rows, texts=2, is_prose=True)}"
    if left_out > 0:
        body += f'<p class="muted">{plural(left_out, "more outlier")} not listed.</p>'
    return to_section("Outliers", body, "outliers")


def _slowest(steps: Sequence[StepStatistics]) -> list[StepStatistics]:
    """At most so many, of training first, in the order in which they were given."""
    ranked = sorted(steps, key=lambda one: (one.mode == "EVAL", -one.p50))[:MOST_PROCESSES]
    return [one for one in steps if any(one is other for other in ranked)]


def _table(steps: Sequence[StepStatistics]) -> str:
    heads = ("process", "mode", "steps", "mean", "min", "p50", "p95", "p99", "max", "pictures/s")
    rows = []
    for one in steps:
        lengths = (one.mean, one.minimum, one.p50, one.p95, one.p99, one.maximum)
        speed = one.images_per_second
        rows.append(
            (to_text(one.node), to_text(_MODES.get(one.mode, one.mode)), f"{len(one.seconds):,}",
             *map(to_duration, lengths), or_dash(None if speed is None else f"{speed:,.1f}"))
        )  # fmt: skip
    return to_table(heads, rows, texts=2)


def _draw_histogram(one: StepStatistics) -> str:
    """Durations; what is far out goes into a last bar of its own, so that it cannot be missed."""
    scale, unit = (1000.0, "ms") if one.p95 < 1 else (1.0, "s")
    values = one.seconds * scale
    edge = min(one.maximum, max(one.p99, one.p50 + 4 * (one.p95 - one.p50))) * scale
    least = one.minimum * scale
    room = (edge - least) or max(edge, 1e-6) * 0.1
    bins = min(_BINS, max(8, len(values) // 8))
    edges = np.linspace(least, least + room, bins + 1)
    beyond = int((values > edges[-1]).sum())
    counts, _ = np.histogram(values, edges)

    def draw(figure: "Figure") -> None:
        from matplotlib.ticker import MaxNLocator

        axes = add_axes(figure, 44, 34, 10, 42)
        style_axes(axes)
        add_histogram(axes, edges.tolist(), counts.tolist(), _INKS.get(one.mode, "backward"))
        high = max(int(counts.max()), beyond)
        if beyond:
            add_boxes(axes, [(edges[-1] + room * 0.05, 0, room * 0.05, beyond)], "wait")
            axes.text(edges[-1] + room * 0.1, beyond + high * 0.03, f"{beyond:,} longer",
                      ha="right", color=ink("wait"))  # fmt: skip
        is_close = (one.p95 - one.p50) * scale < 0.06 * room
        pairs = ((one.p50, "p50 = p95" if one.p50 == one.p95 else "p50, p95"),) if is_close else (
            (one.p50, "p50"), (one.p95, "p95"),
        )  # fmt: skip
        for value, word in pairs:
            axes.axvline(value * scale, color=ink("text"), linewidth=0.9, linestyle=(0, (2, 2)))
            side = "left" if value * scale < least + 0.08 * room else "center"
            axes.text(value * scale, high * 1.08, word, ha=side, color=ink("muted"))
        axes.set_ylim(0, high * 1.18)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.set_xlim(least - room * 0.02, edges[-1] + room * (0.12 if beyond else 0.02))
        axes.set_xlabel(unit, labelpad=2)
        title_axes(axes, f"{one.node}, {_MODES.get(one.mode, one.mode)}", pad=12)

    alt = (
        f"Histogram of {len(values):,} steps of {one.node}, {one.mode}: median "
        f"{to_duration(one.p50)}, p95 {to_duration(one.p95)}, longest {to_duration(one.maximum)}"
    )
    return draw_figure(draw, alt, width=HALF, height=230)


def _draw_over_time(view: View, steps: Sequence[StepStatistics]) -> str:
    if not steps:
        return ""
    tall = 118

    def draw(figure: "Figure") -> None:
        for row, one in enumerate(steps):
            under = 24 + tall * (len(steps) - 1 - row)
            axes = add_axes(figure, 64, 26 + tall * row, 6, under)
            _draw_steps(axes, view, one)
            title_axes(axes, one.node, pad=6)
            time_axis(axes, view.profile.seconds)
            if row < len(steps) - 1:
                axes.tick_params(labelbottom=False)

    alt = "Duration of training steps over the job. " + "; ".join(
        f"{one.node}: {to_duration(one.minimum)} to {to_duration(one.maximum)}" for one in steps
    )
    hint = (
        "<p>The line is the mean of neighbouring steps, the band around it reaches from the "
        "shortest to the longest. Rings are outliers.</p>"
    )
    drawn = draw_figure(draw, alt, height=tall * len(steps) + 24)
    return f'<h3>Training steps over the job</h3>{hint}<div class="wide">{drawn}</div>'


def _draw_steps(axes: "Axes", view: View, one: StepStatistics) -> None:
    scale, unit = (1000.0, "ms") if one.maximum < 1 else (1.0, "s")
    style_axes(axes)
    line = build_envelope(view.since_start(one.starts), one.seconds * scale, POINTS)
    axes.fill_between(line.times, line.low, line.high, color=ink("backward"), alpha=0.2,
                      linewidth=0)  # fmt: skip
    axes.plot(line.times, line.mean, color=ink("backward"), linewidth=1.6)
    far = [out for out in view.summary.outliers if (out.node, out.mode) == (one.node, one.mode)]
    if far:
        axes.plot(
            [out.started_at - view.profile.started_at for out in far],
            [out.seconds * scale for out in far],
            linestyle="", marker="o", markersize=6, markerfacecolor="none",
            markeredgecolor=ink("wait"), markeredgewidth=1.5,
        )  # fmt: skip
    axes.set_ylim(0, one.maximum * scale * 1.1 or 1)
    axes.locator_params(axis="y", nbins=4)
    axes.set_ylabel(unit)


def _outlier_row(view: View, one: Outlier) -> tuple[str, ...]:
    return (
        to_text(one.node),
        to_prose(one.cause),
        f"{one.step:,}",
        to_duration(one.started_at - view.profile.started_at),
        to_duration(one.seconds),
        to_duration(one.usual_seconds),
    )
