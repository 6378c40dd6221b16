"""The list of what a job saved, as a table: names, shapes, and at which steps of which mode."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from control.terminal import table


def tensors_text(document: Mapping[str, Any]) -> str:
    """The debugger's document for people: a row a tensor, one line about all of them."""
    rows = [_row(one) for one in document["tensors"]]
    if not rows:
        return "nothing of this kind was saved"
    steps = ", ".join(f"{len(found):,} of {mode}" for mode, found in document["steps"].items())
    workers = ", ".join(document["workers"])
    lines = [
        table(("tensor", "collections", "shape", "steps"), rows),
        f"{len(rows):,} tensors at {steps} steps, by {workers}",
    ]
    if not document.get("has_ended", True):
        lines.append("the job still runs, or it was killed: more may follow")
    return "\n".join(lines)


def _row(tensor: Mapping[str, Any]) -> tuple[str, ...]:
    steps = "  ".join(f"{mode} {_range(found)}" for mode, found in tensor["steps"].items())
    collections = ", ".join(tensor["collections"]) or "-"
    return (str(tensor["name"]), collections, _shape(tensor), steps)


def _shape(tensor: Mapping[str, Any]) -> str:
    """Of a tensor that is only known by its reductions, which those are."""
    if tensor["shape"] is None:
        return ", ".join(tensor["reductions"]) or "-"
    return "x".join(map(str, tensor["shape"])) or "scalar"


def _range(steps: Sequence[int]) -> str:
    """`0-45 (every 5)`, where they are even; else the first and last with their number."""
    if len(steps) < 3:
        return ", ".join(map(str, steps))
    gaps = {after - before for before, after in pairwise(steps)}
    if len(gaps) > 1:
        return f"{steps[0]}-{steps[-1]} ({len(steps)})"
    (gap,) = gaps
    return f"{steps[0]}-{steps[-1]}" + (f" every {gap}" if gap > 1 else "")
