"""The tables of a study's page: every trial, and what was asked for."""

import json

from contract.hyperparameters import BY_NAME
from contract.page import to_pairs, to_text
from contract.ranges import CategoricalRange, Range, text_for
from contract.setting import AUTO, Value
from contract.study import Study, Trial
from train.study_story import to_word


def trials_table(study: Study, price_per_hour: float | None = None) -> str:
    """One row a trial, the best first; a click on a column sorts. With a price, what each cost."""
    maximize = study.spec.objective.maximize

    def rank(trial: Trial) -> tuple[bool, float, int]:
        value = trial.objective
        if value is None:
            return True, 0.0, trial.number
        return False, -value if maximize else value, trial.number

    has_reasons = any(trial.reason for trial in study.trials)
    heads = [_head("trial", numeric=True), _head(study.spec.objective.metric, numeric=True)]
    heads[1] = heads[1].replace("<th", f'<th aria-sort="{_order(maximize=maximize)}"', 1)
    heads += [_head(name, numeric=_is_number(one)) for name, one in study.spec.ranges.items()]
    heads += [_head("status"), _head("epochs", numeric=True), _head("seconds", numeric=True)]
    heads += [_head("cost", numeric=True)] if price_per_hour is not None else []
    heads += [_head("reason")] if has_reasons else []
    rows = "".join(
        _row(study, trial, price_per_hour, has_reasons=has_reasons)
        for trial in sorted(study.trials, key=rank)
    )
    return (
        '<div class="scroll"><table class="sortable trials"><thead><tr>'
        f"{''.join(heads)}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def spec_tables(study: Study) -> str:
    """What was searched and how, side by side."""
    spec = study.spec
    asked = {
        "strategy": spec.strategy,
        "objective": f"{spec.objective.goal.lower()} {spec.objective.metric}",
        "trials": "every combination" if spec.max_jobs is None else f"{spec.max_jobs:,}",
        "at a time": f"{spec.max_parallel_jobs:,}",
        "early stopping": spec.early_stopping,
        "seed": str(spec.seed),
        "status": study.status,
    }
    if spec.max_runtime_seconds is not None:
        asked["time limit"] = f"{spec.max_runtime_seconds:,} s"
    if spec.completion.target_objective is not None:
        asked["done at"] = f"{spec.completion.target_objective:g}"
    if spec.completion.not_improving is not None:
        asked["done after"] = f"{spec.completion.not_improving} trials without a gain of 1%"
    if spec.completion.on_convergence:
        asked["done when"] = "converged"
    if spec.hyperband is not None:
        asked["epochs"] = f"{spec.hyperband.min_resource} to {spec.hyperband.max_resource}"
    if spec.warm_start is not None:
        parents = ", ".join(spec.warm_start.parents)
        asked["warm start"] = f"{study.warm_trials:,} trials of {parents}"
    searched = {name: _range_words(name, one) for name, one in spec.ranges.items()}
    return (
        f'<div class="pair">{to_pairs("study", asked)}'
        f"<div>{to_pairs('searched', searched)}<br>{to_pairs('fixed', spec.static)}</div></div>"
    )


def best_settings(study: Study, best: Trial) -> str:
    """The hyperparameters of the best trial, every digit, as a job description has them."""
    lines = ["[hyperparameters]"]
    for name, text in study.spec.static.items():
        setting = BY_NAME.get(name)
        lines.append(f"{name} = {_toml(name, setting.parse(text) if setting else text)}")
    lines += [f"{name} = {_toml(name, value)}" for name, value in best.hyperparameters.items()]
    return f"<pre>{'<br>'.join(to_text(line) for line in lines)}</pre>"


def _toml(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if text_for(name, value) == AUTO:
        return json.dumps(AUTO)
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _order(*, maximize: bool) -> str:
    return "descending" if maximize else "ascending"


def _head(name: str, *, numeric: bool = False) -> str:
    kind = ' class="n"' if numeric else ""
    return f"<th{kind}><button>{to_text(name)}</button></th>"


def _row(study: Study, trial: Trial, price: float | None, *, has_reasons: bool) -> str:
    cells = [_number(trial.number, f"{trial.number}")]
    value = trial.objective
    cells.append(_number(value, "&ndash;" if value is None else f"{value:.4f}"))
    for name, one in study.spec.ranges.items():
        given = trial.hyperparameters.get(name)
        word = "&ndash;" if given is None else to_text(to_word(name, given))
        cells.append(_number(given, word) if _is_number(one) else _word(word))
    cells.append(_word(_STATUS[trial.status], f' class="{trial.status.lower()}"'))
    cells.append(_number(len(trial.curves), f"{len(trial.curves)}"))
    cells.append(_number(trial.seconds, f"{trial.seconds:,.1f}"))
    if price is not None:
        cost = trial.seconds / 3600 * price
        cells.append(_number(cost, f"{cost:,.4f}"))
    if has_reasons:
        cells.append(_word(to_text(trial.reason or ""), ' class="reason"'))
    kind = ' class="best"' if trial.number == study.best else ""
    return f"<tr{kind}>{''.join(cells)}</tr>"


_STATUS = {
    "Completed": "completed",
    "Stopped": "stopped early",
    "Failed": "failed",
    "InProgress": "in progress",
}


def _number(value: Value | None, text: str) -> str:
    data = "" if value is None else f"{value!r}"
    return f'<td class="n" data-value="{data}">{text}</td>'


def _word(text: str, kind: str = "") -> str:
    return f'<td{kind} data-value="{text}">{text}</td>'


def _is_number(one: Range) -> bool:
    """Whether a column of the range's values is sorted by size."""
    if isinstance(one, CategoricalRange):
        return not any(isinstance(value, (bool, str)) for value in one.values)
    return True


def _range_words(name: str, one: Range) -> str:
    if isinstance(one, CategoricalRange):
        return ", ".join(to_word(name, value) for value in one.values)
    scaling = "" if one.scaling == "Linear" else f", {_SCALINGS[one.scaling]}"
    return f"{to_word(name, one.minimum)} to {to_word(name, one.maximum)}{scaling}"


_SCALINGS = {"Logarithmic": "logarithmic", "ReverseLogarithmic": "reverse-logarithmic"}
