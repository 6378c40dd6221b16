"""Rules over tensors and over the profile of one job, by one command; its two reports."""

import json

import numpy as np
import pytest
from profile_rules import samples
from profiles import Scene
from tensor_runs import write_steps

from contract.rule_result import RuleResult
from contract.rules import Action, RuleSpec
from debugger.ledger import Ledger
from debugger.main import main
from debugger.profile_watch import ProfileWatch

SCENE = Scene(hosts=1, gpus=1, cores=1, seconds=65, interval=1.0, steps_of_epoch=60)


@pytest.fixture
def job(tmp_path):
    """A job's folder with saved tensors and a profile."""
    folder = tmp_path / "job"
    small = np.full(4, 1e-9, np.float32)
    write_steps(
        folder / "output/tensors",
        [("TRAIN", step, {"gradient/fc": small}) for step in range(2)],
        collections={"gradients": ["^gradient"]},
    )
    SCENE.write(folder / "output/profiler")
    return folder


def test_both_kinds_of_rules_end_in_one_list_and_files_lie_where_aws_has_them(job, capsys):
    words = ["--rule", "ProfilerReport", "--rule", "VanishingGradient", "--rule", "StepOutlier"]
    assert main(["rules", str(job), *words]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["result"]["name"] for one in events} == set(words[1::2])
    rows = json.loads((job / "rule-output/rules.json").read_text())["rules"]
    assert [one["RuleConfigurationName"] for one in rows] == words[1::2]  # as they were given
    assert all(one["LastModifiedTime"] for one in rows)
    output = job / "rule-output/ProfilerReport/profiler-output"
    assert (output / "profiler-report.html").stat().st_size > 10_000
    assert len(list((output / "profiler-reports").glob("*.json"))) == 11
    single = job / "rule-output/StepOutlier"
    assert (single / "profiler-output/profiler-reports/StepOutlier.json").is_file()
    assert RuleResult.from_json(json.loads((single / "report.json").read_text())).rule


def test_a_later_look_keeps_what_an_earlier_one_found(tmp_path, capsys):
    write_steps(tmp_path, [("TRAIN", 0, {"loss": 1.0})])
    for rule in ("ExplodingTensor", "AllZero:tensor_regex=loss", "ExplodingTensor"):
        assert main(["rules", str(tmp_path), "--rule", rule]) == 0
    rows = json.loads((tmp_path / "rule-output/rules.json").read_text())["rules"]
    assert [one["RuleConfigurationName"] for one in rows] == ["AllZero", "ExplodingTensor"]
    capsys.readouterr()


def test_a_job_without_a_profile_is_an_error_of_those_rules_alone(tmp_path, capsys):
    write_steps(tmp_path, [("TRAIN", 0, {"loss": 1.0})])
    words = ["--rule", "LowGPUUtilization", "--rule", "ExplodingTensor"]
    assert main(["rules", str(tmp_path), *words]) == 3
    results = [json.loads(line)["result"] for line in capsys.readouterr().out.splitlines()]
    by_name = {one["name"]: one for one in results}
    assert by_name["ExplodingTensor"]["status"] == "NoIssuesFound"
    assert "add [profiler] to the job description" in by_name["LowGPUUtilization"]["details"]


def test_while_a_job_runs_its_profile_is_judged_once_a_minute_when_there_is_more(tmp_path):
    now = [0.0]
    spec = RuleSpec(name="MaxInitializationTime", rule="MaxInitializationTime")
    watch = ProfileWatch(tmp_path, [spec], tmp_path / "out", clock=lambda: now[0])
    assert watch.has_ended() is None
    SCENE.write(tmp_path / "output/profiler")
    (tmp_path / "output/profiler/training_job_end.ts").unlink(missing_ok=True)
    watch.poll()
    assert not (tmp_path / "out").exists()
    now[0] += 60
    watch.poll()
    report = next((tmp_path / "out").rglob("MaxInitializationTime.json"))
    assert (watch.has_ended(), watch.results[0].status) == (False, "InProgress")
    report.unlink()
    now[0] += 60
    watch.poll()  # nothing new
    assert not report.exists()
    watch.finish()
    assert report.exists()
    assert watch.results[0].status == "NoIssuesFound"


@pytest.mark.parametrize(
    ("rule", "then"),
    [("LowGPUUtilization", 95.0), ("LowGPUUtilization", 0.0), ("ProfilerReport", 0.0)],
)
def test_what_a_profile_looks_like_meanwhile_is_no_finding_and_nothing_acts_on_it(
    tmp_path, rule, then
):
    """A GPU that is idle for the first minute, and busy (or not) for an hour."""
    now, profiler = [0.0], tmp_path / "output/profiler"
    fails = RuleSpec(name="mine", rule=rule, actions=(Action(name="fail"),))
    watch = ProfileWatch(tmp_path, [fails], tmp_path / "out", clock=lambda: now[0])
    events = []
    ledger = Ledger(tmp_path / "out", [fails], events.append)
    for minutes in (1, 60):
        samples(profiler, [0.0] * 120 + [then] * 120 * (minutes - 1), [20.0] * 120 * minutes)
        now[0] += 60
        watch.poll()
        ledger.tell(watch.results[0])
    (report,) = (tmp_path / "out").rglob("LowGPUUtilization.json")
    assert "gpu0" in report.read_text()  # it was looked at
    assert (watch.results[0].status, events) == ("InProgress", [])
    watch.finish()
    ledger.tell(watch.results[0], is_final=True)
    fired = ["result", "action"] if then == 0.0 else ["result"]
    assert [one["event"] for one in events] == fired


def test_the_profile_and_the_page_of_a_job_are_one_command_each(job, tmp_path, capsys):
    assert main(["profile", str(job), "--out", str(tmp_path / "out")]) in (0, 1)
    assert capsys.readouterr().out.strip()
    assert (tmp_path / "out/profiler-output/profiler-report.html").is_file()
    assert main(["report", str(job), "--out", str(tmp_path / "page.html")]) == 0
    assert "gradient/fc" in (tmp_path / "page.html").read_text()
    assert main(["profile", str(tmp_path / "out"), "--out", str(tmp_path)]) == 2
    assert "add [profiler]" in capsys.readouterr().err
