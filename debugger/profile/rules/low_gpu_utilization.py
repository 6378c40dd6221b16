"""LowGPUUtilization: a GPU is hardly used, or its use goes up and down."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.rule_result import Finding
from debugger.profile.data import GPU, FloatArray
from debugger.profile.facts import Facts
from debugger.profile.loading import Loading, gain_without_waits, read_loading
from debugger.profile.numbers import box, in_percent, plural
from debugger.profile.parameters import LowGpuUtilization, fit_patience
from debugger.profile.rules.findings import capped, spread, stretches, windows_with, worst_window
from debugger.profile.rules.loading_advice import LITTLE_WAIT, advise
from debugger.profile.samples import interval_of
from debugger.profile.verdict import State, Verdict, no_metric, not_enough


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gpu:
    """One GPU while training."""

    host: str
    name: str
    times: FloatArray
    values: FloatArray
    low: float  # 5th percentile
    high: float  # 95th

    @property
    def label(self) -> str:
        """For sentences."""
        return f"{self.host} {self.name}"


def judge_low_gpu_utilization(facts: Facts, parameters: LowGpuUtilization) -> Verdict:
    """Fires for a GPU whose 95th percentile is below `threshold_p95`, or whose 5th is below
    `threshold_p5` while the 95th is above.

    AWS looks at the last 500 values once a minute, start-up included, and counts each minute.
    Here the training loop is looked at as a whole (at its last `window` values if that is given),
    each GPU counts once, and `patience` is fitted to short jobs.
    """
    if not facts.has_gpu:
        return no_metric("GPUUtilization", "the job ran without a GPU, or NVML was not there")
    gpus = _gpus(facts, parameters)
    num = max((len(one.values) for one in gpus), default=0)
    needed, fitted = fit_patience(parameters.patience, parameters, num)
    if num < needed or not num:
        return not_enough(num, needed - 1, "samples of a GPU", fitted)
    details: dict[str, Any] = {}
    for one in gpus:
        details.setdefault(one.host, {})[one.name] = _use(one)
    fired = [(one, limit) for one in gpus if (limit := _limit(one, parameters)) is not None]
    loading = read_loading(facts)
    advice = _advice(loading, facts)
    findings: list[Finding] = []
    for one, limit in fired:
        is_hit = one.values < limit
        details[one.host][one.name]["intervals"] = stretches(
            one.times, is_hit, interval_of(one.times)
        )
        details["last_timestamp"] = round(float(one.times[is_hit][-1]) * 1e6)
        findings += _findings(facts, one, limit, advice, parameters)
    if fired:
        # An idle GPU by itself does not say what could be saved; waits for data do.
        details["gain_percent"] = gain_without_waits(loading) if loading else 0.0
    fine = f"{plural(len(gpus), 'GPU')}, {num} samples each" + (f"; {fitted}" if fitted else "")
    return Verdict(
        state=State.FIRED if fired else State.FINE,
        sentence="; ".join(_message(one, limit, parameters) for one, limit in fired[:2]) or fine,
        triggered=len(fired),
        violations=sum(int((one.values < limit).sum()) for one, limit in fired),
        datapoints=sum(len(one.values) for one in gpus),
        details=details,
        findings=capped(findings),
    )


def _gpus(facts: Facts, parameters: LowGpuUtilization) -> list[_Gpu]:
    """Those with samples in what is analysed."""
    found = []
    for host in facts.hosts:
        for name, series in facts.series(host, GPU).items():
            kept = facts.is_analysed(series.times)
            times, values = series.times[kept], series.values[kept]
            if not len(values):
                continue
            looked = values[-parameters.window :] if "window" in parameters.given else values
            low, high = (float(one) for one in np.quantile(looked, [0.05, 0.95]))
            found.append(_Gpu(host=host, name=name, times=times, values=values, low=low, high=high))
    return found


def _use(one: _Gpu) -> dict[str, Any]:
    use = {"gpu_max": float(one.values.max()), "gpu_95": one.high, "gpu_5": one.low}
    return {**use, **box(one.values), "gpu_mean": float(one.values.mean())}


def _limit(one: _Gpu, parameters: LowGpuUtilization) -> int | None:
    """What it is below; None when it is well used."""
    if one.high < parameters.threshold_p95:
        return parameters.threshold_p95
    return parameters.threshold_p5 if one.low < parameters.threshold_p5 else None


def _findings(
    facts: Facts, one: _Gpu, limit: int, advice: str, parameters: LowGpuUtilization
) -> list[Finding]:
    windows = windows_with(facts, one.times, one.values < limit, parameters.scan_interval_us)
    first = Finding(
        step=worst_window(windows),
        tensor=one.label,
        value=one.high if limit == parameters.threshold_p95 else one.low,
        threshold=float(limit),
        message=_message(one, limit, parameters),
        advice=advice,
    )
    text = f"{one.label}: below {limit} % in {{value}} % of the samples of window {{window}}"
    return spread(first, windows, text)


def _message(one: _Gpu, limit: int, parameters: LowGpuUtilization) -> str:
    if one.values.max() == 0:
        return f"{one.label} is not used at all"
    mean = f"{one.label} is used for {in_percent(float(one.values.mean()))} on average"
    if limit == parameters.threshold_p95:
        return f"{mean}; 95 % of the samples are below {in_percent(one.high)}"
    return (
        f"{mean}, up and down: the highest 5 % of the samples are above {in_percent(one.high)}, "
        f"the lowest 5 % below {in_percent(one.low)}"
    )


def _advice(loading: tuple[Loading, ...], facts: Facts) -> str:
    if loading and loading[0].wait_percent >= LITTLE_WAIT:
        waits = in_percent(loading[0].wait_percent)
        return f"steps wait for data for {waits} of their time: {advise(loading)[0]}"
    if not facts.training:
        return "record a timeline (--profile) to see what the GPU waits for; or raise batch-size"
    return "steps do not wait for data: raise batch-size, or take a smaller GPU"
