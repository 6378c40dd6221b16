"""BatchSize on a job without a GPU: by what a step spends that does not grow with the batch."""

from dataclasses import dataclass
from typing import Any

from contract.rule_result import Finding
from debugger.profile import summary
from debugger.profile.batch_sizes import PictureCost, batch_size_of, picture_cost
from debugger.profile.facts import Facts
from debugger.profile.numbers import in_percent, in_seconds
from debugger.profile.parameters import BatchSize
from debugger.profile.samples import mean_during
from debugger.profile.steps import Steps
from debugger.profile.verdict import State, Verdict, no_metric, not_enough

LEAST_GAIN = 20.0  # percent of a step: a larger batch changes what is learned, so it must pay
_LEAST_STEPS = 8
_LEAST_SHARE = 10.0  # percent of the job: what shorter steps save, a larger batch cannot change
_MOST_TIMES = 32
_OVERHEAD = 0.1  # share of a step that may go into what does not grow with the batch


@dataclass(frozen=True, slots=True, kw_only=True)
class _Larger:
    """What a larger batch would change, in one process."""

    steps: Steps
    overhead: float  # share of a step that does not grow with the batch
    cost: PictureCost | None
    times: int  # how much larger
    gain: float  # percent of the time of training steps

    @property
    def step_seconds(self) -> float:
        """The mean step."""
        return float(self.steps.seconds.mean())


def judge_steps(facts: Facts, parameters: BatchSize) -> Verdict:
    """See judge_batch_size."""
    known = [one for one in facts.training if one.parts]
    if not known:
        return no_metric(
            "GPU and no parts of steps", "this rule needs GPU metrics, or a timeline with Forward"
        )
    num = min(len(one) for one in known)
    if num < _LEAST_STEPS:
        return not_enough(num, _LEAST_STEPS - 1, "steps")
    share = _share_of_job(facts)
    if share < _LEAST_SHARE:
        return Verdict(
            state=State.FINE,
            sentence=f"training steps are {in_percent(share)} of the job only",
            datapoints=sum(len(one) for one in known),
        )
    larger = min((_larger(facts, one) for one in known), key=lambda one: one.gain)
    sentence = f"{_said(larger)}{_cpu_use(facts, larger.steps)}"
    has_fired = larger.gain >= LEAST_GAIN
    details = _details(facts, larger)
    findings = []
    if has_fired:
        details["gain_percent"] = larger.gain
        findings = [_finding(facts, larger, sentence, parameters)]
    datapoints = sum(len(one) for one in known)
    return Verdict(
        state=State.FIRED if has_fired else State.FINE,
        sentence=findings[0].message if findings else f"by the timeline: {sentence}",
        triggered=len(findings),
        violations=datapoints if has_fired else 0,
        datapoints=datapoints,
        details=details,
        findings=findings,
    )


def _share_of_job(facts: Facts) -> float:
    total = sum(one.total() for one in facts.training)
    whole = facts.profile.seconds * len(facts.training)
    return 100.0 * total / whole if whole > 0 else 0.0


def _larger(facts: Facts, steps: Steps) -> _Larger:
    total = steps.total()
    # Several processes wait for one another there, which no batch size changes.
    is_alone = len(facts.training) == 1
    once = steps.total(summary.OPTIMIZER, summary.REST) / total if is_alone else 0.0
    passes = steps.total(summary.FORWARD, summary.BACKWARD) / total
    cost = picture_cost(facts, steps)
    if cost is not None and cost.ratio > 1:
        times = max(2, cost.larger_batch // max(1, cost.batch))
        saved = passes * (1 - 1 / cost.ratio)
        overhead = saved + once
    else:
        saved, overhead, times = 0.0, once, 2
        while times < _MOST_TIMES and once / times > _OVERHEAD * (1 - once):
            times *= 2
    gain = 100 * (saved + once * (1 - 1 / times))
    return _Larger(steps=steps, overhead=overhead, cost=cost, times=times, gain=gain)


def _details(facts: Facts, larger: _Larger) -> dict[str, Any]:
    details: dict[str, Any] = {
        "overhead_percent": 100 * larger.overhead,
        "batch_size": batch_size_of(facts),
        "step_seconds": larger.step_seconds,
    }
    if larger.cost:
        details |= {
            "picture_seconds": larger.cost.seconds,
            "picture_seconds_in_larger_batch": larger.cost.larger_seconds,
            "larger_batch": larger.cost.larger_batch,
        }
    return details


def _finding(facts: Facts, larger: _Larger, sentence: str, parameters: BatchSize) -> Finding:
    size = batch_size_of(facts)
    change = f"raise batch-size {larger.times} times"
    if size is not None:
        change = f"raise batch-size from {size} to {size * larger.times}"
    return Finding(
        step=facts.window_of(float(larger.steps.starts[0]), parameters.scan_interval_us),
        tensor=larger.steps.node,
        value=larger.gain,
        threshold=LEAST_GAIN,
        message=f"{larger.steps.node}: {sentence}",
        advice=(
            f"{change}, and lr with it: the same pictures would take about "
            f"{in_percent(larger.gain)} less time"
        ),
    )


def _said(larger: _Larger) -> str:
    cost = larger.cost
    if cost is not None and cost.ratio > 1:
        return (
            f"a picture's forward pass takes {in_seconds(cost.seconds)} in a batch of {cost.batch} "
            f"and {in_seconds(cost.larger_seconds)} in the evaluation's batches of "
            f"{cost.larger_batch}; {in_percent(100 * larger.overhead)} of a step does not grow "
            "with the batch"
        )
    if not larger.overhead:
        return (
            "what a larger batch would save cannot be told: the processes wait for one another, "
            "and no evaluation has larger batches"
        )
    return (
        f"optimizer and overhead, which do not grow with the batch, are "
        f"{in_percent(100 * larger.overhead)} of a step of {in_seconds(larger.step_seconds)}"
    )


def _cpu_use(facts: Facts, steps: Steps) -> str:
    used = mean_during(facts.cpu.get(steps.host), facts.analysed_interval)
    return "" if used is None else f"; the CPU is used for {in_percent(used)}"
