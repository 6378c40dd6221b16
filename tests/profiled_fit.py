"""Training runs in this process that are measured: a real timeline and a real host agent.

Without what comes before and after training in a whole job, so that a run takes a few seconds.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from kinds import encode
from PIL import Image
from training import CPU, job_for

from contract.profiler_config import ProfilerConfig
from debugger.profile.data import Profile
from debugger.profile.read import read_profile
from train.agent_process import host_agent
from train.channels import read_data
from train.learning import build_learner
from train.loop import Fit, Progressing, fit
from train.progress import Progress
from train.start import start_network
from train.stop import Stop
from train.watching import build_watch
from train.world import World

# Each picture is cut, coloured, turned and bent anew whenever it is visited: several milliseconds.
SLOW_LOADING = {"augment": "crop_color_transform", "randaugment": "9"}


def write_photographs(root: Path, count: int, size: tuple[int, int] = (96, 80)) -> Path:
    """`root`/{train,validation}/CLASS/*.jpg: smooth noise; `count` training pictures a class."""
    random = np.random.default_rng(0)
    for split, number in (("train", count), ("validation", 16)):
        for name in ("one", "other"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(number):
                small = Image.fromarray(random.integers(0, 255, (10, 12, 3), dtype=np.uint8))
                picture = small.resize(size, Image.Resampling.BICUBIC)
                (folder / f"{index:03}.jpg").write_bytes(encode(picture, "JPEG", quality=90))
    return root


def profiled_fit(pictures: Path, out: Path, **changes: str) -> Profile:
    """Learn all layers of a tiny network, unless told otherwise; what the profiler saw of it."""
    torch.set_num_threads(1)  # two would wait for each other on a busy machine
    job = job_for(pictures, out, ("train", "validation"), **{"unfreeze": "all", **changes})
    job = replace(
        job,
        profiler=ProfilerConfig(interval_ms=100),
        outputs=replace(job.outputs, profiler_dir=out / "profiler"),
    )
    with host_agent(job):
        watch = build_watch(job, World())
        data = read_data(job, out / "work")
        start = start_network(job, data.labels, out / "work")
        learner = build_learner(start, data, CPU, Progress(enabled=False), watch=watch)
        fit(
            Fit(task=learner.task, values=learner.values, device=CPU, watch=watch),
            Stop(),
            Progressing(),
        )
        watch.close()
    return read_profile([out / "profiler"])
