"""For the tests of the profiler's rules: made-up jobs, and one rule asked about them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from profiles import T0, TRAIN, Line, Scene, Span, write_system, write_timeline

from contract.rule_result import RuleResult
from contract.rules import RuleSpec
from debugger.profile.evaluate import evaluate_profile
from debugger.profile.read import read_profile

# Two hosts would double the work of every test; a minute is short, and rules must do with it.
HEALTHY = Scene(hosts=1, gpus=1, cores=4, workers=3, seconds=60.0, start_up=6.0, wait=0.003,
                compute=0.2, steps_of_epoch=80)  # fmt: skip


def evaluate(folder: Path, rule: str, **parameters: object) -> RuleResult:
    """What one rule says of the profile in a folder."""
    given = {name: str(value) for name, value in parameters.items()}
    (result,) = evaluate_profile(
        read_profile([folder]), RuleSpec(name=rule, rule=rule, parameters=given)
    )
    return result


def scene(folder: Path, rule: str, change: Scene | None = None, **parameters: object) -> RuleResult:
    """The same of the healthy job, or of one that is ill."""
    return evaluate((change or HEALTHY).write(folder), rule, **parameters)


def samples(
    folder: Path, gpu: Sequence[float], cpu: Sequence, io_wait: Sequence[float] = ()
) -> Path:
    """One host; sequences hold a value a tick, `cpu` one or one a core."""
    lines = []
    for i, value in enumerate(gpu):
        at = T0 + 0.1 + i * 0.5
        lines.append(Line(at=at, type="gpu", name="gpu0", dimension="GPUUtilization", value=value))
        for core, busy in enumerate(np.atleast_1d(cpu[i])):
            lines.append(
                Line(at=at, type="cpu", name=f"cpu{core}", dimension="CPUUtilization",
                     value=float(busy))
            )  # fmt: skip
        if len(io_wait):
            lines.append(
                Line(at=at, type="cpu", name="cpu0", dimension="I/OWaitPercentage",
                     value=float(io_wait[i]))
            )  # fmt: skip
    write_system(folder, "algo-1", lines)
    return folder


def loading(folder, wait, workers, cpu, io_wait, compute=0.1, steps=120, load=None):
    """A host with two cores and no GPU; each value of `cpu` is that of a core."""
    spans, at = [], T0 + 2
    facts = {"pin_memory": False, "num_workers": workers}
    spans.append(Span(phase="DataLoaderIterInitialize", start=at, seconds=0.01, arguments=facts))
    for n in range(steps):
        spans.append(Span(phase="DataLoaderIter", start=at, seconds=wait, step=n))
        for worker in range(workers if load else 0):
            if n % workers == worker:
                begin = max(T0, at + wait - load)
                spans.append(
                    Span(
                        phase="DataLoaderWorker", start=begin, seconds=load, step=n, pid=50 + worker
                    )
                )
        for phase, share in (("Forward", 0.3), ("Backward(post-forward)", 0.6), ("Optimizer", 0.1)):
            spans.append(Span(phase=phase, start=at + wait, seconds=share * compute, step=n))
            at += share * compute
        at += wait
        spans.append(Span(phase=TRAIN, start=at - wait - compute, seconds=wait + compute, step=n))
    write_timeline(folder, "0-algo-1", spans)
    lines = [
        Line(at=T0 + 0.1 + 0.1 * i, type="cpu", name=f"cpu{core}", dimension=dimension, value=value)
        for i in range(int((at - T0) * 10))
        for dimension, values in (("CPUUtilization", cpu), ("I/OWaitPercentage", io_wait))
        for core, value in enumerate(values)
    ]
    write_system(folder, "algo-1", lines)
    return folder
