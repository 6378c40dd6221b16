"""How each GPU and its host's CPU go together while training."""

import numpy as np
from numpy.typing import NDArray

from debugger.profile.data import CPU, GPU, FloatArray, Series
from debugger.profile.facts import Facts
from debugger.profile.numbers import in_percent
from debugger.profile.parameters import CpuBottleneck
from debugger.profile.samples import at_once, highest_of
from debugger.profile.summary import Correlation

_STRONG = 0.4  # of a coefficient that is worth a word
_MUCH = 10.0  # percent of the samples
_LIMITS = CpuBottleneck()


def read_correlations(facts: Facts) -> tuple[Correlation, ...]:
    """One a GPU, against the busiest core of its host; empty without GPUs or without cores."""
    found = []
    for host in facts.hosts:
        busiest = highest_of(facts.series(host, CPU))
        if busiest is None:
            continue
        for name, series in facts.series(host, GPU).items():
            found.append(_correlation(facts, host, name, series, busiest))
    return tuple(one for one in found if one.num_samples)


def _correlation(facts: Facts, host: str, gpu: str, series: Series, busiest: Series) -> Correlation:
    times, values = at_once({"gpu": series, "cpu": busiest})
    values = values[facts.is_analysed(times) & np.isfinite(values).all(axis=1)]
    used, busy = values[:, 0], values[:, 1]
    low, high = used < _LIMITS.gpu_threshold, busy > _LIMITS.cpu_threshold
    percents = {
        "gpu_low_cpu_low": _percent(low & ~high),
        "gpu_low_cpu_high": _percent(low & high),
        "gpu_high_cpu_low": _percent(~low & ~high),
        "gpu_high_cpu_high": _percent(~low & high),
    }
    coefficient = _coefficient(used, busy)
    return Correlation(
        host=host,
        gpu=gpu,
        coefficient=coefficient,
        num_samples=len(values),
        sentence=_sentence(f"{host} {gpu}", coefficient, percents),
        gpu_values=used,
        cpu_values=busy,
        **percents,
    )


def _percent(is_so: NDArray[np.bool_]) -> float:
    return 100.0 * float(is_so.mean()) if len(is_so) else 0.0


def _coefficient(one: FloatArray, other: FloatArray) -> float | None:
    if len(one) < 3 or one.std() == 0 or other.std() == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _sentence(gpu: str, coefficient: float | None, percents: dict[str, float]) -> str:
    starved, idle = percents["gpu_low_cpu_high"], percents["gpu_low_cpu_low"]
    if starved >= _MUCH and starved >= idle:
        said = f"in {in_percent(starved)} of the samples {gpu} idles while a core is busy"
        return f"{said}: it waits for what the CPU prepares"
    if idle >= _MUCH:
        said = f"in {in_percent(idle)} of the samples {gpu} idles and so does the CPU"
        return f"{said}: both wait for something else, as a disk, the network or another host"
    if coefficient is None or abs(coefficient) < _STRONG:
        return f"{gpu} and the CPU of its host do not depend on each other"
    if coefficient < 0:
        return f"{gpu} works when the CPU does not, and the other way round: they take turns"
    return f"{gpu} and the CPU of its host work at the same time"
