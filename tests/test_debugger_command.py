"""The command `python -m debugger`: what it prints, where it writes, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from buckets import BUCKET, buckets, moto_server
from PIL import Image
from tensor_runs import clean_environment, global_steps, write_step, write_steps

from debugger.main import main

WAIT_SECONDS = 60
COMMAND = (sys.executable, "-m", "debugger")
GRADIENTS = {"losses": ["^loss"], "gradients": ["^gradient"]}
SMALL, LARGE = np.full((2, 2), 1e-9, np.float32), np.ones((2, 2), np.float32)
WIDE = np.array([[1, -1], [2, -2]], np.float32)
PRINTS = """
from smdebug.rules.rule import Rule

class Prints(Rule):
    def __init__(self, base_trial, text="nothing"):
        super().__init__(base_trial)
        self.text = text

    def invoke_at_step(self, step):
        print(self.text)
        self.logger.info(f"logged {step}")
        return False
"""


def run(*words, environment=None):
    """The command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        env=environment or clean_environment(),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


def job(folder: Path, *gradients, has_ended: bool = True) -> Path:
    """A job's folder with steps of training and one of evaluation."""
    steps = [("TRAIN", one, step(value)) for one, value in enumerate(gradients)]
    write_steps(
        folder / "output/tensors",
        [*steps, ("EVAL", 0, {"loss": np.float32(2)})],
        collections=GRADIENTS,
        has_ended=has_ended,
    )
    return folder


def step(gradient) -> dict[str, object]:
    return {"loss": np.float32(1), "gradient/fc": gradient, "scalar/accuracy": np.float64([0.5])}


def test_results_are_one_json_object_a_line_and_an_issue_is_exit_code_1(tmp_path):
    (tmp_path / "prints.py").write_text(PRINTS)
    source = job(tmp_path / "job", LARGE, SMALL)
    done = run(
        "rules", source, "--rule", "VanishingGradient:threshold=1e-6",
        "--own", f"{tmp_path / 'prints.py'}:Prints:text=a,b", "--rule", "VanishingGradient",
    )  # fmt: skip
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["result"]["name"] for one in events] == [
        "VanishingGradient", "VanishingGradient-2", "Prints",
    ]  # fmt: skip
    assert [one["result"]["status"] for one in events] == [
        "IssuesFound", "IssuesFound", "NoIssuesFound",
    ]  # fmt: skip
    assert events[0]["result"]["parameters"] == {"threshold": 1e-6}
    assert done.returncode == 1
    assert done.stderr.splitlines().count("a,b") == 3
    assert "logged 2" in done.stderr  # every time: smdebug's own log falls silent after three
    assert sorted(one.name for one in (source / "rule-output").iterdir()) == [
        "Prints", "VanishingGradient", "VanishingGradient-2", "rules.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "code"),
    [("ExplodingTensor", 0), ("VanishingGradient", 1), ("WeightUpdateRatio", 3)],
)
def test_exit_codes_tell_fine_from_found_from_not_judged(tmp_path, rule, code, capsys):
    source = job(tmp_path, SMALL)
    words = ["rules", str(source), "--rule", rule, "--rule", "ExplodingTensor"]
    assert main(words) == code
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ruels", "x"], "unknown command 'ruels'; did you mean rules?"),
        ([], "see `python -m debugger --help`"),
        (["rules"], "SOURCE"),
        (["rules", "SOURCE", "--folow"], "'--folow'; did you mean --follow?"),
        (["rules", "SOURCE", "--rule", "Vanishing"], "did you mean VanishingGradient?"),
        (["rules", "SOURCE", "--rule", "Overfit:patienc=1"], "did you mean patience?"),
        (["rules", "SOURCE", "--rule", "Overfit:patience=x"], "expected a whole number"),
        (["rules", "SOURCE", "--rule", "Overfit:patience"], "expected PARAMETER=VALUE"),
        (["rules", "SOURCE", "--rule", "AllZero"], "collection_names or tensor_regex"),
        (["rules", "SOURCE", "--rule", "TreeDepth"], "is for XGBoost's trees"),
        (["rules", "SOURCE", "--own", "my_rule"], "expected FILE.py:CLASS"),
        (["rules", "SOURCE", "--own", "gone.py:Rule"], "gone.py"),
        (["rules", "SOURCE", "--config", "gone.json"], "gone.json does not exist"),
        (["rules", "gone"], "expected a job's folder"),
        (["rules", "EMPTY"], "neither saved tensors nor a profile"),
        (["tensors", "SOURCE", "--regex", "("], "is no regular expression"),
        (["rules", "SOURCE", "--rule", "DeadRelu:tensor_regex=("], "is no regular expression"),
        (["tensors", "EMPTY"], "no debugging data was saved"),
        (["plot", "SOURCE", "los", "--out", "x.png"], "did you mean loss?"),
        (["plot", "SOURCE", "gradient/fc:median", "--out", "x.png"], "no reduction 'median'"),
        (["plot", "SOURCE", "loss", "--out", "x.pdf"], "ends in .png or .svg"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_with_exit_code_2(tmp_path, words, says, capsys):
    (tmp_path / "empty").mkdir()
    places = {"SOURCE": str(job(tmp_path / "job", LARGE)), "EMPTY": str(tmp_path / "empty")}
    assert main([places.get(word, word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("debugger: ")
    assert says in err


def test_help_goes_to_stdout_and_is_no_error(capsys):
    assert main(["rules", "--help"]) == 0
    out, err = capsys.readouterr()
    assert ("--follow" in out, err) == (True, "")


def test_a_mistake_of_ours_has_an_exit_code_that_no_result_has(tmp_path, capsys):
    source, config = job(tmp_path / "job", LARGE), tmp_path / "rules.json"
    config.write_text("[" * 100_000)  # more than Python's parser takes, and we have no word for it
    assert main(["rules", str(source), "--config", str(config)]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("debugger: ")


def test_a_config_file_holds_rules_as_kennel_writes_them(tmp_path, capsys):
    source, config = job(tmp_path / "job", SMALL), tmp_path / "rules.json"
    rule = {"name": "mine", "rule": "VanishingGradient", "parameters": {"threshold": "1"},
            "source": "", "actions": ["stop"]}  # fmt: skip
    config.write_text(json.dumps({"rules": [rule]}))
    assert main(["rules", str(source), "--config", str(config), "--out", str(tmp_path / "o")]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in events] == ["result", "action"]
    assert (tmp_path / "o/mine/report.json").is_file()
    config.write_text('{"rules": {}}')
    assert main(["rules", str(source), "--config", str(config)]) == 2


def test_without_a_word_about_rules_the_five_classic_ones_are_asked(tmp_path, capsys):
    assert main(["rules", str(job(tmp_path, WIDE, WIDE))]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["result"]["name"] for one in events} == {
        "VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization",
        "LossNotDecreasing",
    }  # fmt: skip


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


def follow(*words) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, "rules", *map(str, words), "--follow"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_job_that_still_writes_is_evaluated_as_it_goes(tmp_path):
    """The child starts before there is anything; it hears of each step, and of the end."""
    folder, tensors = tmp_path / "job", tmp_path / "job/output/tensors"
    folder.mkdir()
    child = follow(folder, "--rule", "VanishingGradient")
    try:
        time.sleep(0.5)
        job(folder, LARGE, has_ended=False)
        time.sleep(0.5)
        write_step(tensors, 2, ("TRAIN", 1, step(SMALL)))
        first = json.loads(child.stdout.readline())  # while the job runs
        write_step(tensors, 3, ("TRAIN", 2, step(SMALL)))
        (tensors / "training_job_end.ts").touch()
        rest, _ = child.communicate(timeout=WAIT_SECONDS)
    finally:
        child.kill()
        child.wait()
    assert (first["result"]["status"], first["result"]["num_findings"]) == ("IssuesFound", 1)
    last = json.loads(rest.splitlines()[-1])["result"]
    assert (child.returncode, last["num_findings"], last["datapoints"]) == (1, 2, 3)


def test_sigterm_says_that_the_job_has_ended_and_what_is_left_is_evaluated(tmp_path):
    folder = job(tmp_path, SMALL, has_ended=False)
    child = follow(folder, "--rule", "VanishingGradient", "--rule", "Overfit:patience=1")
    try:
        first = json.loads(child.stdout.readline())
        write_step(folder / "output/tensors", 2, ("TRAIN", 1, step(SMALL)))
        os.kill(child.pid, signal.SIGTERM)
        rest, _ = child.communicate(timeout=WAIT_SECONDS)
    finally:
        child.kill()
        child.wait()
    assert first["result"]["name"] == "VanishingGradient"
    results = [json.loads(line)["result"] for line in rest.splitlines()]
    assert {one["name"]: one["status"] for one in results} == {
        "VanishingGradient": "IssuesFound", "Overfit": "NoIssuesFound",
    }  # fmt: skip
    assert results[0]["num_findings"] == 2
    assert results[1]["details"] == "not enough data: 1 evaluation, and more than 1 are needed"
    assert child.returncode == 1


def test_a_job_that_never_saves_ends_with_the_signal_and_says_so(tmp_path):
    child = follow(tmp_path, "--rule", "VanishingGradient")
    try:
        while not (tmp_path / "rule-output/rules.json").exists():  # then it listens
            assert child.poll() is None
            time.sleep(0.05)
        child.terminate()
        out, _ = child.communicate(timeout=WAIT_SECONDS)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 3
    assert "no debugging data was saved" in json.loads(out)["result"]["details"]


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
