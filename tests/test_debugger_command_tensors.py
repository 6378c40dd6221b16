"""Saved tensors in the hands of `python -m debugger`: where it finds them, lists and draws."""

import json
import os

import numpy as np
import pytest
from buckets import BUCKET, buckets, moto_server
from debugging import LARGE, SMALL, job, run
from PIL import Image
from tensor_runs import global_steps, write_steps

from debugger.main import main


@pytest.mark.parametrize("where", [".", "output/tensors"])
def test_a_folder_of_tensors_is_a_source_as_well_as_a_jobs_folder(tmp_path, where, capsys):
    source = job(tmp_path / "job", SMALL)
    out = ["--out", str(tmp_path / "out")]
    assert main(["rules", str(source / where), "--rule", "VanishingGradient", *out]) == 1
    os.rename(source / "output/tensors", source / "debug-output")  # as the service has it
    assert main(["rules", str(source), "--rule", "VanishingGradient", *out]) == 1


@pytest.mark.skipif(moto_server() is None, reason="moto is installed by make test-containers")
def test_a_prefix_in_s3_is_read_as_a_folder_is(tmp_path):
    source = job(tmp_path / "job", LARGE, SMALL)
    with buckets(tmp_path) as aws:
        for file in (source / "output/tensors").rglob("*"):
            if file.is_file():
                key = file.relative_to(source / "output/tensors").as_posix()
                aws.put(f"jobs/one/debug-output/{key}", file.read_bytes())
        environment = {**aws.environment, "AWS_REGION": "us-east-1"}
        for prefix in ("jobs/one", "jobs/one/debug-output/"):
            done = run(
                "rules", f"s3://{BUCKET}/{prefix}", "--rule", "VanishingGradient",
                "--out", tmp_path / "out", environment=environment,
            )  # fmt: skip
            assert done.returncode == 1, done.stderr
            result = json.loads(done.stdout)["result"]
            assert [one["step"] for one in result["findings"]] == [1]


def test_global_steps_without_modes_are_a_job_as_well(tmp_path, capsys):
    write_steps(tmp_path, global_steps({0: [1.0], 5: [np.inf]}, "anything"))
    assert main(["rules", str(tmp_path), "--rule", "ExplodingTensor"]) == 1
    result = json.loads(capsys.readouterr().out)["result"]
    assert (result["findings"][0]["mode"], result["findings"][0]["step"]) == ("GLOBAL", 5)


def test_names_shapes_steps_and_workers_are_one_document(tmp_path, capsys):
    source = job(tmp_path, LARGE, LARGE)
    assert main(["tensors", str(source)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["workers"] == ["worker_0"]
    assert document["has_ended"] is True
    assert document["steps"] == {"TRAIN": [0, 1], "EVAL": [0]}
    assert document["collections"] == {"gradients": ["gradient/fc"], "losses": ["loss"]}
    gradient, loss, accuracy = document["tensors"]
    assert gradient == {
        "name": "gradient/fc", "collections": ["gradients"], "shape": [2, 2], "dtype": "float32",
        "reductions": [], "workers": ["worker_0"], "steps": {"TRAIN": [0, 1]},
    }  # fmt: skip
    assert loss["steps"] == {"TRAIN": [0, 1], "EVAL": [0]}
    assert accuracy["name"] == "scalar/accuracy"
    assert main(["tensors", str(source), "--mode", "eval", "--regex", "^l"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in document["tensors"]] == ["loss"]
    assert document["tensors"][0]["steps"] == {"EVAL": [0]}


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_tensors_reductions_and_scalars_are_drawn_in_one_picture(tmp_path, ending):
    source, out = job(tmp_path / "job", LARGE, SMALL, LARGE), tmp_path / f"plot.{ending}"
    words = ["loss", "gradient/fc", "gradient/fc:abs_mean", "accuracy"]
    assert main(["plot", str(source), *words, "--out", str(out)]) == 0
    if ending == "png":
        with Image.open(out) as picture:
            assert picture.size[1] > picture.size[0] * 0.9  # four panels
            assert len(picture.convert("L").getcolors()) > 50
    else:
        text = out.read_text()
        assert text.startswith("<?xml")
        assert "<script" not in text


def test_the_numbers_of_a_plot_are_those_that_were_saved(tmp_path):
    from debugger.opening import opened
    from debugger.plot import read_panel

    tilted = np.array([[1, 2], [3, -6]], np.float32)
    with opened(str(job(tmp_path, LARGE, tilted))) as saved:
        panel = read_panel(saved, "gradient/fc")
        line = panel.lines["TRAIN"]
        assert (line.steps, line.values) == ([0, 1], [1.0, 0.0])
        assert (line.lows, line.highs) == ([1.0, -6.0], [1.0, 3.0])
        assert read_panel(saved, "gradient/fc:abs_mean").lines["TRAIN"].values == [1.0, 3.0]
        both = read_panel(saved, "loss").lines
        assert (both["TRAIN"].values, both["EVAL"].values) == ([1.0, 1.0], [2.0])
        assert both["EVAL"].steps == [2]  # of all modes, so that they share an axis
