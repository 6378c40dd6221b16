"""BatchSize: the batch is too small for the machine. Here by the use of GPUs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.rule_result import Finding
from debugger.profile.batch_sizes import batch_size_of
from debugger.profile.data import GPU, GPU_MEMORY, FloatArray, Series
from debugger.profile.facts import Facts
from debugger.profile.loading import read_loading
from debugger.profile.numbers import box, in_percent
from debugger.profile.parameters import BatchSize, fit_patience
from debugger.profile.rules.batch_size_by_steps import judge_steps
from debugger.profile.rules.bottleneck import LEAST_WAIT
from debugger.profile.rules.findings import capped
from debugger.profile.verdict import State, Verdict, not_enough

_MOST_TIMES = 32
_FULL = 90.0  # percent of a GPU's memory that may be filled


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """Of one GPU and of its host's CPU, while training."""

    host: str
    name: str
    cpu: FloatArray
    gpu: FloatArray
    memory: FloatArray

    @property
    def label(self) -> str:
        """For sentences."""
        return f"{self.host} {self.name}"


def judge_batch_size(facts: Facts, parameters: BatchSize) -> Verdict:
    """Fires when all GPUs, their memories and their hosts' CPUs are below their limits (95th
    percentiles) while training.

    AWS looks at the last 500 values once a minute, fires for one GPU though the others are busy,
    and draws the whiskers of the memory from the wrong box. Here the training loop is looked at
    as a whole (at its last `window` values if that is given), nothing fires while steps wait for
    data, and `patience` is fitted to short jobs.

    Without a GPU it fires when a larger batch would save 20 % of a step: because a picture is
    dearer in training than in the larger batches of this job's own evaluations, or because the
    optimizer and the rest of a step, which a batch of any size pays once, take so much.
    """
    if not facts.has_gpu:
        return judge_steps(facts, parameters)
    every = _uses(facts)
    num = max((len(one.gpu) for one in every), default=0)
    needed, fitted = fit_patience(parameters.patience, parameters, num)
    if num < needed or not num:
        return not_enough(num, needed - 1, "samples of a GPU", fitted)
    is_low = all(_is_low(one, parameters) for one in every)
    loading = read_loading(facts)
    waits = loading[0].wait_percent if loading else 0.0
    fired = every if is_low and waits < LEAST_WAIT else []
    findings = [_finding(facts, one, parameters) for one in fired]
    sentence = findings[0].message if findings else _fine(is_low, waits)
    return Verdict(
        state=State.FIRED if findings else State.FINE,
        sentence=sentence + (f"; {fitted}" if fitted else ""),
        triggered=len(findings),
        violations=sum(int((one.gpu < parameters.gpu_threshold_p95).sum()) for one in fired),
        datapoints=sum(len(one.gpu) for one in every),
        details=_details(facts, fired, parameters),
        findings=capped(findings),
    )


def _fine(is_low: bool, waits: float) -> str:
    if not is_low:
        return "CPU, GPU or GPU memory is well used on at least one GPU"
    return (
        f"CPU, GPU and memory are little used, but steps wait for data for {in_percent(waits)} of "
        "their time: a larger batch would not change that"
    )


def _uses(facts: Facts) -> list[_Use]:
    found = [
        _Use(
            host=host,
            name=name,
            cpu=_kept(facts, facts.cpu.get(host)),
            gpu=_kept(facts, series),
            memory=_kept(facts, facts.series(host, GPU_MEMORY).get(name)),
        )
        for host in facts.hosts
        for name, series in facts.series(host, GPU).items()
    ]
    return [one for one in found if len(one.gpu)]


def _kept(facts: Facts, series: Series | None) -> FloatArray:
    return np.empty(0) if series is None else series.values[facts.is_analysed(series.times)]


def _is_low(one: _Use, parameters: BatchSize) -> bool:
    """All three; what was not measured is not known to be low."""
    return all(
        len(values) and _p95(values, parameters) < limit
        for values, limit in (
            (one.cpu, parameters.cpu_threshold_p95),
            (one.gpu, parameters.gpu_threshold_p95),
            (one.memory, parameters.gpu_memory_threshold_p95),
        )
    )


def _p95(values: FloatArray, parameters: BatchSize) -> float:
    looked = values[-parameters.window :] if "window" in parameters.given else values
    return float(np.quantile(looked, 0.95))


def _details(facts: Facts, fired: list[_Use], parameters: BatchSize) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for one in fired:
        boxes = {one.name: box(one.gpu), f"{one.name}_memory": box(one.memory)}
        details.setdefault(one.host, {"cpu": box(one.cpu)}).update(boxes)
    if fired:
        details["last_timestamp"] = round(facts.analysed[1] * 1e6)
        # A GPU that is used for 20 % has 80 % of its time left, at best.
        most = max(_p95(one.gpu, parameters) for one in fired)
        details["gain_percent"] = max(0.0, 100.0 - most)
    return details


def _finding(facts: Facts, one: _Use, parameters: BatchSize) -> Finding:
    cpu, used, memory = (_p95(values, parameters) for values in (one.cpu, one.gpu, one.memory))
    times = 2
    while times < _MOST_TIMES and memory * times * 2 <= _FULL:
        times *= 2
    size = batch_size_of(facts)
    change = f"raise batch-size up to {times} times"
    if size is not None:
        change = f"raise batch-size from {size} to up to {size * times}"
    return Finding(
        step=facts.window_of(facts.analysed[1], parameters.scan_interval_us),
        tensor=one.label,
        value=used,
        threshold=float(parameters.gpu_threshold_p95),
        message=(
            f"{one.label} is below {in_percent(used)} in 95 % of the samples, its memory below "
            f"{in_percent(memory)} and the CPU below {in_percent(cpu)}"
        ),
        advice=(
            f"{change}: {in_percent(max(0.0, _FULL - memory))} of the GPU's memory are free; raise "
            "lr with it; or take a smaller instance"
        ),
    )
