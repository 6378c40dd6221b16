"""IOBottleneck: pictures come too slowly from a disk or the network, so the GPU idles."""

from typing import Any

from contract.rule_result import Finding
from debugger.profile.data import CPU_WAIT
from debugger.profile.facts import Facts
from debugger.profile.loading import Loading, gain_without_waits, read_loading
from debugger.profile.numbers import in_percent
from debugger.profile.parameters import IoBottleneck
from debugger.profile.rules.bottleneck import LEAST_WAIT, Texts, judge_samples, waits_too_long
from debugger.profile.rules.io_waits import io_percent, waits_for_io
from debugger.profile.verdict import State, Verdict, no_metric, not_enough

_LEAST_STEPS = 8
ADVICE = (
    "read the pictures from few large files: kennel data pack PICTURES PACKED; or use File mode "
    "instead of FastFile, or a volume with more throughput"
)


def judge_io_bottleneck(facts: Facts, parameters: IoBottleneck) -> Verdict:
    """Fires when in more than `threshold` % of the samples a GPU idles while a core waits for I/O.

    Differs from AWS as CPUBottleneck does. Without a GPU it fires when steps wait for data for
    more than 20 % of their time (or `threshold`, if given) and a core waits for I/O in more than
    half of that.
    """
    loading = read_loading(facts)
    if facts.has_gpu:
        gain = gain_without_waits(loading) if loading else None
        busy = f"a core waits for I/O for more than {parameters.io_threshold} % of its time"
        return judge_samples(facts, parameters, Texts(metric=CPU_WAIT, busy=busy), ADVICE, gain)
    if not loading:
        return no_metric(
            "GPU and no data loading", "this rule needs GPUUtilization, or DataLoaderIter events"
        )
    num = min(len(one.steps) for one in loading)
    if num < _LEAST_STEPS:
        return not_enough(num, _LEAST_STEPS - 1, "steps")
    return _judge_waits(facts, loading, parameters)


def _judge_waits(facts: Facts, loading: tuple[Loading, ...], parameters: IoBottleneck) -> Verdict:
    percents = {one.steps.node: io_percent(facts, one, parameters) for one in loading}
    details: dict[str, Any] = {
        "low_gpu_utilization": 0,
        "bottlenecks": {},
        "wait_percent": {one.steps.node: one.wait_percent for one in loading},
        "io_wait_percent": percents,
    }
    if all(percent is None for percent in percents.values()):
        return no_metric("I/O wait of the CPU", "the host agent reports it on Linux", details)
    gain = gain_without_waits(loading)
    findings = [
        _finding(facts, one, percents[one.steps.node] or 0.0, gain, parameters)
        for one in loading
        if waits_too_long(one, parameters) and waits_for_io(facts, one, parameters)
    ]
    if findings:
        details["gain_percent"] = gain
    return Verdict(
        state=State.FIRED if findings else State.FINE,
        sentence=findings[0].message if findings else _fine(loading[0], percents),
        triggered=len(findings),
        violations=len(findings),
        datapoints=sum(len(one.waits) for one in loading),
        details=details,
        findings=findings,
    )


def _fine(worst: Loading, percents: dict[str, float | None]) -> str:
    return (
        f"no GPU here, so by the timeline: data wait is {in_percent(worst.wait_percent)} of a step "
        f"on {worst.steps.node}, and in {in_percent(percents[worst.steps.node] or 0.0)} of that "
        "a core waits for I/O"
    )


def _finding(
    facts: Facts, one: Loading, percent: float, gain: float, parameters: IoBottleneck
) -> Finding:
    return Finding(
        step=facts.window_of(float(one.steps.starts[0]), parameters.scan_interval_us),
        tensor=one.steps.node,
        value=one.wait_percent,
        threshold=LEAST_WAIT,
        message=(
            f"{one.steps.node}: data wait is {in_percent(one.wait_percent)} of a step, and in "
            f"{in_percent(percent)} of that a core waits for I/O"
        ),
        advice=f"{ADVICE}; without the wait a step is {in_percent(gain)} shorter",
    )
