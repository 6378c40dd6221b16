"""CPUBottleneck: making batches needs more CPU than there is, so the GPU idles."""

from contract.rule_result import Finding
from debugger.profile.data import CPU
from debugger.profile.facts import Facts
from debugger.profile.loading import Loading, read_loading
from debugger.profile.numbers import in_percent, plural
from debugger.profile.parameters import CpuBottleneck, IoBottleneck
from debugger.profile.rules.bottleneck import LEAST_WAIT, Texts, judge_samples, waits_too_long
from debugger.profile.rules.io_waits import waits_for_io
from debugger.profile.rules.loading_advice import LITTLE_WAIT, advise
from debugger.profile.verdict import State, Verdict, no_metric, not_enough

_LEAST_STEPS = 8
_BUSY_CORES = 0.7  # of the cores that the loading processes could take: below it they do not work
_BUSY_WORKERS = 70.0  # percent of the time


def judge_cpu_bottleneck(facts: Facts, parameters: CpuBottleneck) -> Verdict:
    """Fires when in more than `threshold` % of the samples a GPU idles while a core is busy.

    AWS adds the cores of all hosts to the GPUs of all hosts, counts the whole job with its
    start-up, multiplies an event by the samples that it spans, and swaps the shares of CPU and
    GPU operators. Here each host counts by itself, the training loop is what is analysed, an
    event counts once, and `patience` is fitted to short jobs.

    Without a GPU it fires when steps wait for data for more than 20 % of their time (or
    `threshold`, if given) and those who make the data are busy computing.
    """
    loading = read_loading(facts)
    if facts.has_gpu:
        advice, gain = _advice_beside_gpu(facts, loading)
        texts = Texts(metric=CPU, busy=f"a core is above {parameters.cpu_threshold} %")
        return judge_samples(facts, parameters, texts, advice, gain)
    if not loading:
        return no_metric(
            "GPU and no data loading", "this rule needs GPUUtilization, or DataLoaderIter events"
        )
    return _judge_waits(facts, loading, parameters)


_UNSEEN = (
    "record a timeline (--profile) to see what the CPU does; more loader workers "
    "(num-workers) or smaller pictures are the usual cure"
)
_IN_MEMORY = (
    "steps take their batches from memory: look at what ran meanwhile (evaluation, checkpoints), "
    "and raise batch-size, so that the GPU has more to do at a time"
)
_ELSEWHERE = (
    "steps wait for data for {wait} of their time only: look at what ran meanwhile (evaluation, "
    "checkpoints), and evaluate or save less often"
)


def _advice_beside_gpu(facts: Facts, loading: tuple[Loading, ...]) -> tuple[str, float | None]:
    if not loading and not facts.training:
        return _UNSEEN, None
    if not loading:
        return _IN_MEMORY, None
    if loading[0].wait_percent < LITTLE_WAIT:
        return _ELSEWHERE.format(wait=in_percent(loading[0].wait_percent)), None
    return advise(loading)


def _judge_waits(facts: Facts, loading: tuple[Loading, ...], parameters: CpuBottleneck) -> Verdict:
    num = min(len(one.steps) for one in loading)
    if num < _LEAST_STEPS:
        return not_enough(num, _LEAST_STEPS - 1, "steps")
    io = IoBottleneck()
    fired = [
        one
        for one in loading
        if waits_too_long(one, parameters) and _is_busy(one) and not waits_for_io(facts, one, io)
    ]
    worst = loading[0]
    datapoints = sum(len(one.waits) for one in loading)
    violations = sum(int((one.waits > 0.5 * one.steps.seconds).sum()) for one in loading)
    details = {
        "low_gpu_utilization": 0,
        "bottlenecks": {},
        "wait_percent": {one.steps.node: one.wait_percent for one in loading},
    }
    if not fired:
        why = f"below {LEAST_WAIT:.0f} %"
        if waits_too_long(worst, parameters):
            why = "and the CPU is not what it waits for"
        sentence = (
            f"no GPU here, so by the timeline: data wait is {in_percent(worst.wait_percent)} of a "
            f"step on {worst.steps.node}, {why}"
        )
        return Verdict(state=State.FINE, sentence=sentence, datapoints=datapoints, details=details)
    advice, gain = advise(loading)
    findings = [_finding(facts, one, parameters, advice) for one in fired]
    return Verdict(
        state=State.FIRED,
        sentence=findings[0].message,
        triggered=len(fired),
        violations=violations,
        datapoints=datapoints,
        details={**details, "gain_percent": gain},
        findings=findings,
    )


def _is_busy(one: Loading) -> bool:
    """Those who make the batches compute while it waits: they are not idle, and not on a disk."""
    if one.workers_busy_percent is not None and one.workers_busy_percent < _BUSY_WORKERS:
        return False
    if one.busy_cores is None:
        return True
    return one.busy_cores >= _BUSY_CORES * min(one.cores, max(1, one.workers))


def _finding(facts: Facts, one: Loading, parameters: CpuBottleneck, advice: str) -> Finding:
    makers = "the process itself" if one.knows_workers else "the loader"
    if one.workers:
        makers = plural(one.workers, "loader worker")
    busy = ""
    if one.busy_cores is not None:
        busy = f"; meanwhile {one.busy_cores:.1f} of {plural(one.cores, 'core')} are busy"
    message = (
        f"{one.steps.node}: data wait is {in_percent(one.wait_percent)} of a step and {makers} "
        f"cannot make batches faster{busy}"
    )
    return Finding(
        step=facts.window_of(float(one.steps.starts[0]), parameters.scan_interval_us),
        tensor=one.steps.node,
        value=one.wait_percent,
        threshold=LEAST_WAIT,
        message=message,
        advice=advice,
    )
