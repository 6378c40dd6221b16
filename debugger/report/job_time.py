"""The job's stretches, and what its time went to."""

from typing import TYPE_CHECKING

from contract.page import to_section, to_text
from debugger.profile import summary as parts
from debugger.profile.data import GPU
from debugger.profile.numbers import plural
from debugger.report.drawing import add_axes, draw_figure, style_axes
from debugger.report.ink import ink, variable
from debugger.report.view import MOST_PROCESSES, View
from debugger.report.words import to_duration, to_moment, to_percent, to_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PART_INKS = {
    parts.WAIT: "wait",
    parts.COPY: "copy",
    parts.FORWARD: "forward",
    parts.BACKWARD: "backward",
    parts.OPTIMIZER: "optimizer",
    parts.REST: "other",
    parts.BETWEEN: "raised",
    parts.EVALUATION: "evaluate",
    parts.CHECKPOINTS: "checkpoint",
    parts.FEATURES: "features",
    parts.DECODING: "decode",
    parts.START_UP: "start",
    parts.FINALIZATION: "line",
}
_NO_STEPS = (
    "No step was recorded, so the job cannot be told apart into its stretches. `kennel run "
    "JOB.toml --profile` records steps; a script of your own calls smdebug's hook for it."
)
_ON_GPU = (
    " Times are those of the process: on a GPU, a part ends when its work is handed over, and a "
    "later one waits for it."
)


def job_section(view: View) -> str:
    """When the job started, ended, and how long each stretch of it took."""
    profile, phases = view.profile, view.summary.phases
    rows = [
        ("job started", to_moment(profile.started_at), "", ""),
        ("job ended", to_moment(profile.ended_at), "", ""),
        ("whole job", "", to_duration(profile.seconds), to_percent(100.0)),
    ]
    if len(phases) > 1:
        rows += [
            (phase.name, to_moment(phase.started_at), to_duration(phase.seconds),
             to_percent(phase.percent))
            for phase in phases
        ]  # fmt: skip
    body = to_table(("", "from", "duration", "of the job"), rows, texts=2)
    if len(phases) <= 1:
        body = f"<p>{to_text(_NO_STEPS)}</p>{body}"
    if not profile.has_ended:
        body = (
            "<p>The mark of the job's end is missing: it was killed, or it still runs. "
            f"This is what was recorded until then.</p>{body}"
        )
    return to_section("The job", body, "job")


def time_section(view: View) -> str:
    """Where the time goes: of the whole job, and of one step of each process."""
    shares = view.summary.shares
    if not shares:
        return to_section("Where the time goes", f"<p>{to_text(_NO_STEPS)}</p>", "time")
    most = max(shares, key=lambda share: share.percent)
    story = (
        f"<p>Most of it, {to_percent(most.percent)}, is {to_text(most.part)}. Each moment counts "
        "for one part only, so the parts sum to 100 %; of several processes it is the sum."
        f"{_ON_GPU if any(node.of(GPU) for node in view.profile.system.values()) else ''}</p>"
    )
    rows = [
        (_swatch(share.part) + to_text(share.part), to_duration(share.seconds),
         to_percent(share.percent))
        for share in shares
    ]  # fmt: skip
    body = story + _draw_shares(view)
    body += to_table(("part", "time", "share"), rows) + _draw_step_parts(view)
    return to_section("Where the time goes", body, "time")


def _swatch(part: str) -> str:
    return f'<i class="swatch" style="background:{variable(PART_INKS[part])}"></i>'


def _draw_shares(view: View) -> str:
    """One bar of 100 percent."""
    shares = view.summary.shares

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 0, 4, 0, 22)
        style_axes(axes, grid="")
        left = 0.0
        for share in shares:
            _bar(axes, (left, 0), share.percent, share.part)
            if share.percent >= 5:
                wide = share.percent >= 2.2 + 0.75 * len(share.part)
                _inside(axes, left + share.percent / 2, share.part, wide, share.percent)
            left += share.percent
        axes.set_xlim(0, 100)
        axes.set_ylim(-0.5, 0.5)
        axes.set_yticks([])
        axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
        first, *_, last = axes.get_xticklabels()  # the panel is as wide as the page
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")

    told = ", ".join(f"{share.part} {share.percent:.1f} %" for share in shares)
    return f'<div class="wide">{draw_figure(draw, f"Time of the job: {told}", height=86)}</div>'


_STRONG = (parts.WAIT, parts.BACKWARD, parts.OPTIMIZER, parts.EVALUATION, parts.CHECKPOINTS,
           parts.FEATURES, parts.DECODING)  # fmt: skip
_PALE = (parts.COPY, parts.FORWARD, parts.START_UP)


def _bar(axes: "Axes", corner: tuple[float, float], width: float, part: str) -> None:
    axes.barh(corner[1], width, left=corner[0], height=0.92, color=ink(PART_INKS[part]),
              edgecolor=ink("surface"), linewidth=1)  # fmt: skip


def _inside(axes: "Axes", x: float, part: str, is_wide: bool, percent: float) -> None:
    colour = ink("surface" if part in _STRONG else "onpale" if part in _PALE else "text")
    if is_wide:
        axes.text(x, 0.13, part, ha="center", va="center", color=colour, fontsize=12)
        axes.text(x, -0.2, f"{percent:.0f} %", ha="center", va="center", color=colour,
                  fontsize=12, fontweight="bold")  # fmt: skip
    else:
        axes.text(x, 0, f"{percent:.0f} %", ha="center", va="center", color=colour, fontsize=12)


def _draw_step_parts(view: View) -> str:
    """A bar for each process: what the mean training step is made of."""
    steps = [one for one in view.summary.steps if one.parts and one.mode != "EVAL"]
    if not steps:
        return ""
    shown = sorted(steps, key=lambda one: -one.mean)[:MOST_PROCESSES]

    longest = max(one.mean for one in shown)
    scale, unit = (1000, "ms") if longest < 1 else (1, "s")

    def draw(figure: "Figure") -> None:
        axes = add_axes(figure, 120, 6, 84, 26)
        style_axes(axes, grid="x")
        for row, one in enumerate(reversed(shown)):
            left = 0.0
            for part, seconds in one.parts.items():
                _bar(axes, (left, row), seconds * scale, part)
                left += seconds * scale
            axes.annotate(to_duration(one.mean), (left, row), xytext=(8, 0), va="center",
                          textcoords="offset points", color=ink("text"))  # fmt: skip
        axes.set_yticks(range(len(shown)), [one.node for one in reversed(shown)])
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlim(0, longest * scale * 1.02)
        axes.xaxis.set_major_formatter(lambda mark, _: f"{mark:g} {unit}")

    names = [part for part in parts.PARTS_OF_STEP if any(part in one.parts for one in shown)]
    key = "".join(f"<span>{_swatch(part)}{to_text(part)}</span>" for part in names)
    alt = "; ".join(f"{one.node} {to_duration(one.mean)}" for one in shown)
    drawn = draw_figure(draw, f"Mean training step: {alt}", height=34 + 34 * len(shown))
    told = f"The mean of {plural(len(steps), 'process')}, from waiting for the batch to the update."
    if len(steps) > len(shown):
        told += f" The slowest {len(shown)} are shown."
    return (
        f"<h3>One training step</h3><p>{told}</p>"
        f'<p class="key">{key}</p><div class="wide">{drawn}</div>'
    )
