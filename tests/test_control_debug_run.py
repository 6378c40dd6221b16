"""A real small training with real rules beside it, and what `kennel debug` says of it."""

import contextlib
import io
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from training import TINY

from contract.rule_result import RuleResult
from control.cli import main
from control.runs import read_run
from control.tensor_text import tensors_text

# Validation is never so much better than training: fires at the first evaluation.
CERTAIN = "Overfit:ratio_threshold=-1"
OWN = """
from smdebug.rules import Rule

class Large(Rule):
    def __init__(self, base_trial, limit="0"):
        super().__init__(base_trial, action_str="")
        self.limit = float(limit)

    def invoke_at_step(self, step):
        names = self.base_trial.tensor_names(collection="losses")
        return any(self.base_trial.tensor(name).value(step).max() > self.limit for name in names)
"""


@pytest.fixture(scope="module")
def describe(pictures):
    """Write the tiny job with more tables into a folder; returns its path."""

    def write(folder, more="", **changes):
        given = {**TINY, **changes}
        path = folder / "tiny.toml"
        lines = [f'{name} = "{text}"' for name, text in given.items()]
        channels = [f'{name} = "{pictures / name}"' for name in ("train", "validation")]
        path.write_text("\n".join(["[hyperparameters]", *lines, "[channels]", *channels, more]))
        return str(path)

    return write


@pytest.fixture(scope="module")
def watched(describe, tmp_path_factory):
    """(folder above runs/, exit code, stdout) of a job with everything on. Do not write."""
    folder = tmp_path_factory.mktemp("watched")
    job = describe(folder, "[debugger]\nsave_interval = 1\n")
    words = ["run", job, "--debug", "--profile", "--rule", f"{CERTAIN},actions=fail"]
    shown = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(shown):
        code = main(words)
    return folder, code, shown.getvalue()


@pytest.fixture
def kennel(watched, capsys):
    """Run a command beside the watched run; returns (exit code, stdout, stderr)."""

    def run(*words):
        with contextlib.chdir(watched[0]):
            code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_rule_that_stops_ends_the_job_with_a_model(describe, tmp_path, capsys):
    job = describe(tmp_path, epochs="3000", **{"early-stopping-patience": "0"})
    with contextlib.chdir(tmp_path):
        assert main(["run", job, "--rule", f"{CERTAIN},actions=stop"]) == 1
    run = read_run(tmp_path / "runs" / "0001-tiny")
    assert run.status == "Stopped"
    assert run.failure_reason.startswith("stopped by rule Overfit at step ")
    assert (run.folder / "model" / "bundle.json").is_file()
    assert (run.folder / "checkpoints").is_dir()
    out = capsys.readouterr().out
    assert "\nrule Overfit: IssuesFound at step " in out
    assert "3000/3000" not in out, "it did not wait for the end"


def test_a_rule_that_fails_the_job_leaves_it_its_model(watched):
    folder, code, out = watched
    run = read_run(folder / "runs" / "0001-tiny")
    assert (code, run.status) == (1, "Failed")
    assert run.failure_reason.startswith("rule Overfit at step ")
    assert "the training itself completed" in run.failure_reason
    assert (run.folder / "model" / "bundle.json").is_file()
    assert "rule PoorWeightInitialization needs relu_input: saved, too\n" in out
    statuses = {rule["name"]: rule["status"] for rule in run.rules}
    assert statuses["Overfit"] == "IssuesFound"
    assert statuses["VanishingGradient"] == "NoIssuesFound"
    assert statuses["ProfilerReport"] in ("NoIssuesFound", "IssuesFound")
    for name in statuses:
        assert f"\n{name} " in out, "a row of the table"
        report = run.folder / "rule-output" / name / "report.json"
        assert RuleResult.from_json(json.loads(report.read_text())).status == statuses[name]


def test_a_debugger_that_is_killed_leaves_the_job_as_it_is(describe, tmp_path, capsys):
    job = describe(tmp_path, epochs="30", **{"early-stopping-patience": "0"})
    killer = threading.Thread(target=_kill_debugger, args=(tmp_path,))
    killer.start()
    with contextlib.chdir(tmp_path):
        code = main(["run", job, "--rule", f"{CERTAIN},actions=fail"])
    killer.join()
    out = capsys.readouterr().out
    assert code == 0, out
    assert "rules are no longer evaluated: their process was ended by SIGKILL" in out
    with contextlib.chdir(tmp_path):
        assert main(["debug", "rules", "1", "-o", "json"]) == 1, "afterwards it is found"
    document = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in document["rules"]] == ["Overfit"], "the job's own rules"
    (rule,) = read_run(tmp_path / "runs" / "0001-tiny").rules
    assert rule["status"] == "IssuesFound"


def test_rules_are_evaluated_again_with_other_limits(kennel, tmp_path):
    never = "Overfit:ratio_threshold=1000"
    code, out, _ = kennel("debug", "rules", "1", "--rule", never, "--out", str(tmp_path))
    assert code == 0, out
    assert out.splitlines()[1].split()[:2] == ["Overfit", "NoIssuesFound"]


def test_a_rule_of_ones_own_is_evaluated_beside_others(kennel, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    words = ("--own", f"{path}:Large:limit=0", "--rule", "DeadRelu", "--out", str(tmp_path))
    code, out, _ = kennel("debug", "rules", "1", *words)
    assert code == 1
    assert "Large     IssuesFound" in out


def test_a_rule_without_its_tensors_cannot_be_answered(kennel, tmp_path):
    code, out, _ = kennel("debug", "rules", "1", "--rule", "DeadRelu", "--out", str(tmp_path))
    assert code == 2
    assert "DeadRelu  Error" in out


def test_a_folder_of_tensors_alone_is_enough(kennel, watched, tmp_path):
    shutil.copytree(watched[0] / "runs/0001-tiny/output/tensors", tmp_path / "tensors")
    code, out, _ = kennel("debug", "rules", str(tmp_path / "tensors"), "-o", "json")
    assert code in (0, 1), out
    names = [one["name"] for one in json.loads(out)["rules"]]
    assert "LossNotDecreasing" in names
    assert "ProfilerReport" not in names, "there is no profile"


def test_tensors_are_listed_with_shapes_and_steps(kennel):
    code, out, _ = kennel("debug", "tensors", "1", "-o", "json")
    assert code == 0
    document = json.loads(out)
    assert {"losses", "weights", "gradients", "biases"} <= document["collections"].keys()
    header, *rows, total = tensors_text(document).splitlines()
    assert header.split() == ["tensor", "collections", "shape", "steps"]
    gradients = [row for row in rows if row.startswith("gradient/")]
    assert gradients
    assert all("TRAIN 0-" in row and "EVAL" not in row for row in gradients)
    assert "by worker_0" in total


def test_a_plot_is_a_picture(kennel, tmp_path):
    path = tmp_path / "loss.png"
    code, out, err = kennel("debug", "plot", "1", "scalar/train:loss", "-o", str(path))
    assert (code, out) == (0, f"plot: {path}\n"), err
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    code, _, err = kennel("debug", "plot", "1", "scalar/train:los", "-o", str(path))
    assert code == 2
    assert err.startswith("kennel: ")
    assert "scalar/train:loss" in err, "the nearest name"


def test_explain_names_what_fired_and_what_to_change(kennel):
    code, out, _ = kennel("debug", "explain", "1")
    assert code == 1
    assert "Overfit, first at step " in out
    assert "  advice:  " in out
    code, out, _ = kennel("debug", "explain", "-o", "json")
    assert "Overfit" in [one["name"] for one in json.loads(out)["found"]]


def test_the_profile_is_three_sentences_and_a_page(kennel, tmp_path):
    code, out, _ = kennel("debug", "profile", "1", "--out", str(tmp_path))
    assert code in (0, 1)
    *sentences, last = out.splitlines()
    assert len(sentences) == 3
    page = tmp_path / "profiler-output" / "profiler-report.html"
    assert last == f"report: {page}"
    assert page.is_file()


def test_report_builds_one_page_and_keeps_it(kennel, watched):
    code, out, err = kennel("report", "1")
    page = Path("runs/0001-tiny/report.html")
    assert (code, err) == (0, "")
    assert f"report:  {page}\n" in out
    made = (watched[0] / page).stat().st_mtime_ns
    _, out, _ = kennel("report", "1", "-o", "json")
    assert json.loads(out)["report"] == str(page)
    assert (watched[0] / page).stat().st_mtime_ns == made, "nothing new to show"


def test_report_draws_what_was_saved_and_names_what_was_not(kennel, watched):
    code, out, _ = kennel("report", "1", "--plot", "CrossEntropyLoss_output_0")
    picture = Path("runs/0001-tiny/plot.png")
    assert code == 0
    assert f"plot:    {picture}\n" in out
    assert (watched[0] / picture).read_bytes().startswith(b"\x89PNG")
    code, _, err = kennel("report", "1", "--plot", "nothing")
    assert code == 2
    assert "no tensor 'nothing' was saved" in err


def _kill_debugger(folder, patience_seconds=30.0):
    """SIGKILL to the debugger of a job below `folder`, once there is one."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"debugger" in words and any(os.fsencode(folder) in word for word in words):
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    return
        time.sleep(0.05)
