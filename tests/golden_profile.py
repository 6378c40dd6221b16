"""The made-up job whose AWS numbers are known, and its independent description.

The numbers are those of AWS's own removed rules (smdebug 1.0.34), run on this data.
"""

from collections.abc import Iterator
from pathlib import Path

from profiles import EVAL, T0, TRAIN, Line, Span, end_job, write_system, write_timeline

NUM_TICKS = 1400


def tick(i: int) -> float:
    """When the agent looked for the i-th time."""
    return T0 + 0.1 + 0.5 * i


def gpu_memory(i: int) -> float:
    """Of gpu0, percent."""
    return 10.0 if i < 1100 else float(min(80, 10 + 10 * (i - 1100)))


def lines() -> Iterator[Line]:
    """What the agent of algo-1 saw."""
    for i in range(NUM_TICKS):
        values = (
            ("cpu", "cpu0", "CPUUtilization", 95 if i % 4 == 0 else 40),
            ("cpu", "cpu1", "CPUUtilization", 50),
            ("cpu", "cpu0", "I/OWaitPercentage", 60 if i % 8 == 0 else 1),
            ("cpu", "cpu1", "I/OWaitPercentage", 0),
            ("gpu", "gpu0", "GPUUtilization", 5 if i % 4 == 0 else 95),
            ("gpu", "gpu1", "GPUUtilization", (7 * i) % 100),
            ("gpu", "gpu0", "GPUMemoryUtilization", gpu_memory(i)),
            ("gpu", "gpu1", "GPUMemoryUtilization", 20),
            ("memory", "MemoryUsedPercent", "", 20 + i % 5),
            ("network", "ReceiveBytesPerSecond", "Algorithm", 10 * i),
            ("network", "TransmitBytesPerSecond", "Algorithm", 5 * i),
            ("network", "ReceiveBytesPerSecond", "Platform", 1),
        )
        for kind, name, dimension, value in values:
            yield Line(at=tick(i), type=kind, name=name, dimension=dimension, value=float(value))


def spans() -> Iterator[Span]:
    """What its process did."""
    loader = {"pin_memory": False, "num_workers": 2}
    yield Span(phase="DataLoaderIterInitialize", start=T0 + 19, seconds=0.01, arguments=loader)
    for n in range(300):
        s = T0 + 20 + 2 * n
        yield Span(phase="DataLoaderIter", start=s, seconds=0.25, step=n, pid=10 + n % 2)
        yield Span(phase=TRAIN, start=s + 0.25, seconds=0.5 if n % 25 else 1.5, step=n)
        for phase, name, start, seconds in (
            ("Forward-SubModuleInternal", "conv", 0.25, 0.2),
            ("Backward-SubModuleInternal", "conv", 0.45, 0.3),
            ("cpu_functions", "aten::conv2d", 0.25, 0.3),
            ("cpu_functions", "aten::relu", 0.55, 0.1),
            ("gpu_functions-dev:0", "sgemm", 0.3, 0.35),
        ):
            yield Span(phase=phase, name=name, start=s + start, seconds=seconds, step=n)
    for n in range(120):
        yield Span(phase=EVAL, start=T0 + 625 + 0.5 * n, seconds=0.1, step=300 + n)


def write_golden(folder: Path) -> Path:
    """As files in SageMaker's layout."""
    write_system(folder, "algo-1", lines())
    write_timeline(folder, "26-algo-1", spans())
    end_job(folder)
    return folder
