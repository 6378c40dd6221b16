"""What is trained by benchmarks/profiler.py, measured and not."""

import os
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.debugger_work import LABELS, head
from benchmarks.pictures import write_channel
from contract.hyperparameters import parse_hyperparameters
from contract.job import Channel, Outputs, TrainingJob
from contract.profiler_config import ProfilerConfig
from train.agent_process import AgentProcess
from train.channels import read_data
from train.device import choose_device
from train.loop import Fit, Progressing, Task, fit
from train.network_learner import NetworkLearner
from train.profile_place import ProfilePlace
from train.progress import Progress
from train.start import start_network
from train.stop import Stop
from train.watch import Watch
from train.watching import build_watch
from train.world import World

_TICK_SECONDS = 60.0  # for the agent to start


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Something to train, again and again from the same weights."""

    name: str
    job: TrainingJob
    task_of: Callable[[Watch], Task]

    def run(self, epochs: int, folder: Path | None) -> "Run":
        """Without anybody who looks on where there is no folder."""
        values = replace(self.job.hyperparameters.values, epochs=epochs)
        agent, watch = None, Watch()
        if folder is not None:
            place = ProfilePlace(folder=folder, node="algo-1")
            agent = AgentProcess(place, ProfilerConfig().interval_ms)
            outputs = replace(self.job.outputs, profiler_dir=folder)
            watch = build_watch(
                replace(self.job, profiler=ProfilerConfig(), outputs=outputs), World()
            )
            _await_tick(place)
        task, device = self.task_of(watch), choose_device("fp32")
        state = Fit(task=task, values=values, device=device, watch=watch)
        started, own_started, agent_started = time.perf_counter(), _own(), _cpu_seconds(agent)
        fit(state, Stop(), Progressing())
        watch.close()
        seconds, own_seconds = time.perf_counter() - started, _own() - own_started
        agent_seconds = _cpu_seconds(agent) - agent_started
        if agent is not None:
            agent.end()
        return Run(
            seconds=seconds,
            cpu_seconds=own_seconds + agent_seconds,
            agent_share=agent_seconds / seconds,
            steps=epochs * task.batches.order.steps_per_epoch,
            num_bytes=sum(path.stat().st_size for path in folder.rglob("*.json")) if folder else 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training."""

    seconds: float
    cpu_seconds: float  # of training, its loader workers and the agent
    agent_share: float  # of one core
    steps: int
    num_bytes: int  # that were written to measure it


def on_features(folder: Path) -> Work:
    """A linear layer on random features, as a HeadLearner trains it."""
    work = head(folder)

    def task_of(_watch: Watch) -> Task:
        work.task.module.load_state_dict(work.initial)
        return work.task

    return Work(name="head", job=work.job, task_of=task_of)


def fine_tuning(folder: Path) -> Work:
    """A small SqueezeNet, all layers of it, whose batches two worker processes make."""
    for channel, most in (("train", 12), ("validation", 2)):
        for seed in range(most):
            write_channel(folder / channel, LABELS, len(LABELS), seed=100 * most + seed)
    job = _job(folder)
    data = read_data(job, folder / "work")
    start = start_network(job, data.labels, folder / "work")
    initial = deepcopy(start.network.state_dict())

    def task_of(watch: Watch) -> Task:
        start.network.load_state_dict(initial)
        device, progress = choose_device("fp32"), Progress(enabled=False)
        return NetworkLearner(start, data, device, progress, watch=watch).task

    return Work(name="finetune", job=job, task_of=task_of)


def _job(folder: Path) -> TrainingJob:
    given = {
        "arch": "squeezenet1_1", "pretrained": "false", "early-stopping-patience": "0",
        "unfreeze": "all", "image-size": "64", "batch-size": "16", "num-workers": "2",
    }  # fmt: skip
    return TrainingJob(
        name="bench",
        hyperparameters=parse_hyperparameters(given),
        channels={name: Channel(name=name, path=folder / name) for name in ("train", "validation")},
        outputs=Outputs(
            model_dir=folder / "model",
            data_dir=folder / "output",
            failure_file=folder / "failure",
            checkpoint_dir=None,
        ),
    )


def _await_tick(place: ProfilePlace) -> None:
    deadline = time.monotonic() + _TICK_SECONDS
    while not place.system_files():
        if time.monotonic() > deadline:
            raise SystemExit("the host agent does not start")
        time.sleep(0.01)


def _own() -> float:
    """Processor time of this process and of its children that have ended, loader workers."""
    return sum(os.times()[:4])


def _cpu_seconds(agent: AgentProcess | None) -> float:
    """What it has needed so far; 0 where Linux does not say."""
    path = Path(f"/proc/{agent.pid}/stat") if agent is not None else None
    if path is None or not path.exists():
        return 0.0
    words = path.read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
