"""LoadBalancing: the GPUs of a job, or its hosts, do not do the same amount of work."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.rule_result import Finding
from debugger.profile.data import GPU, FloatArray
from debugger.profile.facts import Facts
from debugger.profile.host_work import LEAST_SLOWER, HostWork, read_host_work, slow_host
from debugger.profile.numbers import in_percent, in_seconds, plural
from debugger.profile.parameters import LoadBalancing, fit_patience
from debugger.profile.rules.findings import capped
from debugger.profile.samples import mean_during
from debugger.profile.verdict import State, Verdict, no_metric, not_enough

_EDGES = np.arange(0, 102, 2)  # 50 bins; the last one holds 100
_MERGED = (1, 2, 5, 10)  # bins that may become one
_OF_BIN = 10  # samples that a bin should have, on average


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gpu:
    """One GPU while training."""

    host: str
    name: str
    values: FloatArray
    counts: NDArray[np.intp]  # of _EDGES

    @property
    def label(self) -> str:
        """For sentences."""
        return f"{self.host} {self.name}"


def judge_load_balancing(facts: Facts, parameters: LoadBalancing) -> Verdict:
    """Fires when the histograms of two GPUs' use are further apart than `threshold`, or when one
    host of several needs a quarter more time for its own work than the fastest.

    AWS compares the last GPU with itself, and drops what is above 98 %. Here all pairs are
    compared, also those of different hosts; what two samples of equal use would differ by chance
    is taken off; hosts without GPUs are compared by their steps; `patience` is fitted to short
    jobs.
    """
    gpus = _gpus(facts)
    work = read_host_work(facts)
    if len(gpus) < 2 and not work:
        return _nothing(facts, gpus)
    num = min((len(one.values) for one in gpus), default=0)
    needed, fitted = fit_patience(parameters.patience, parameters, num)
    if len(gpus) > 1 and num < needed and not work:
        return not_enough(num, needed - 1, "samples of a GPU", fitted)
    compared = len(gpus) > 1 and num >= needed
    pairs = list(combinations(gpus, 2)) if compared else []
    distances = [(one, other, distance(one.counts, other.counts)) for one, other in pairs]
    details = _details(gpus, distances, work)
    uneven = [found for found in distances if found[2] > parameters.threshold]
    findings = [_gpu_finding(facts, uneven, parameters)] if uneven else []
    slow = slow_host(facts)
    if slow is not None:
        findings.insert(0, _host_finding(facts, slow, parameters))
        details["gain_percent"] = slow.gain_percent
    elif uneven:
        details["gain_percent"] = _idle_share(uneven)
    sentence = findings[0].message if findings else _fine(gpus, distances, work)
    return Verdict(
        state=State.FIRED if findings else State.FINE,
        sentence=sentence + (f"; {fitted}" if fitted and compared else ""),
        triggered=len(uneven) + (slow is not None),
        violations=len(uneven) + (slow is not None),
        datapoints=sum(len(one.values) for one in gpus) or sum(len(one) for one in facts.training),
        details=details,
        findings=capped(findings),
    )


def _nothing(facts: Facts, gpus: list[_Gpu]) -> Verdict:
    if len(facts.hosts) > 1:
        return not_enough(
            min((len(one) for one in facts.training), default=0), 7, "steps of each host"
        )
    what = "one GPU" if gpus else "no GPU"
    return no_metric("second GPU and no second host", f"this job has one host with {what}")


def _gpus(facts: Facts) -> list[_Gpu]:
    found = []
    for host in facts.hosts:
        for name, series in facts.series(host, GPU).items():
            values = series.values[facts.is_analysed(series.times)]
            counts, _ = np.histogram(values, bins=_EDGES)
            found.append(_Gpu(host=host, name=name, values=values, counts=counts))
    return found


def distance(one: NDArray[np.intp], other: NDArray[np.intp]) -> float:
    """Root of the Jensen-Shannon divergence of two histograms, 0 to 0.83; natural logarithm.

    Few samples are put into fewer bins. What is left of chance, two samples of the same use differ
    by (occupied bins - 1) / 8 x (1 / n + 1 / m) in the divergence on average, is taken off.
    """
    num = min(one.sum(), other.sum())
    if not num:
        return 0.0
    merged = next((times for times in _MERGED if num * times >= _OF_BIN * len(one)), _MERGED[-1])
    one, other = (counts.reshape(-1, merged).sum(axis=1) for counts in (one, other))
    p, q = one / one.sum(), other / other.sum()
    mean = (p + q) / 2
    divergence = (_relative_entropy(p, mean) + _relative_entropy(q, mean)) / 2
    occupied = int((mean > 0).sum())
    chance = (occupied - 1) / 8 * (1 / one.sum() + 1 / other.sum())
    return float(np.sqrt(max(0.0, divergence - chance)))


def _relative_entropy(p: FloatArray, q: FloatArray) -> float:
    there = p > 0
    return float((p[there] * np.log(p[there] / q[there])).sum())


def _details(
    gpus: list[_Gpu], distances: list[tuple[_Gpu, _Gpu, float]], work: tuple[HostWork, ...]
) -> dict[str, Any]:
    """AWS's `workloads` and `distances` by host; a GPU of another host is `host gpu`."""
    details: dict[str, Any] = {}
    for one in gpus:
        known = details.setdefault(one.host, {"workloads": {}, "distances": {}, "means": {}})
        known["workloads"][one.name] = one.counts.tolist()
        known["means"][one.name] = float(one.values.mean()) if len(one.values) else None
    for one, other, far in distances:
        name = other.name if other.host == one.host else other.label
        details[one.host]["distances"].setdefault(one.name, {})[name] = far
    if work:
        details["hosts"] = {
            one.kind: {
                "seconds": one.seconds,
                "slowest": one.slowest,
                "slower_percent": one.slower_percent,
            }
            for one in work
        }
    return details


def _gpu_finding(
    facts: Facts, uneven: list[tuple[_Gpu, _Gpu, float]], parameters: LoadBalancing
) -> Finding:
    one, other, far = max(uneven, key=lambda found: found[2])
    low, high = sorted((one, other), key=lambda gpu: float(gpu.values.mean()))
    return Finding(
        step=facts.window_of(facts.analysed[1], parameters.scan_interval_us),
        tensor=low.label,
        value=far,
        threshold=parameters.threshold,
        message=(
            f"{low.label} is used for {in_percent(float(low.values.mean()))}, {high.label} for "
            f"{in_percent(float(high.values.mean()))}; their histograms are {far:.2f} apart "
            f"({plural(len(uneven), 'pair')} above {parameters.threshold:g})"
        ),
        advice=(
            "give every GPU a process of its own and the same share of each batch "
            "(processes-per-host, with a batch-size that they divide)"
        ),
    )


def _idle_share(uneven: list[tuple[_Gpu, _Gpu, float]]) -> float:
    """How much less the idlest GPU does than the busiest, over all GPUs that were compared."""
    means = {gpu.label: float(gpu.values.mean()) for pair in uneven for gpu in pair[:2]}
    most = max(means.values())
    return 100.0 * (1 - sum(means.values()) / len(means) / most) if most > 0 else 0.0


def _host_finding(facts: Facts, slow: HostWork, parameters: LoadBalancing) -> Finding:
    slowest, fastest = slow.slowest, slow.fastest
    loop = facts.analysed_interval
    use = [
        f"{host} {in_percent(percent)}"
        for host in (slowest, fastest)
        if (percent := mean_during(facts.cpu.get(host), loop)) is not None
    ]
    cpu = f"; CPU use: {', '.join(use)}" if use else ""
    each = "a step" if slow.kind == "training steps" else f"the {slow.kind}"
    return Finding(
        step=facts.window_of(facts.analysed[0], parameters.scan_interval_us),
        tensor=slowest,
        value=slow.slower_percent,
        threshold=LEAST_SLOWER,
        message=(
            f"{slowest} is the slow host: its own work for {each} takes "
            f"{in_seconds(slow.seconds[slowest])}, {in_percent(slow.slower_percent)} more than "
            f"that of {fastest} ({in_seconds(slow.seconds[fastest])}), which waits for it{cpu}"
        ),
        advice=(
            f"look at {slowest}: other programs, a slower CPU or disk; with a host like the others "
            f"in its place, {each} is {in_percent(slow.gain_percent)} shorter"
        ),
    )


def _fine(
    gpus: list[_Gpu],
    distances: list[tuple[_Gpu, _Gpu, float]],
    work: tuple[HostWork, ...],
) -> str:
    said = []
    if distances:
        far = max(found[2] for found in distances)
        said.append(f"the use of {len(gpus)} GPUs is at most {far:.2f} apart")
    said += [
        f"{one.slowest} needs {in_percent(one.slower_percent)} more for its {one.kind} than the "
        "fastest host"
        for one in work
    ]
    return "; ".join(said)
