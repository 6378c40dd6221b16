"""What the log says of saved tensors: when, how much, and what there is none of."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from torch import nn

from train.save_plan import MOST_SHARE, POINTS, Schedule
from train.taps import named_parameters, possible_names

log = logging.getLogger(__name__)

_BUDGET_BYTES = 10**9  # that a run may leave without a warning
_ALWAYS = "losses"


def tell_plan(
    folder: Path,
    schedules: Mapping[str, tuple[Schedule, Schedule]],
    autos: Iterable[str],
    planned_steps: int,
) -> None:
    """One line for all collections that are saved together.

    `schedules`: of training steps and of evaluations, by collection; `autos`: whose are `auto`.
    """
    chosen = set(autos)
    together: dict[tuple[Schedule, Schedule, bool], list[str]] = {}
    for name, (train, evaluation) in schedules.items():
        together.setdefault((train, evaluation, name in chosen), []).append(name)
    for (train, evaluation, is_auto), names in together.items():
        why = ""
        if is_auto:
            share = f"{100 * MOST_SHARE:.0f} %"
            why = (
                f" (auto: about {POINTS} points, fewer where saving takes over {share} of the time)"
            )
        log.info(
            "tensors %s: %s of %d, %s%s, in %s", ", ".join(names),
            _when(train, "step"), planned_steps, _when(evaluation, "evaluation"), why, folder,
        )  # fmt: skip


def _when(schedule: Schedule, unit: str) -> str:
    text = f"every {unit}" if schedule.interval == 1 else f"every {schedule.interval} {unit}s"
    text += f" from {schedule.start} on" if schedule.start else ""
    text += f" to {schedule.end}" if schedule.end is not None else ""
    return text + (f" and {', '.join(map(str, schedule.steps))}" if schedule.steps else "")


def tell_size(num_bytes: int) -> bool:
    """A warning when a run would leave much; True when there was one."""
    if num_bytes <= _BUDGET_BYTES:
        return False
    log.warning(
        "warning: tensors: this run would leave about %.1f GB: raise save_interval, set end_step, "
        'save fewer collections, or statistics instead of values (reductions "mean,abs_max")',
        num_bytes / 1e9,
    )
    return True


def tell_unmatched(
    collections: Mapping[str, Sequence[str]],
    module: nn.Module,
    others: Sequence[str],
    *,
    is_head_alone: bool,
) -> None:
    """One line about collections in which nothing can be, if there are any.

    `collections`: regexes by name; `others`: names of what no module has.
    """
    parameters = [name for name, _ in named_parameters(module)]
    names = [*others, *parameters, *(f"gradient/{name}" for name in parameters)]
    names += possible_names(module)
    empty = [
        collection
        for collection, regexes in collections.items()
        if collection != _ALWAYS
        and not any(re.search(regex, name) for regex in regexes for name in names)
    ]
    if not empty:
        return
    if is_head_alone:
        why = (
            "with unfreeze=none the frozen trunk computes each picture's features once and only "
            "the head learns; unfreeze=last-stage or all shows what is inside the trunk"
        )
    else:
        likely = names[-3]
        why = f"names are such as {parameters[0]} and {likely}"
    log.warning("warning: tensors: nothing is called as %s asks: %s", ", ".join(empty), why)
