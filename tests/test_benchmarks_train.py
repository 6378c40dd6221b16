"""The training benchmark: whose time counts, what it starts, what it prints."""

import ast
import sys
import time
from pathlib import Path

import pytest

from benchmarks.scale import Cost
from benchmarks.servers import ROOT
from benchmarks.train_chart import draw
from benchmarks.train_data import part_of
from benchmarks.train_finetune import Finetune
from benchmarks.train_frozen import Accuracy, Frozen
from benchmarks.train_hosts import APART, ONE, THREADS, TOGETHER, Scaling
from benchmarks.train_job import Job, our_command
from benchmarks.train_loader import Loader
from benchmarks.train_page import Results, page_of
from benchmarks.train_pass import Pass
from benchmarks.train_scale import Scale
from benchmarks.train_seeds import Seeds
from benchmarks.train_tune import Tune, tuning_text
from control.tuning_file import read_tuning
from train.options import job_from_flags

TALKER = "import sys\nfor word in sys.argv[1:]:\n    print(word, 'was said', flush=True)\n"
CPU_SECONDS = {1_000: 12.0, 4_000: 18.0, 10_000: 31.0}


def talker(folder, *words):
    return Job("talker", [sys.executable, "-c", TALKER, *words], folder)


def results():
    """Figures that are easy to check by hand."""
    return Results(
        machine=dict.fromkeys(("date", "chip", "processors", "memory", "python", "ours"), "?"),
        title="pictures",
        frozen=Frozen(
            script_seconds=400,
            script_epochs=[80.0] * 5,
            is_extrapolated=False,
            cold=[40.0, 50.0, 20.0],
            warm=[10.0, 8.0, 16.0],
        ),
        accuracy=Accuracy(ours=[0.5, 0.4], script=[0.4, 0.4]),
        tune=Tune(
            seconds=50, cpu_seconds=90, completed=20, script_seconds=400, parallel=2,
            is_extrapolated=True,
        ),
        passes=[
            Pass(
                name="int8", engine="openvino int8", lanes=2, batch=8,
                trunk_pass=[0.010, 0.020], decode=[0.001, 0.002], compute=[0.008, 0.016],
            )
        ],
        finetune=Finetune(
            train_pictures=96, validation_pictures=32, ours=[30, 10, 20], script=[30, 20, 30]
        ),
        loader=Loader(device="cpu", is_compiled=False, epochs=[8.0, 9.0, 6.0], alone=[10.0] * 3),
        hosts=Scaling(rates={ONE: 2.0, THREADS: 3.0, TOGETHER: 2.5, APART: 3.0}),
        scale=Scale(
            costs=[
                Cost(pictures=count, wall_seconds=1, cpu_seconds=seconds, peak_mib=500)
                for count, seconds in CPU_SECONDS.items()
            ]
        ),
        seeds=[Seeds(title="dogs", name="dogs", accuracy={"int8": [0.5, 0.4], "f32": [0.4, 0.4]})],
    )  # fmt: skip


def test_every_bar_has_the_value_worked_out_by_hand():
    values = {bar.name: bar.value for bar in results().bars}
    assert values == pytest.approx(
        {
            "train-frozen-cold": 10,
            "train-frozen-warm": 40,
            "train-frozen-accuracy-gain": 0.05,
            "train-tune": 160,
            "train-pass-int8-of-limit": 0.9,
            "train-finetune": 1.75,
            "train-loader-of-step": 0.8,
            "train-time-per-picture": (13 / 6_000) / (6 / 3_000),
            "train-int8-accuracy-loss-dogs": -0.05,
        }
    )


def test_the_page_names_every_bar_and_every_row(tmp_path):
    found = results()
    page = page_of(found)
    assert all(bar.line() in page for bar in found.bars)
    assert all(name in page for name in found.hosts.rates)
    draw(found, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_not_measured_is_not_on_the_page():
    found = Results(machine=results().machine, title="pictures", tune=results().tune)
    assert [bar.name for bar in found.bars] == ["train-tune"]
    assert "fine-tuning" not in page_of(found).lower()
    assert "extrapolated, too: one of its 5 epochs" in page_of(found)


def test_a_job_stops_at_its_mark_and_goes_on_later(tmp_path):
    job = talker(tmp_path, "one", "two", "three")
    first = job.run_until("two")
    then = job.seconds
    time.sleep(0.05)
    assert job.seconds == then >= first  # its clock stands still
    job.run_to_end()
    assert [line.split()[0] for _, line in job.lines] == ["one", "two", "three"]
    assert job.peak_mib > 1


def test_a_job_that_fails_or_never_says_it_names_its_log(tmp_path):
    with pytest.raises(SystemExit, match=r"talker\.log"):
        talker(tmp_path, "one").run_until("two")
    job = Job("failing", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path)
    with pytest.raises(SystemExit, match=r"failing\.log"):
        job.run_to_end()


def test_the_ordinary_script_imports_nothing_of_ours():
    tree = ast.parse((ROOT / "benchmarks" / "yardstick.py").read_text(encoding="utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names])
    }  # fmt: skip
    assert names == {"argparse", "copy", "time", "torch", "torchvision"}


def test_a_part_has_a_few_pictures_of_the_first_labels(pictures, tmp_path):
    channels = {name: pictures / name for name in ("train", "validation")}
    part = part_of(channels, tmp_path, 2)
    counts = {
        (name, label.name): len(list(label.iterdir()))
        for name in channels
        for label in part[name].iterdir()
    }
    assert len(counts) == 4
    assert {count for (name, _), count in counts.items() if name == "train"} <= {1, 2, 3, 4}
    assert {count for (name, _), count in counts.items() if name == "validation"} == {1}


def test_our_command_and_the_study_are_understood(pictures, tmp_path):
    channels = {name: pictures / name for name in ("train", "validation")}
    command = our_command(channels, tmp_path, {"arch": "squeezenet1_1", "unfreeze": "all"})
    job = job_from_flags(command[3:])
    assert job.hyperparameters.values.unfreeze == "all"
    assert job.outputs.model_dir == tmp_path / "model"
    path = Path(tmp_path / "tuning.toml")
    path.write_text(tuning_text(channels, parallel=2))
    spec = read_tuning(path).spec
    assert (spec.max_jobs, spec.max_parallel_jobs, spec.objective.goal) == (20, 2, "Minimize")
    assert set(spec.ranges) == {"lr", "batch-size"}
