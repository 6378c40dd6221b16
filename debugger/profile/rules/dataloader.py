"""Dataloader: how many processes load pictures, and whether that holds training up."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from contract.rule_result import Finding
from debugger.profile.facts import Facts
from debugger.profile.loading import Loading, gain_of, read_loading
from debugger.profile.numbers import histogram, in_percent, in_seconds, plural, quantiles
from debugger.profile.parameters import Dataloader
from debugger.profile.verdict import State, Verdict, no_metric, not_enough

LEAST_GAIN = 10.0  # percent of a step that more workers must save to be worth a word
_LEAST_STEPS = 8


def judge_dataloader(facts: Facts, parameters: Dataloader) -> Verdict:
    """Fires when more loader workers would save a tenth of a step, or when there are far too many.

    AWS fires when the number of loading processes is outside 70 to 200 % of the cores, whether
    anybody waits for them or not, and counts the cores of all hosts together. Here too few are
    a finding only if steps wait (`loading.py` says how the gain is estimated), and each host
    counts its own cores. `patience` is fitted to short jobs.
    """
    loading = read_loading(facts)
    if not loading:
        return no_metric(
            "data loading", "a frozen trunk trains from features in memory and needs no loader"
        )
    seconds = len(np.unique(np.floor(np.concatenate([one.steps.starts for one in loading]))))
    needed, fitted = _patience(parameters, seconds)
    if seconds <= needed:
        return not_enough(seconds, needed, "seconds with loading", fitted)
    num = min(len(one.steps) for one in loading)
    if num < _LEAST_STEPS:
        return not_enough(num, _LEAST_STEPS - 1, "steps")
    gain = gain_of(loading, loading[0].better_workers())
    judged = [_judge(facts, one, gain, parameters) for one in loading]
    findings = [finding for finding in judged if finding is not None]
    details = _details(loading)
    if findings:
        details["gain_percent"] = gain
    return Verdict(
        state=State.FIRED if findings else State.FINE,
        sentence=findings[0].message if findings else _fine(loading[0], gain),
        triggered=len(findings),
        violations=len(findings),
        datapoints=sum(len(one.waits) for one in loading),
        details=details,
        findings=findings,
    )


def _patience(parameters: Dataloader, seconds: int) -> tuple[int, str]:
    if "patience" in parameters.given:
        return parameters.patience, ""
    fitted = min(parameters.patience, max(1, seconds // 4))
    said = f"patience {parameters.patience} is fitted to {fitted}"
    return fitted, said if fitted < parameters.patience else ""


def _judge(facts: Facts, one: Loading, gain: float, parameters: Dataloader) -> Finding | None:
    if not one.knows_workers:
        return None
    percent = 100.0 * one.workers * one.processes / max(1, one.cores)
    if percent > parameters.max_threshold:
        return _too_many(facts, one, percent, parameters)
    workers = one.better_workers()
    is_few = percent < parameters.min_threshold and workers > one.workers
    if is_few and gain >= LEAST_GAIN:
        return _too_few(facts, one, gain, parameters)
    return None


def _too_few(facts: Facts, one: Loading, gain: float, parameters: Dataloader) -> Finding:
    workers = one.better_workers()
    who = "no loader worker" if not one.workers else plural(one.workers, "loader worker")
    return Finding(
        step=facts.window_of(float(one.steps.starts[0]), parameters.scan_interval_us),
        tensor=one.steps.node,
        value=float(one.workers),
        threshold=float(workers),
        message=(
            f"{one.steps.node}: {who} for {plural(one.cores, 'core')}: data wait is "
            f"{in_percent(one.wait_percent)} of a step ({in_seconds(float(one.waits.mean()))} of "
            f"{in_seconds(one.step_seconds)})"
        ),
        advice=(
            f"set num-workers from {one.workers} to {workers}: a step would take about "
            f"{in_seconds(one.step_seconds * (1 - gain / 100))}, {in_percent(gain)} less"
        ),
    )


def _too_many(facts: Facts, one: Loading, percent: float, parameters: Dataloader) -> Finding:
    every = one.workers * one.processes
    return Finding(
        step=facts.window_of(float(one.steps.starts[0]), parameters.scan_interval_us),
        tensor=one.steps.host,
        value=percent,
        threshold=float(parameters.max_threshold),
        message=(
            f"{one.steps.host}: {plural(every, 'loader worker')} for {plural(one.cores, 'core')}, "
            f"{in_percent(percent)} of them; more than {parameters.max_threshold} % is too many"
        ),
        advice=(
            f"set num-workers from {one.workers} to {max(1, one.cores // one.processes)}: more "
            "than one a core only take turns, and each of them holds three batches in memory"
        ),
    )


def _fine(one: Loading, gain: float) -> str:
    if not one.knows_workers:
        return (
            f"data wait is {in_percent(one.wait_percent)} of a step; the timeline does not say how "
            "many loader workers there are"
        )
    workers = one.better_workers()
    said = (
        f"data wait is {in_percent(one.wait_percent)} of a step with "
        f"{plural(one.workers, 'loader worker')} on {plural(one.cores, 'core')}"
    )
    if one.start_percent > 50:
        said += f", mostly ({in_percent(one.start_percent)}) while each epoch starts its workers"
    if workers == one.workers:
        return f"{said}; more would not make it faster"
    return f"{said}; {workers} would save {in_percent(gain)} of it"


def _details(loading: Sequence[Loading]) -> dict[str, Any]:
    """AWS's fields for the process that waits most, and ours for all."""
    worst = loading[0]
    seconds = np.concatenate([one.waits for one in loading])
    known: dict[str, Any] = {"pin_memory": worst.pin_memory, "num_workers": worst.num_workers}
    return {
        **{name: value for name, value in known.items() if value is not None},
        "cores": worst.cores,
        "dataloaders": worst.workers or 1,  # AWS counts the process itself where there is no other
        "dataloading_time": {**quantiles(seconds, 25, 50, 95), **histogram(seconds)},
        "processes": {one.steps.node: _of_process(one) for one in loading},
    }


def _of_process(one: Loading) -> dict[str, Any]:
    workers = one.better_workers()
    return {
        "workers": one.workers,
        "cores": one.cores,
        "wait_percent": one.wait_percent,
        "starved_percent": one.starved_percent,
        "step_seconds": one.step_seconds,
        "load_seconds": one.load_seconds,
        "workers_busy_percent": one.workers_busy_percent,
        "best_workers": workers,
        "best_step_seconds": one.forecast(workers),
    }
