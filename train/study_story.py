"""The study in words: what its page opens with."""

import statistics
from collections import Counter

from contract.hyperparameters import BY_NAME
from contract.page import Tile
from contract.ranges import CategoricalRange
from contract.setting import Value
from contract.study import Study, Trial
from train.study_axes import RangeAxis

# Trials; fewer say nothing about what more of them would bring.
_FEW, _FEW_A_RANGE = 5, 4
_NEAR_EDGE = 0.05  # of a range, as it is scaled
_LATE = 0.25  # of the trials: a best among the last of them promises more
_MANY = 10  # trials without a better one, as a search that has converged has them
_NAMED = 6  # hyperparameters of one sentence


def tell_study(study: Study) -> list[str]:
    """Plain sentences, most important first."""
    told = [_tell_best(study), _tell_gain(study), _tell_importances(study), *_tell_edges(study)]
    told += [_tell_more(study), _tell_failed(study)]
    if study.reason:
        told.append(f"The study ended so: {study.reason.rstrip('.')}.")
    return [sentence for sentence in told if sentence]


def build_tiles(study: Study, price_per_hour: float | None) -> list[Tile]:
    """Best, gain, trials, time and, with a price, cost."""
    best, metric = study.best_trial, study.spec.objective.metric
    tiles = []
    if best is not None and best.objective is not None:
        goal = "higher" if study.spec.objective.maximize else "lower"
        tiles.append(
            Tile(
                name=f"Best {metric}",
                value=f"{best.objective:.4f}",
                note=f"trial {best.number}; {goal} is better",
            )
        )
    tiles.append(Tile(name="Trials", value=f"{len(study.trials):,}", note=_statuses(study)))
    machine = sum(trial.seconds for trial in study.trials)
    tiles.append(
        Tile(
            name="Duration",
            value=to_duration(study.seconds),
            note=f"{to_duration(machine)} of machine time in all trials together",
        )
    )
    if study.trials:
        typical = statistics.median(trial.seconds for trial in study.trials)
        tiles.append(
            Tile(name="Typical trial", value=to_duration(typical), note="the median of all trials")
        )
    if price_per_hour is not None:
        cost = machine / 3600 * price_per_hour
        tiles.append(
            Tile(
                name="Cost",
                value=f"${cost:,.2f}" if cost >= 1 else f"${cost:.4f}",
                note=f"of the trials, at ${price_per_hour:g} an hour of one",
            )
        )
    return tiles


def rank_importances(study: Study) -> list[tuple[str, float]]:
    """Name and share, the most important first; nothing when all trials came to the same."""
    ranked = sorted(study.importances.items(), key=lambda item: -item[1])
    is_known = len(set(_completed(study))) > 1 and ranked and ranked[0][1] > 0
    return ranked if is_known else []


def to_duration(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3.1 min`, `2.2 h`."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 100 * 60 else f"{seconds / 3600:,.1f} h"


def to_word(name: str, value: Value) -> str:
    """A value as a person writes it; numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}".replace("e-0", "e-")
    setting = BY_NAME.get(name)
    return setting.to_text(value) if setting else str(value)


def count(number: int, noun: str) -> str:
    """`1 trial`, `20 trials`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _statuses(study: Study) -> str:
    found = Counter(trial.status for trial in study.trials)
    words = {"Completed": "completed", "Stopped": "stopped early", "Failed": "failed",
             "InProgress": "in progress"}  # fmt: skip
    told = [f"{found[status]:,} {word}" for status, word in words.items() if found[status]]
    return ", ".join(told) or "none yet"


def _completed(study: Study) -> list[float]:
    """Objectives of the trials that ran to their end, by number."""
    return [
        trial.objective
        for trial in study.trials
        if trial.status == "Completed" and trial.objective is not None
    ]


def _tell_best(study: Study) -> str:
    best, metric = study.best_trial, study.spec.objective.metric
    if best is None or best.objective is None:
        return f"No trial has come to a {metric} yet." if study.trials else "No trial has begun."
    pairs = [f"{name} {to_word(name, value)}" for name, value in best.hyperparameters.items()]
    if len(pairs) > _NAMED:
        pairs = [*pairs[:_NAMED], f"{len(pairs) - _NAMED} more"]
    listed = pairs[0] if len(pairs) == 1 else f"{', '.join(pairs[:-1])} and {pairs[-1]}"
    return (
        f"Trial {best.number} is the best of {len(study.trials):,}: {metric} "
        f"{best.objective:.4f}, with {listed}."
    )


def _tell_gain(study: Study) -> str:
    best, values = study.best_trial, _completed(study)
    if best is None or best.objective is None or len(values) < 2:
        return ""
    if max(values) == min(values):
        return "All trials came to the same value: what is searched makes no difference here."
    word = "higher" if study.spec.objective.maximize else "lower"
    median = statistics.median(values)
    parts = [f"{abs(best.objective - median):.4f} {word} than the median trial ({median:.4f})"]
    first = next(trial for trial in study.trials if trial.objective is not None)
    if first.number != best.number and first.objective is not None:
        gain = abs(best.objective - first.objective)
        parts.insert(0, f"{gain:.4f} {word} than the first trial ({first.objective:.4f})")
    return f"That is {' and '.join(parts)}."


def _tell_importances(study: Study) -> str:
    ranked = rank_importances(study)
    if len(ranked) < 2:
        return ""
    text = f"{ranked[0][0]} mattered most: {_share(ranked[0][1])} of what the trials differ by"
    if ranked[1][1] >= 0.05:
        text += f"; then {ranked[1][0]}, {_share(ranked[1][1])}"
    return f"{text}."


def _share(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _tell_edges(study: Study) -> list[str]:
    best = study.best_trial
    if best is None or len(_completed(study)) < _FEW or len(set(_completed(study))) < 2:
        return []
    told = []
    for name, given in study.spec.ranges.items():
        place = RangeAxis.of(name, given).place(best)
        if isinstance(given, CategoricalRange) or place is None:
            continue
        if place < _NEAR_EDGE or place > 1 - _NEAR_EDGE:
            end = "lower" if place < _NEAR_EDGE else "upper"
            bounds = f"{to_word(name, given.minimum)} to {to_word(name, given.maximum)}"
            told.append(
                f"Its {name} lies at the {end} end of the range {bounds}: the best value may lie "
                "beyond."
            )
    return told[:3]


def _tell_more(study: Study) -> str:
    if study.status == "InProgress":
        return f"The study is still running: {study.num_finished:,} of {_planned(study)}."
    done = _completed(study)
    if study.best is None or len(set(done)) == 1:
        return ""
    combinations = study.spec.num_combinations
    if combinations is not None and len(study.trials) >= combinations:
        return "Every combination was tried."
    if len(done) < max(_FEW, _FEW_A_RANGE * len(study.spec.ranges)):
        return "These are too few trials to say whether more would help."
    ended = [trial.number for trial in study.trials if trial.status != "InProgress"]
    since = sum(number > study.best for number in ended)
    if since < _LATE * len(ended):
        return "The best came late in the search: more trials may well find a better one."
    found = f"The last {count(since, 'trial')} found nothing better"
    if _tell_edges(study):
        return f"{found} within these ranges."
    return f"{found}: more would hardly help." if since >= _MANY else f"{found}."


def _planned(study: Study) -> str:
    return count(study.spec.num_jobs, "trial") + " done"


def _tell_failed(study: Study) -> str:
    failed: list[Trial] = [trial for trial in study.trials if trial.status == "Failed"]
    if not failed:
        return ""
    reason = failed[0].reason or "no reason is known"
    return f"{count(len(failed), 'trial')} failed; trial {failed[0].number}: {reason.rstrip('.')}."
