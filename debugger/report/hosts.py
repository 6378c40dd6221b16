"""Several hosts side by side."""

from typing import TYPE_CHECKING

from contract.page import to_section, to_text
from debugger.profile.data import Series
from debugger.profile.summary import HostUse
from debugger.report.drawing import (
    HALF,
    add_axes,
    draw_figure,
    percent_axis,
    style_axes,
    time_axis,
    title_axes,
)
from debugger.report.envelope import build_envelope
from debugger.report.ink import ink
from debugger.report.view import MOST_HOSTS, POINTS, View
from debugger.report.words import or_dash, to_bytes, to_duration, to_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BARS = 24


def hosts_section(view: View) -> str:
    """Nothing with one host only."""
    hosts = view.summary.hosts
    if len(hosts) < 2:
        return ""
    slow = view.summary.slow_host
    own = {one.host: one for one in hosts}
    if slow and slow in own:
        more = own[slow].slower_percent
        told = (
            f"{slow} is slow: its own part of a step takes "
            f"{0 if more is None else more:.0f} % longer than the fastest host's, and all others "
            "wait for it in every step."
        )
    else:
        told = "No host holds the others up."
    body = (
        f"<p>{to_text(told)}</p>{_draw_own(view)}{_table(view)}"
        f'<div class="panels">{"".join(_draw_use(view, one) for one in hosts[:MOST_HOSTS])}</div>'
    )
    return to_section("Hosts side by side", body, "hosts")


def _table(view: View) -> str:
    """A row for each figure, a column for each host: what differs is seen at once."""
    hosts = view.summary.hosts
    rows = [
        ("cores", [str(one.cores) for one in hosts]),
        ("GPUs", [str(one.gpus) for one in hosts]),
        ("training step, mean", [_seconds(one.step_mean) for one in hosts]),
        ("its own part of it", [_seconds(one.own_mean) for one in hosts]),
        ("longer than the fastest host", [_percent(one.slower_percent) for one in hosts]),
        ("waiting for data", [_percent(one.wait_percent) for one in hosts]),
        ("CPU, mean", [_percent(one.cpu_mean) for one in hosts]),
        ("CPU, p95", [_percent(one.cpu_p95) for one in hosts]),
        ("cores waiting for I/O, mean", [_percent(one.io_wait_mean) for one in hosts]),
        ("GPU, mean", [_percent(one.gpu_mean) for one in hosts]),
        ("GPU, p95", [_percent(one.gpu_p95) for one in hosts]),
        ("GPU memory, at most", [_percent(one.gpu_memory_max) for one in hosts]),
        ("memory, at most", [_percent(one.memory_max) for one in hosts]),
        ("received over the network", [_bytes(one.received_bytes) for one in hosts]),
        ("sent", [_bytes(one.sent_bytes) for one in hosts]),
        ("read from disks", [_bytes(one.read_bytes) for one in hosts]),
        ("written", [_bytes(one.written_bytes) for one in hosts]),
    ]
    known = [(name, *cells) for name, cells in rows if any(cell != "&ndash;" for cell in cells)]
    return to_table(("", *(to_text(one.host) for one in hosts)), known)


def _draw_own(view: View) -> str:
    hosts = [
        one for one in view.summary.hosts if one.step_mean is not None and one.own_mean is not None
    ]
    hosts = hosts[:_MOST_BARS]
    if not hosts:
        return ""

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 120, 6, 150, 44)
        style_axes(axes, grid="x")
        for place, one in enumerate(reversed(hosts)):
            step, own = (one.step_mean or 0.0) * 1000, (one.own_mean or 0.0) * 1000
            is_slow = one.host == view.summary.slow_host
            axes.barh(place, step, height=0.66, color=ink("raised"), linewidth=0)
            axes.barh(place, own, height=0.66, color=ink("wait" if is_slow else "backward"),
                      linewidth=0)  # fmt: skip
            axes.annotate(f"{_seconds(one.own_mean)} of {_seconds(one.step_mean)}", (step, place),
                          xytext=(8, 0), textcoords="offset points", va="center",
                          color=ink("text"))  # fmt: skip
        longest = max(one.step_mean or 0.0 for one in hosts) * 1000
        axes.set_xlim(0, longest * 1.02 or 1)
        axes.set_ylim(-0.6, len(hosts) - 0.4)
        axes.set_yticks(range(len(hosts)), [one.host for one in reversed(hosts)])
        axes.set_xlabel("milliseconds of a training step", labelpad=2)

    alt = "A host's own part of a step: " + ", ".join(
        f"{one.host} {_seconds(one.own_mean)} of {_seconds(one.step_mean)}" for one in hosts
    )
    drawn = draw_figure(draw, alt, height=62 + 32 * len(hosts))
    hint = (
        "<p>Full bars: what a host does by itself in a training step, on average. The pale rest is "
        "shared with the others: the update, where all wait for the last one.</p>"
    )
    return f'{hint}<div class="wide">{drawn}</div>'


def _draw_use(view: View, one: HostUse) -> str:
    found: list[tuple[str, Series, str]] = []
    for word, series, colour in (("CPU", one.cpu, "wait"), ("GPU", one.gpu, "backward")):
        if series is not None and len(series.times):
            found.append((word, series, colour))

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 52, 30, 8, 24)
        style_axes(axes)
        percent_axis(axes)
        title_axes(axes, one.host)
        for word, series, colour in found:
            line = build_envelope(view.since_start(series.times), series.values, POINTS // 2)
            axes.plot(line.times, line.mean, color=ink(colour), linewidth=1.6, label=word)
        time_axis(axes, view.profile.seconds)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False,
                    labelcolor=ink("text"), borderaxespad=0.2, handlelength=1.2)  # fmt: skip

    if not found:
        return ""
    alt = f"Use of {one.host}: " + ", ".join(
        f"{word} mean {series.values.mean():.0f} %" for word, series, _ in found
    )
    return draw_figure(draw, alt, width=HALF, height=190)


def _seconds(value: float | None) -> str:
    return or_dash(None if value is None else to_duration(value))


def _percent(value: float | None) -> str:
    return or_dash(None if value is None else f"{value:.1f} %")


def _bytes(value: float | None) -> str:
    return or_dash(None if value is None else to_bytes(value))
