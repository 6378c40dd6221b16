"""Saved tensors in the page of a job: losses and scalars against steps, all others in a row."""

from collections.abc import Sequence

from contract.page import to_section, to_text
from debugger.profile.numbers import plural
from debugger.report.job_files import JobFiles
from debugger.report.saved_lines import draw_panel, panel_of
from debugger.report.words import or_dash, to_table, to_words
from debugger.saved import GRADIENT, SavedTensors

_MOST_LOSSES = 4
_MOST_SCALARS = 6
_MOST_ROWS = 60  # of the table; two steps of each are read
_SCALAR = "scalar/"
_NONE = (
    "No tensor was saved. `kennel run JOB.toml --debug` saves losses, weights, gradients and more."
)


def tensors_section(job: JobFiles, saved: SavedTensors | None, reason: str) -> str:
    """Losses and scalars against steps, and how large the others were first and last."""
    if saved is None:
        return to_section("Tensors", to_words(reason or _NONE), "tensors")
    losses = [name for name in sorted(saved.all_names) if saved.is_in(name, "losses")]
    # Those of each epoch are drawn as training curves already.
    known = {name for row in job.epochs for name in row}
    scalars = [
        name
        for name in sorted(saved.all_names)
        if name.startswith(_SCALAR) and name.removeprefix(_SCALAR) not in known
    ]
    shown = [*losses[:_MOST_LOSSES], *scalars[:_MOST_SCALARS]]
    figures = [draw_panel(panel) for name in shown if (panel := panel_of(saved, name))]
    modes = [saved.moment(step).mode for step in saved.steps]
    told = ", ".join(f"{modes.count(mode):,} of {to_text(mode)}" for mode in dict.fromkeys(modes))
    others = sorted(saved.all_names - {*losses} - {n for n in saved.all_names if _SCALAR in n})
    body = (
        f"<p>{plural(len(saved.all_names), 'tensor')} at {plural(len(saved.steps), 'step')}: "
        f"{told}. <code>kennel debug tensors</code> lists all of them.</p>"
        f'<div class="panels">{"".join(figures)}</div>{_table(saved, others)}'
    )
    return to_section("Tensors", body, "tensors")


def _table(saved: SavedTensors, names: Sequence[str]) -> str:
    """Mean of absolute values, first and last: what died, grew, or never moved is seen here."""
    ranked = sorted(names, key=lambda name: (not name.startswith(GRADIENT), name))
    rows = [_row(saved, name) for name in ranked[:_MOST_ROWS]]
    if not rows:
        return ""
    more = len(ranked) - len(rows)
    left = f'<p class="muted">{plural(more, "more tensor")}.</p>' if more > 0 else ""
    heads = ("tensor", "collections", "steps", "mean of |values|, first", "last", "last / first")
    return f"<h3>Weights, gradients and others</h3>{to_table(heads, rows, texts=2)}{left}"


def _row(saved: SavedTensors, name: str) -> tuple[str, ...]:
    steps = [step for step in saved.steps if saved.has_name(name, step)]
    first, last = (_size(saved, name, step) for step in (steps[0], steps[-1]))
    ratio = last / first if first and last is not None and len(steps) > 1 else None
    collections = [one for one in saved.collections if saved.is_in(name, one) and one != "all"]
    return (
        to_text(name),
        to_text(", ".join(collections)),
        f"{len(steps):,}",
        or_dash(None if first is None else f"{first:.4g}"),
        or_dash(None if last is None else f"{last:.4g}"),
        or_dash(None if ratio is None else f"{ratio:.3g}"),
    )


def _size(saved: SavedTensors, name: str, step: int) -> float | None:
    """The mean of absolute values, over all workers; None where neither was saved."""
    found = [
        values["abs_mean"]
        for _, values in saved.reduced(name, step, ("abs_mean",))
        if "abs_mean" in values
    ]
    return sum(found) / len(found) if found else None
