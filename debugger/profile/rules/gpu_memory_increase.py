"""GPUMemoryIncrease: the use of a GPU's memory grows while training goes on."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.rule_result import Finding
from debugger.profile.data import GPU_MEMORY, FloatArray, Series
from debugger.profile.facts import Facts
from debugger.profile.numbers import box, in_percent, in_seconds
from debugger.profile.parameters import GpuMemoryIncrease, fit_patience
from debugger.profile.rules.findings import capped
from debugger.profile.verdict import State, Verdict, no_metric, not_enough

_STEADY = 0.8  # share of the windows that may not shrink, for growth to be steady


@dataclass(frozen=True, slots=True, kw_only=True)
class _Growth:
    """Of one GPU, after the first part of the training loop, in which memory fills anyway."""

    times: FloatArray
    values: FloatArray
    jumps: "np.ndarray[Any, np.dtype[np.intp]]"  # windows that are that much above the one before
    largest: float  # percentage points from one window to the next
    total: float  # from the first window to the last
    is_steady: bool


def judge_gpu_memory_increase(facts: Facts, parameters: GpuMemoryIncrease) -> Verdict:
    """Fires when the mean of a window is more than `increase` points above the window before, or
    when memory grows steadily by more than that over the training loop.

    AWS compares the mean of the last 10 samples with that of 9 of nearly the same samples, so only
    a jump of 46 points shows, and then ten times. Here windows follow one another without an
    overlap, each jump counts once, and steady growth, a leak, counts too. The first part of the
    training loop (`patience`, fitted to short jobs) is left out.
    """
    gpus = [
        (host, name, series)
        for host in facts.hosts
        for name, series in facts.series(host, GPU_MEMORY).items()
    ]
    if not gpus:
        return no_metric("GPUMemoryUtilization", "the job ran without a GPU, or without NVML")
    num = max(int(facts.is_analysed(series.times).sum()) for *_, series in gpus)
    skipped, fitted = fit_patience(parameters.patience, parameters, num)
    if num < skipped + 2 * parameters.window:
        return not_enough(num, skipped + 2 * parameters.window - 1, "samples of a GPU", fitted)
    details: dict[str, Any] = {}
    findings: list[Finding] = []
    triggered = violations = datapoints = 0
    for host, name, series in gpus:
        growth = _growth(facts, series, skipped, parameters)
        datapoints += len(growth.values)
        use = {"increase": growth.largest, "gpu_max": float(growth.values.max())}
        details.setdefault(host, {})[name] = {**use, **box(growth.values, 5), "total": growth.total}
        if not len(growth.jumps) and not growth.is_steady:
            continue
        triggered += 1
        violations += max(1, len(growth.jumps))
        findings.append(_finding(facts, f"{host} {name}", growth, parameters))
        details["last_timestamp"] = round(float(growth.times[-1]) * 1e6)
    fine = f"no GPU's memory grew by more than {parameters.increase} points"
    return Verdict(
        state=State.FIRED if triggered else State.FINE,
        sentence=findings[0].message if findings else fine + (f"; {fitted}" if fitted else ""),
        triggered=triggered,
        violations=violations,
        datapoints=datapoints,
        details=details,
        findings=capped(findings),
    )


def _growth(facts: Facts, series: Series, skipped: int, parameters: GpuMemoryIncrease) -> _Growth:
    kept = facts.is_analysed(series.times)
    times, values = series.times[kept][skipped:], series.values[kept][skipped:]
    width = max(1, parameters.window)
    num = len(values) // width
    # What does not fill a window is left out at the start: the end counts.
    times, values = times[len(times) - num * width :], values[len(values) - num * width :]
    means = values.reshape(num, width).mean(axis=1)
    steps = np.diff(means)
    total = float(means[-1] - means[0])
    is_steady = total > parameters.increase and float(np.mean(steps >= 0)) >= _STEADY
    return _Growth(
        times=times,
        values=values,
        jumps=np.flatnonzero(steps > parameters.increase) + 1,
        largest=float(steps.max(initial=0.0)),
        total=total,
        is_steady=is_steady,
    )


def _finding(facts: Facts, gpu: str, growth: _Growth, parameters: GpuMemoryIncrease) -> Finding:
    seconds = float(growth.times[-1] - growth.times[0])
    first, last = float(growth.values[0]), float(growth.values[-1])
    if len(growth.jumps):
        at = float(growth.times[growth.jumps[0] * parameters.window])
        since = in_seconds(at - facts.analysed[0])
        message = (
            f"{gpu}: memory jumped by {growth.largest:.0f} points {since} into training; it is at "
            f"{in_percent(last)} now"
        )
        advice = (
            "something new was kept on the GPU then (an evaluation, larger pictures): free it, or "
            f"lower batch-size before memory ends; {100 - float(growth.values.max()):.0f} points "
            "are left"
        )
    else:
        at = float(growth.times[-1])
        # From the middle of the first window to the middle of the last.
        pace = growth.total / (seconds * (1 - parameters.window / len(growth.values)))
        left = (100 - last) / pace
        message = (
            f"{gpu}: memory grew steadily from {in_percent(first)} to {in_percent(last)} in "
            f"{in_seconds(seconds)}"
        )
        advice = (
            "something is kept in every step, for example a loss that is summed without detach() "
            f"or item(); at this pace memory ends in {in_seconds(left)}"
        )
    return Finding(
        step=facts.window_of(at, parameters.scan_interval_us),
        tensor=gpu,
        value=max(growth.largest, growth.total),
        threshold=float(parameters.increase),
        message=message,
        advice=advice,
    )
