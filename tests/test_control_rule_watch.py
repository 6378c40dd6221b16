"""Rules beside a job: what the debugger says reaches the job, and nothing of it costs the job."""

import dataclasses
import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from runners import process_runner, spec_for

from contract.opt_ml import OptMl
from contract.rule_result import Finding, RuleResult
from contract.rules import RuleSpec
from control.debug_spec import DebugSpec
from control.runs import read_run

# A debugger that says what a test wants; it gets the words of `rules FOLDER --config ...`.
SAYING = """
import json, os, signal, sys, time
folder, follows = sys.argv[2], "--follow" in sys.argv
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)
def wait():
    while not ended:
        time.sleep(0.02)
"""
PATIENT_JOB = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("test:accuracy=0.25;", flush=True), sys.exit(0)))
print("started", flush=True)
time.sleep(60)
"""
RULE = RuleSpec(name="Vanishing", rule="VanishingGradient")
FIRED = RuleResult(
    name="Vanishing",
    rule="VanishingGradient",
    status="IssuesFound",
    findings=(Finding(step=40, mode="TRAIN", message="the gradient is gone"),),
    num_findings=1,
)
FINDING = "rule Vanishing at step 40 of TRAIN: the gradient is gone"
FINE = RuleResult(name="Vanishing", rule="VanishingGradient", status="NoIssuesFound", datapoints=7)


@pytest.fixture
def run(tmp_path):
    """Run a job's script with a debugger's script beside it; returns (result, what was shown)."""

    def start(job, debugger, rules=(RULE,), **changes):
        spec = dataclasses.replace(spec_for(tmp_path), debug=DebugSpec(rules=rules))
        shown = io.StringIO()
        runner = dataclasses.replace(
            process_runner(tmp_path),
            command=(sys.executable, "-c", job),
            debugger=(sys.executable, "-c", SAYING + debugger),
            echo=shown,
            **changes,
        )
        return runner.run(spec), shown.getvalue()

    return start


def says(result):
    """A debugger's words for a result."""
    return f"say('result', result={result.to_json()!r})\n"


def acts(action):
    return f"say('action', action={action!r}, rule='Vanishing', reason='as seen')\n"


def test_a_finding_is_a_line_of_the_job_and_the_summary_is_in_its_record(run):
    result, shown = run("import time; time.sleep(0.5)", says(FIRED) + "wait()\n" + says(FIRED))
    assert (result.status, result.failure_reason) == ("Completed", None)
    line = "rule Vanishing: IssuesFound at step 40 of TRAIN: the gradient is gone"
    assert shown.splitlines().count(line) == 1
    assert line in (result.folder / "train.log").read_text().splitlines()
    assert read_run(result.folder).rules == [
        {
            "name": "Vanishing",
            "rule": "VanishingGradient",
            "status": "IssuesFound",
            "step": 40,
            "mode": "TRAIN",
            "num_findings": 1,
            "summary": "the gradient is gone",
        }
    ]


def test_stop_asks_the_job_to_end_and_names_the_rule(run):
    result, _ = run(PATIENT_JOB, "time.sleep(0.5)\n" + says(FIRED) + acts("stop") + "wait()\n")
    assert result.status == "Stopped"
    assert result.failure_reason == (
        "stopped by rule Vanishing at step 40 of TRAIN: the gradient is gone"
    )
    assert result.metrics == {"test:accuracy": 0.25}, "it ended politely"


def test_fail_lets_the_job_run_on_and_counts_it_as_failed(run):
    result, _ = run("import time; time.sleep(0.5)", says(FIRED) + acts("fail") + "wait()\n")
    assert result.status == read_run(result.folder).status == "Failed"
    assert result.failure_reason.startswith(
        "rule Vanishing at step 40 of TRAIN: the gradient is gone"
    )
    assert "the training itself completed" in result.failure_reason


def test_what_the_debugger_finds_after_the_end_counts_too(run):
    result, _ = run("import time; time.sleep(0.3)", "wait()\n" + says(FIRED) + acts("fail"))
    assert result.status == "Failed"


def test_a_debugger_that_is_killed_costs_the_job_nothing_but_a_line(run):
    killed = "os.kill(os.getpid(), signal.SIGKILL)"
    result, shown = run("import time; time.sleep(0.6); print('done')", killed)
    assert result.status == "Completed"
    lines = shown.splitlines()
    (said,) = [line for line in lines if "rules are no longer evaluated" in line]
    assert "ended by SIGKILL" in said
    assert f"kennel debug rules {result.folder}" in said
    assert lines.index(said) < lines.index("done")
    assert read_run(result.folder).rules[0]["status"] == "Stopped"


@pytest.mark.parametrize("code", [1, 2])  # 1: an error that nobody caught
def test_a_debugger_that_refuses_is_quoted(run, code):
    refuses = "print('warning', file=sys.stderr)\nprint('no such rule', file=sys.stderr)\n"
    result, shown = run(
        "import time; time.sleep(0.6); print('done')", refuses + f"sys.exit({code})"
    )
    assert result.status == "Completed"
    said = f"no such rule; afterwards: kennel debug rules {result.folder}"
    lines = shown.splitlines()
    assert lines.count(f"rules are no longer evaluated: {said}") == 1
    assert "done" not in lines[: lines.index(f"rules are no longer evaluated: {said}")]


def test_a_job_that_is_over_before_the_debugger_is_awake_is_read_afterwards(run):
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
    script = f"{deaf}time.sleep(60 if follows else 0)\n" + says(FINE)
    result, _ = run("pass", script)
    assert read_run(result.folder).rules[0]["status"] == "NoIssuesFound"
    assert read_run(result.folder).rules[0]["summary"] == "fine in 7 looks"


def test_a_finding_that_is_taken_back_is_a_line_too(run):
    _, shown = run("import time; time.sleep(0.5)", says(FIRED) + "wait()\n" + says(FINE))
    lines = [line for line in shown.splitlines() if line.startswith("rule Vanishing: ")]
    assert [line.split()[2].rstrip(":") for line in lines] == ["IssuesFound", "NoIssuesFound"]


def test_words_that_are_no_events_are_left_out(run):
    noise = "print('hello')\nprint('[1]')\nprint('{}')\nsay('result', result={'x': 1})\n"
    result, shown = run("import time; time.sleep(0.3)", noise + "wait()\n" + says(FINE))
    assert read_run(result.folder).rules[0]["status"] == "NoIssuesFound"
    assert "hello" not in shown


def test_ctrl_c_ends_the_job_and_a_second_one_the_evaluation(run):
    timer = threading.Timer(1.0, _interrupt)
    timer.start()
    result, shown = run(PATIENT_JOB, says(FIRED) + "time.sleep(60)\ntime.sleep(60)\n")
    timer.join()
    assert result.status == "Stopped"
    assert result.failure_reason.startswith("stopped by a signal")
    assert "is given up" in shown
    assert read_run(result.folder).rules[0]["status"] == "IssuesFound"


def test_nothing_of_the_debugger_is_left(run):
    stubborn = "import subprocess\nchild = subprocess.Popen([sys.executable, '-c', "
    stubborn += "'import time; time.sleep(60)'])\nopen(folder + '/pids', 'w').write("
    stubborn += "f'{os.getpid()} {child.pid}')\nwait()\nsys.exit(0)"
    result, _ = run("import time; time.sleep(0.6)", stubborn)
    for pid in map(int, (result.folder / "pids").read_text().split()):
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_the_end_of_the_job_is_marked_for_readers(run):
    job = 'import os; os.makedirs(os.environ["SAGEMAKER_BASE_DIR"] + "/output/tensors")'
    result, _ = run(job, "", rules=())
    paths = OptMl(result.folder)
    assert (paths.tensors_dir / "training_job_end.ts").is_file()
    assert not paths.profiler_dir.exists()
    assert not (result.folder / "rules.log").exists()


def test_the_debugger_is_told_the_rules_as_the_contract_writes_them(run):
    script = "print(open(sys.argv[sys.argv.index('--config') + 1]).read(), file=sys.stderr)\nwait()"
    result, _ = run("import time; time.sleep(0.4)", script)
    told = json.loads((result.folder / "rules.log").read_text())
    assert [RuleSpec.from_json(one) for one in told["rules"]] == [RULE]


def _interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1.5)
    os.kill(os.getpid(), signal.SIGINT)
