"""Data loading, and what holds the GPUs up: busy cores, or cores that wait for I/O."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from contract.page import to_section, to_text
from debugger.profile.summary import DataLoading
from debugger.report.drawing import (
    HALF,
    add_axes,
    add_histogram,
    draw_figure,
    style_axes,
    title_axes,
)
from debugger.report.findings import tell_rule
from debugger.report.ink import ink
from debugger.report.view import MOST_PROCESSES, View
from debugger.report.words import or_dash, to_duration, to_percent, to_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 40
_LEAST_MS = 0.01  # shorter waits are drawn as this one
_BOTTLENECKS = (
    ("CPUBottleneck", "a core was busy", "wait"),
    ("IOBottleneck", "a core waited for I/O", "checkpoint"),
)


def loading_section(view: View) -> str:
    """Workers against cores, how long steps waited, and how often they starved."""
    loading = view.summary.loading
    if not loading:
        text = "No loading of batches was recorded, so it cannot be judged."
        body = f"<p>{text}</p>{tell_rule(view, 'Dataloader')}"
        return to_section("Data loading", body, "loading")
    shown = sorted(loading, key=lambda one: -one.wait_percent)[:MOST_PROCESSES]
    figures = "".join(_draw_waits(one) for one in shown if len(one.wait_seconds))
    told = "".join(f"<p>{_tell(one)}</p>" for one in shown[:2])
    body = (
        f'{told}{tell_rule(view, "Dataloader")}{_table(loading)}<div class="panels">{figures}</div>'
    )
    return to_section("Data loading", body, "loading")


def bottlenecks_section(view: View) -> str:
    """How often a GPU idled while a core was busy, or waited for I/O."""
    told = "".join(tell_rule(view, rule) for rule, _, _ in _BOTTLENECKS)
    bars = [bar for rule, word, colour in _BOTTLENECKS if (bar := _bar(view, rule, word, colour))]
    if not bars:
        told = told or "<p>The rules about bottlenecks were not asked.</p>"
    body = told + (_draw_bars(bars) if bars else "")
    return to_section("CPU and I/O bottlenecks", body, "bottlenecks")


def _tell(one: DataLoading) -> str:
    """One process in a sentence. Markup."""
    workers = (
        "the timeline does not say how many workers load"
        if one.num_workers is None
        else "the training process loads by itself"
        if one.num_workers == 0
        else f"{one.num_workers} workers load"
        if one.num_workers > 1
        else "one worker loads"
    )
    return (
        f"<b>{to_text(one.node)}</b>: {workers}, the host has {one.cores} cores. "
        f"Steps spent {to_percent(one.wait_percent)} of their time waiting for data; "
        f"{to_percent(one.starved_percent)} of them waited for more than a tenth of theirs."
    )


def _table(loading: Sequence[DataLoading]) -> str:
    heads = ("process", "workers", "seen", "cores", "pinned memory", "batches", "wait p50",
             "wait p95", "made in p50", "p95", "workers busy", "waiting", "starved")  # fmt: skip
    rows = []
    for one in loading:
        pinned = None if one.pin_memory is None else ("yes" if one.pin_memory else "no")
        busy = one.workers_busy_percent
        rows.append((
            to_text(one.node), or_dash(None if one.num_workers is None else str(one.num_workers)),
            str(one.num_seen), str(one.cores), or_dash(pinned), f"{one.batches:,}",
            to_duration(one.wait_p50), to_duration(one.wait_p95),
            or_dash(None if one.load_p50 is None else to_duration(one.load_p50)),
            or_dash(None if one.load_p95 is None else to_duration(one.load_p95)),
            or_dash(None if busy is None else to_percent(busy, 0)),
            to_percent(one.wait_percent, 0), to_percent(one.starved_percent, 0),
        ))  # fmt: skip
    return to_table(heads, rows)


def _draw_waits(one: DataLoading) -> str:
    """How long steps waited, on a scale of powers: a microsecond and a second both occur."""
    values = np.maximum(one.wait_seconds * 1000, _LEAST_MS)
    low, high = np.log10(values.min()), np.log10(values.max())
    room = max(high - low, 0.3)
    edges = 10 ** np.linspace(low - 0.05 * room, low + 1.05 * room, _BINS + 1)
    counts, _ = np.histogram(values, edges)

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 44, 34, 12, 42)
        style_axes(axes)
        axes.set_xscale("log")
        add_histogram(axes, edges.tolist(), counts.tolist(), "wait")
        marks = [float(m) for p in range(-2, 7) for m in (10.0**p, 3 * 10.0**p)]
        inside = [mark for mark in marks if edges[0] <= mark <= edges[-1]]
        step = max(1, -(-len(inside) // 6))
        axes.set_xticks(inside[::step], [to_duration(mark / 1000) for mark in inside[::step]])
        axes.minorticks_off()
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel("wait for a batch", labelpad=2)
        title_axes(axes, one.node)

    alt = (
        f"Histogram of the waits of {one.node}: median {to_duration(one.wait_p50)}, "
        f"p95 {to_duration(one.wait_p95)}"
    )
    return draw_figure(draw, alt, width=HALF, height=220)


def _bar(
    view: View, rule: str, word: str, colour: str
) -> tuple[str, list[tuple[float, str, str]]] | None:
    """A rule's samples, in percent: the GPUs worked, idled for this reason, or for another."""
    result = view.result(rule)
    details = view.details(rule)
    points = int(result.report.get("Datapoints") or 0) if result else 0
    low = int(details.get("low_gpu_utilization") or 0)
    if result is None or not points or not _has_gpu(view):
        return None
    held = int(result.report.get("Violations") or 0)
    parts = (
        (100 * held / points, f"a GPU idled and {word}", colour),
        (100 * max(low - held, 0) / points, "a GPU idled for another reason", "other"),
        (100 * (points - max(low, held)) / points, "all GPUs worked", "backward"),
    )
    return rule, [part for part in parts if part[0] > 0]


def _has_gpu(view: View) -> bool:
    return any(node.of("GPUUtilization") for node in view.profile.system.values())


def _draw_bars(bars: Sequence[tuple[str, list[tuple[float, str, str]]]]) -> str:
    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 120, 4, 20, 24)
        style_axes(axes, grid="")
        for place, (_, shares) in enumerate(reversed(bars)):
            left = 0.0
            for percent, _, colour in shares:
                axes.barh(place, percent, left=left, height=0.7, color=ink(colour),
                          edgecolor=ink("surface"), linewidth=1)  # fmt: skip
                if percent >= 5:
                    shade = ink("text" if colour == "other" else "surface")
                    axes.text(left + percent / 2, place, f"{percent:.0f} %", ha="center",
                              va="center", color=shade, fontweight="bold")  # fmt: skip
                left += percent
        axes.set_xlim(0, 100)
        axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
        axes.set_yticks(range(len(bars)), [rule for rule, _ in reversed(bars)])

    words = {word: colour for _, shares in bars for _, word, colour in shares}
    key = "".join(
        f'<span><i class="swatch" style="background:var(--{colour})"></i>{word}</span>'
        for word, colour in words.items()
    )
    alt = "; ".join(
        f"{rule}: " + ", ".join(f"{word} {percent:.1f} %" for percent, word, _ in shares)
        for rule, shares in bars
    )
    drawn = draw_figure(draw, alt, height=32 + 40 * len(bars))
    rows = [
        (rule, word, f"{percent:.1f} %") for rule, shares in bars for percent, word, _ in shares
    ]
    table = to_table(("rule", "", "of the samples"), rows, texts=2)
    return f'<p class="key">{key}</p><div class="wide">{drawn}</div>{table}'
