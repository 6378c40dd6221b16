"""System usage: the table of AWS's report, and what AWS shows in Studio only: use over time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from contract.page import to_section, to_text
from debugger.profile.data import CPU, CPU_WAIT, GPU, GPU_MEMORY, MEMORY, NodeMetrics, Series
from debugger.profile.numbers import plural
from debugger.profile.samples import highest_of, mean_of
from debugger.report.drawing import (
    add_axes,
    draw_figure,
    percent_axis,
    style_axes,
    time_axis,
    title_axes,
)
from debugger.report.envelope import build_envelope
from debugger.report.fired import fired_rows
from debugger.report.ink import ink
from debugger.report.strips import DOING_WORDS, draw_rows, job_row
from debugger.report.view import MOST_HOSTS, POINTS, View
from debugger.report.words import to_bytes, to_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOW, _BUSY = 70.0, 70.0  # percent, as in AWS's sentences about a host
# AWS's words for its metrics, and ours; all others are percents.
_BYTES = ("Network", "Disk read", "Disk write")
_COUNTS = ("IOPS",)


class _Line(NamedTuple):
    label: str
    series: Series
    colour: str
    is_bold: bool  # drawn in front, with a band


def usage_section(view: View) -> str:
    """A sentence on each host, use over time with the rules that fired, and percentiles."""
    if not view.profile.system:
        text = (
            "No system metrics were recorded: the host agent did not run. "
            "`kennel run JOB.toml --profile` starts it with the job."
        )
        return to_section("System usage", f"<p>{to_text(text)}</p>", "usage")
    hosts = list(view.hosts())
    told = "".join(f"<p>{tell_host(name, node)}</p>" for name, node in hosts)
    figures = "".join(_draw_host(view, name, node) for name, node in hosts)
    left_out = len(view.profile.system) - MOST_HOSTS
    more = f'<p class="muted">{plural(left_out, "more host")} are in the table.</p>'
    hint = (
        "<p>Lines are means, the bands around them reach from the lowest to the highest value. "
        "Below, what the job was doing, and when what a rule looks for was there.</p>"
    )
    words = "".join(
        f'<span><i class="swatch" style="background:var(--{colour})"></i>{word}</span>'
        for colour, word in DOING_WORDS.items()
        if any(colour in (span[2] for span in job_row(view, name).spans) for name, _ in hosts)
    )
    hint += f'<p class="key">{words}</p>' if words else ""
    body = told + hint + figures + (more if left_out > 0 else "") + _table(view)
    return to_section("System usage", body, "usage")


def tell_host(name: str, node: NodeMetrics) -> str:
    """What AWS's report says of a host, and for hosts without a GPU, too. Markup."""
    cpu, gpu = mean_of(node.of(CPU)), mean_of(node.of(GPU))
    if cpu is None:
        return f"<b>{to_text(name)}</b>: no CPU was measured."
    busy = f"the 95th percentile of its CPU is {np.quantile(cpu.values, 0.95):.0f} %"
    if gpu is None:
        core = highest_of(node.of(CPU))
        assert core is not None
        return (
            f"<b>{to_text(name)}</b> has no GPU that could be measured; {busy}, of its busiest "
            f"core {np.quantile(core.values, 0.95):.0f} %."
        )
    cpu95, gpu95 = float(np.quantile(cpu.values, 0.95)), float(np.quantile(gpu.values, 0.95))
    gpu50 = float(np.median(gpu.values))
    # A host whose GPUs take turns has none that is idle.
    most = max(float(np.quantile(one.values, 0.95)) for one in node.of(GPU).values())
    busy += f", of its GPU {gpu95:.0f} % (median {gpu50:.0f} %)"
    if most < _LOW and cpu95 < _BUSY:
        verdict = "under-used: a smaller instance, or larger batches, would do"
    elif most < _LOW:
        verdict = "probably held up by its CPU"
    elif gpu50 > _BUSY:
        verdict = "well used"
    else:
        verdict = "used in turns: its GPU works and waits"
    return f"<b>{to_text(name)}</b> is {verdict}; {busy}."


def _draw_host(view: View, name: str, node: NodeMetrics) -> str:
    """Use of one host over time, its job's phases, and the rules that fired."""
    fired = fired_rows(view, name)
    rows = [*(row for row in [job_row(view, name)] if row.spans), *fired]
    under = 30 + 24 * len(rows)

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 150, 30, 6, under)
        style_axes(axes)
        percent_axis(axes)
        title_axes(axes, name)
        for line in _lines(node):
            _draw_line(axes, view, line)
        for row in fired:
            for start, length, _ in row.spans:
                axes.axvspan(start, start + length, color=ink("wait"), alpha=0.07, linewidth=0)
        time_axis(axes, view.profile.seconds)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False,
                    labelcolor=ink("text"), borderaxespad=0.3, handlelength=1.4)  # fmt: skip
        if rows:
            below = add_axes(figure, 150, 238, 6, 4)
            draw_rows(below, rows, view.profile.seconds)

    alt = f"Use of {name} over time. " + "; ".join(
        f"{line.label}: mean {line.series.values.mean():.0f} %" for line in _lines(node)
    )
    return f'<div class="wide">{draw_figure(draw, alt, height=208 + under)}</div>'


def _lines(node: NodeMetrics) -> list[_Line]:
    found = (
        ("busiest core", highest_of(node.of(CPU)), "copy", False),
        ("CPU", mean_of(node.of(CPU)), "wait", True),
        ("waiting for I/O", highest_of(node.of(CPU_WAIT)), "checkpoint", False),
        ("GPU", mean_of(node.of(GPU)), "backward", True),
    )
    return [_Line(label, series, colour, bold) for label, series, colour, bold in found if series]


def _draw_line(axes: "Axes", view: View, one: _Line) -> None:
    line = build_envelope(view.since_start(one.series.times), one.series.values, POINTS)
    colour, width, above = ink(one.colour), (2 if one.is_bold else 1.1), (3 if one.is_bold else 2)
    axes.plot(line.times, line.mean, color=colour, linewidth=width, label=one.label, zorder=above)
    if one.is_bold and line.span_seconds:
        axes.fill_between(line.times, line.low, line.high, color=colour, alpha=0.22, linewidth=0)


def _table(view: View) -> str:
    """max, p99, p95, p50 and min of each metric, by host: AWS's table."""
    details = view.details("OverallSystemUsage")
    rows = []
    for metric, nodes in details.items():
        for node, values in nodes.items():
            if values:
                rows.append([to_text(str(node)), to_text(str(metric)), *_cells(metric, values)])
    rows = rows or _own_rows(view)
    heads = ("host", "metric", "max", "p99", "p95", "p50", "min")
    return f"<h3>Percentiles</h3>{to_table(heads, sorted(rows), texts=2)}" if rows else ""


def _cells(metric: str, values: Mapping[str, float]) -> list[str]:
    numbers = [float(values.get(name) or 0.0) for name in ("max", "p99", "p95", "p50", "min")]
    if metric in _BYTES:
        return [f"{to_bytes(number)}/s" for number in numbers]
    if metric in _COUNTS:
        return [f"{number:,.1f}/s" for number in numbers]
    return [f"{number:.1f} %" for number in numbers]


def _own_rows(view: View) -> list[list[str]]:
    """The same from the samples, where the rule was not asked."""
    rows = []
    for host, node in view.profile.system.items():
        for metric, word in ((CPU, "CPU"), (CPU_WAIT, "I/O"), (GPU, "GPU"),
                             (GPU_MEMORY, "GPU memory"), (MEMORY, "CPU memory")):  # fmt: skip
            if series := mean_of(node.of(metric)):
                found = dict(zip(("max", "p99", "p95", "p50", "min"), _quantiles(series),
                                 strict=True))  # fmt: skip
                rows.append([to_text(host), word, *_cells(word, found)])
    return rows


def _quantiles(series: Series) -> Sequence[float]:
    return [float(value) for value in np.quantile(series.values, (1, 0.99, 0.95, 0.5, 0))]
