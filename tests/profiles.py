"""Profiler folders as SageMaker's agent and smdebug's hook lay them out, for the tests."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

T0 = 1_700_000_040.0  # the start of a minute
TRAIN, EVAL = "Step:ModeKeys.TRAIN", "Step:ModeKeys.EVAL"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One value of a system file."""

    at: float  # Unix seconds
    type: str  # cpu, gpu, memory, i/o, network
    name: str
    dimension: str = ""
    value: float


@dataclass(frozen=True, kw_only=True)
class Span:
    """One event of a timeline."""

    phase: str
    start: float  # Unix seconds
    seconds: float
    name: str = ""  # the phase unless given
    step: int | None = None
    pid: int = 26
    arguments: dict[str, object] = field(default_factory=dict)


def write_system(folder: Path, node: str, lines: Iterable[Line]) -> None:
    """system/incremental/HOUR/MINUTE.NODE.json, a file a minute."""
    by_minute = defaultdict(list)
    for line in lines:
        by_minute[int(line.at // 60 * 60)].append(line)
    for minute, found in by_minute.items():
        path = folder / "system/incremental" / hour_of(minute) / f"{minute}.{node}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(_plain(line, node)) + "\n" for line in found))


def write_timeline(folder: Path, node_id: str, spans: Iterable[Span]) -> None:
    """One file below framework/pevents. `node_id` is PROCESS-HOST: 26-algo-1."""
    spans = sorted(spans, key=lambda span: span.start)
    if not spans:
        return
    base = int(spans[0].start * 1e6)
    end = max(span.start + span.seconds for span in spans)
    zero = {"start_time_since_epoch_in_micros": base}
    events = [
        {"name": "process_name", "ph": "M", "pid": 0, "args": zero},
        {"name": "process_sort_index", "ph": "M", "pid": 0, "args": {"sort_index": 0}},
    ]
    pids: dict[str, int] = {}
    for span in spans:
        if span.phase not in pids:
            pids[span.phase] = number = len(pids) + 1
            events += [
                {"name": "process_name", "ph": "M", "pid": number, "args": {"name": span.phase}},
                {"name": "process_sort_index", "ph": "M", "pid": number,
                 "args": {"sort_index": number}},
            ]  # fmt: skip
        step = {} if span.step is None else {"step_num": str(span.step)}
        events.append({
            "name": span.name or span.phase, "pid": pids[span.phase], "ph": "X",
            "ts": round(span.start * 1e6) - base, "dur": round(span.seconds * 1e6),
            "args": {"pid": span.pid, **step, **span.arguments},
        })  # fmt: skip
    name = f"{int(end * 1e6)}_{node_id}_pythontimeline.json"
    path = folder / "framework/pevents" / hour_of(end) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(map(json.dumps, events)) + "\n]\n")


def end_job(folder: Path) -> None:
    """The marks that tell readers that no more comes."""
    for kind in ("system", "framework"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / "training_job_end.ts").touch()


def hour_of(unix_seconds: float) -> str:
    """2023111422, in UTC."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y%m%d%H")


def _plain(line: Line, node: str) -> dict[str, object]:
    return {
        "Type": line.type, "Name": line.name, "Dimension": line.dimension,
        "Value": line.value, "NodeId": node, "Timestamp": line.at,
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A made-up job that looks like a real one, the same for the same numbers."""

    hosts: int = 2
    gpus: int = 2  # of each host
    cores: int = 4
    workers: int = 1  # that load pictures, a host
    seconds: float = 600.0
    interval: float = 0.5  # of the system metrics
    wait: float = 0.22  # seconds for a batch
    compute: float = 0.10  # forward, backward and optimizer of a step, seconds
    steps_of_epoch: int = 150
    slow_host: float = 1.0  # the last host computes so much longer
    idle_gpu: float = 1.0  # the last GPU of each host does this share of the others' work
    memory_growth: float = 0.0  # percentage points of GPU memory a minute
    outliers: int = 0  # steps whose wait takes a second longer
    start_up: float = 20.0  # seconds before the first step
    seed: int = 0

    def write(self, folder: Path) -> Path:
        """Write all hosts' files into one profiler folder, as they lie in S3."""
        for host in range(self.hosts):
            spans = self._spans(host)
            write_timeline(folder, f"{26 + host}-algo-{host + 1}", spans)
            write_system(folder, f"algo-{host + 1}", self._lines(host, spans))
        end_job(folder)
        return folder

    def _spans(self, host: int) -> list[Span]:
        random = np.random.default_rng([self.seed, host])
        slow = self.slow_host if host == self.hosts - 1 else 1.0
        at, step, spans = T0 + self.start_up, 0, []
        late = set(random.choice(np.arange(20, 400), self.outliers, replace=False).tolist())
        pids = [100 + worker for worker in range(self.workers)] or [26]
        while at < T0 + self.seconds - 12:
            facts = {"pin_memory": self.gpus > 0, "num_workers": self.workers}
            spans.append(Span(phase="DataLoaderIterInitialize", start=at, seconds=0.05,
                              arguments=facts))  # fmt: skip
            for _ in range(self.steps_of_epoch):
                wait = self.wait * random.lognormal(0, 0.12) + (1.0 if step in late else 0.0)
                begin = at
                for phase, share in (
                    ("DataLoaderIter", wait),
                    ("Copy", 0.004),
                    ("Forward", 0.33 * self.compute * slow * random.lognormal(0, 0.06)),
                    ("Backward(post-forward)", 0.55 * self.compute * slow),
                    ("Optimizer", 0.12 * self.compute * slow),
                ):
                    pid = pids[step % len(pids)] if phase == "DataLoaderIter" else 26
                    spans.append(Span(phase=phase, start=at, seconds=share, step=step, pid=pid))
                    at += share
                spans.append(Span(phase=TRAIN, start=begin, seconds=at - begin, step=step))
                step += 1
            whole = at
            for number in range(30):
                spans.append(Span(phase=EVAL, start=at, seconds=0.08, step=number))
                at += 0.08
            spans.append(Span(phase="Evaluate", start=whole, seconds=at - whole))
            spans.append(Span(phase="Checkpoint", start=at, seconds=0.6))
            at += 0.65
        return spans

    def _lines(self, host: int, spans: list[Span]) -> list[Line]:
        random = np.random.default_rng([self.seed, host, 1])
        times = T0 + 0.1 + np.arange(int(self.seconds / self.interval)) * self.interval
        busy = _share_of(spans, times, self.interval, ("Forward", "Backward(post-forward)", EVAL))
        wait = _share_of(spans, times, self.interval, ("DataLoaderIter",))
        lines: list[Line] = []
        for i, at in enumerate(times.tolist()):
            noise = random.normal(0, 2.5, self.cores + self.gpus + 1)
            for core in range(self.cores):
                loads = 92 * wait[i] if core < max(1, self.workers) else 8.0
                value = _percent(loads + 20 * busy[i] + noise[core] + (5 if core == 0 else 0))
                lines += [
                    Line(at=at, type="cpu", name=f"cpu{core}", dimension="CPUUtilization",
                         value=value),
                    Line(at=at, type="cpu", name=f"cpu{core}", dimension="I/OWaitPercentage",
                         value=_percent(4 * wait[i] + noise[core] / 2)),
                ]  # fmt: skip
            for gpu in range(self.gpus):
                share = self.idle_gpu if gpu == self.gpus - 1 else 1.0
                memory = 12 + (18 if busy[i] or wait[i] else 0)
                memory += self.memory_growth * (at - T0) / 60
                lines += [
                    Line(at=at, type="gpu", name=f"gpu{gpu}", dimension="GPUUtilization",
                         value=_percent(96 * busy[i] * share + noise[-1 - gpu])),
                    Line(at=at, type="gpu", name=f"gpu{gpu}", dimension="GPUMemoryUtilization",
                         value=_percent(memory)),
                ]  # fmt: skip
            disk = 40e6 * wait[i] * float(random.random())
            network = 90e6 if at < T0 + self.start_up else 2e6 * busy[i] * (self.hosts > 1)
            lines += [
                Line(at=at, type="memory", name="MemoryUsedPercent",
                     value=_percent(22 + 6 * (i / len(times)))),
                Line(at=at, type="i/o", name="IOPS", value=disk / 2e5),
                Line(at=at, type="i/o", name="ReadThroughputInBytesPerSecond", value=disk),
                Line(at=at, type="i/o", name="WriteThroughputInBytesPerSecond", value=disk / 30),
            ]  # fmt: skip
            for name in ("ReceiveBytesPerSecond", "TransmitBytesPerSecond"):
                lines += [
                    Line(at=at, type="network", name=name, dimension="Algorithm", value=network),
                    Line(at=at, type="network", name=name, dimension="Platform", value=0.0),
                ]
        return lines


def _share_of(
    spans: list[Span], times: np.ndarray, interval: float, phases: tuple[str, ...]
) -> np.ndarray:
    """The share of each interval before `times` that lies within spans of these phases."""
    share = np.zeros(len(times))
    for span in spans:
        if span.phase not in phases:
            continue
        first = np.searchsorted(times, span.start)
        last = np.searchsorted(times, span.start + span.seconds)
        for i in range(first, min(last, len(times) - 1) + 1):
            begin = max(times[i] - interval, span.start)
            share[i] += max(0.0, min(times[i], span.start + span.seconds) - begin)
    return np.minimum(share / interval, 1.0)


def _percent(value: float) -> float:
    return round(min(max(value, 0.0), 100.0), 2)
