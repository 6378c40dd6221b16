"""What a job saved, as one JSON document: `python -m debugger tensors`."""

from collections.abc import Mapping
from typing import Any

from debugger import tensors
from debugger.saved import Moment, SavedTensors, check_regex, matches


def listing_of(source: str, saved: SavedTensors, mode: str = "", regex: str = "") -> dict[str, Any]:
    """Names, collections, shapes and steps by mode, workers; of one mode, or matching names only.

    A tensor of which only reductions were saved has shape null and says which. Raises SpecError:
    `regex` is no regular expression.
    """
    check_regex("--regex", regex)
    moments = [saved.moment(step) for step in saved.steps]
    moments = [one for one in moments if not mode or one.mode == mode]
    names = sorted({name for one in moments for name in saved.names(one.step)})
    if regex:
        names = [name for name in names if matches(name, [regex])]
    rows = [_row(name, saved, moments) for name in names]
    return {
        "source": source,
        "has_ended": tensors.has_ended(saved.trial.path),
        "workers": list(saved.workers()),
        "steps": _by_mode(moments),
        "collections": {
            one: found
            for one in saved.collections
            if (found := [row["name"] for row in rows if one in row["collections"]])
        },
        "tensors": rows,
    }


def _row(name: str, saved: SavedTensors, moments: list[Moment]) -> dict[str, Any]:
    here = [one for one in moments if saved.has_name(name, one.step)]
    kept = tensors.stored(saved.trial, name, here[0].step)
    values = saved.value(name, here[0].step)
    return {
        "name": name,
        "collections": [one for one in saved.collections if saved.is_in(name, one)],
        "shape": None if values is None else list(values.shape),
        "dtype": None if values is None else str(values.dtype),
        "reductions": sorted({one for worker in kept.values() for one in worker.reductions}),
        "workers": sorted(kept),
        "steps": _by_mode(here),
    }


def _by_mode(moments: list[Moment]) -> Mapping[str, list[int]]:
    """Steps of each mode's own count."""
    found: dict[str, list[int]] = {}
    for one in moments:
        found.setdefault(one.mode, []).append(one.mode_step)
    return found
