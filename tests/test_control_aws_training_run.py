"""`kennel run --on aws` from its first line to its outputs, against moto over HTTP."""

import io
import json
import tarfile

import pytest
from serving import picture
from training_jobs import (
    BUCKET,
    LINES,
    archive_of,
    failed,
    job_file,
    only_run,
    passing,
    put,
    run_json,
    same_name,
    stage,
    when_created,
    write_log,
)

from control.cli import main

RUN = ("--on", "aws", "--yes")


@pytest.fixture
def here(tmp_path, monkeypatch, aws_here):
    """The current folder of somebody with an account; runs/ appears in it."""
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    aws_here.forget()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_job_is_made_followed_and_fetched(aws_here, here, capsys):
    when_created(aws_here)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    shown = capsys.readouterr().out
    states = [line for line in shown.splitlines() if line.startswith("aws:     ")]
    assert states[1:6] == [
        "aws:     Starting after 0.0 s: Launching requested ML instances",
        "aws:     Downloading after 1 min 05 s: Downloading input data",
        "aws:     Training after 1 min 30 s: Training in progress",
        "aws:     Uploading after 5 min 00 s: Uploading generated training model",
        "aws:     Completed after 5 min 10 s: Training job completed",
    ]
    assert shown.startswith("cost:    1 x ml.m5.xlarge, training dogs: $0.230 an hour")
    assert shown.index(LINES[-1]) < shown.index("aws:     Downloading")  # as soon as they are there
    run = only_run(here)
    assert (run / "train.log").read_text().splitlines() == list(LINES)
    assert (run / "output" / "data" / "report.html").is_file()
    found = run_json(run)
    assert found["status"] == "Completed"
    assert found["seconds"] == 310
    assert found["metrics"] == {"validation:accuracy": 0.75}
    job = found["aws"]["job"]
    assert same_name(job) == "dogs-STAMP"
    assert found["aws"]["region"] == "us-east-1"
    assert f"#/jobs/{job}" in found["aws"]["console"]
    assert sorted(path.name for path in run.iterdir()) == [
        *("log-position.json", "model", "output", "run.json", "train.log"),
    ]


def test_the_fetched_model_answers_as_a_local_one(aws_here, here, capsys):
    when_created(aws_here)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    (here / "red.png").write_bytes(picture("red"))
    capsys.readouterr()
    assert main(["predict", "red.png", "--bundle", str(only_run(here))]) == 0
    assert "red" in capsys.readouterr().out.splitlines()[0]


def test_what_is_shown_is_what_is_sent(aws_here, here, capsys):
    words = ["run", str(job_file(here, "spot = true")), "--on", "aws"]
    assert main([*words, "--show"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert aws_here.seen == []
    when_created(aws_here)
    assert main([*words, "--yes"]) == 0
    (sent,) = aws_here.calls("CreateTrainingJob")
    assert same_name(json.dumps(sent)) == same_name(json.dumps(shown["parameters"]))


def test_short_names_become_this_accounts(aws_here, here, capsys):
    path = job_file(here)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(one for one in lines if not one.startswith(("image", "role"))))
    assert main(["run", str(path), "--on", "aws", "--show"]) == 0
    parameters = json.loads(capsys.readouterr().out)[0]["parameters"]
    image = parameters["AlgorithmSpecification"]["TrainingImage"]
    assert image == "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-train:latest"
    assert parameters["RoleArn"] == "arn:aws:iam::123456789012:role/kennel-training"


def test_nothing_is_made_when_nobody_agrees(aws_here, here, capsys):
    assert main(["run", str(job_file(here)), "--on", "aws"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert aws_here.calls("CreateTrainingJob") == []
    assert not (here / "runs").exists()


def test_a_spot_job_says_what_was_billed_and_what_was_saved(aws_here, here, capsys):
    when_created(aws_here)
    ended = stage("Completed", TrainingTimeInSeconds=245, BillableTimeInSeconds=74)
    passing(aws_here, ended)
    path = job_file(here, "spot = true\ninstance_count = 2")
    assert main(["run", str(path), *RUN]) == 0
    # 2 machines x 74 s at $0.23 an hour are $0.0095; 1 - 74 / 245 is 70 %.
    line = "billed:  74 s of 245 s x 2 ml.m5.xlarge, about $0.0095; spot saved 70%"
    assert line in capsys.readouterr().out
    bill = run_json(only_run(here))["aws"]["bill"]
    assert bill["usd"] == pytest.approx(2 * 0.23 * 74 / 3600, abs=1e-4)
    assert bill["saving"] == pytest.approx(1 - 74 / 245, abs=1e-4)


def test_a_failed_job_says_why_what_to_do_and_the_last_lines(aws_here, here, capsys):
    reason = "AlgorithmError: , exit code: 137"

    def act(asked):
        known = run_json(only_run(here))  # before AWS has answered, or it might be lost
        assert (known["status"], known["aws"]["job"]) == ("InProgress", asked["TrainingJobName"])
        write_log(aws_here, asked["TrainingJobName"], ["epoch 1", "Killed"])

    aws_here.after("CreateTrainingJob", act)
    passing(aws_here, failed(reason))
    assert main(["run", str(job_file(here)), *RUN]) == 1
    shown = capsys.readouterr().out
    assert f"reason:  {reason}; the machine ran out of memory" in shown
    assert "log:     Killed\n" in shown
    assert "fetched: nothing; there is no model.tar.gz" in shown
    found = run_json(only_run(here))
    assert (found["status"], found["failure_reason"].split(";")[0]) == ("Failed", reason)


def test_every_host_is_heard_by_name_and_in_time(aws_here, here):
    def act(asked):
        name = asked["TrainingJobName"]
        write_log(aws_here, name, ["first", "third"], host="algo-1", at=0)
        write_log(aws_here, name, ["second"], host="algo-2", at=0)
        write_log(aws_here, name + "0", ["a stranger's"])

    aws_here.after("CreateTrainingJob", act)
    passing(aws_here)
    assert main(["run", str(job_file(here, "instance_count = 2")), *RUN]) == 0
    said = (only_run(here) / "train.log").read_text().splitlines()
    assert said == ["algo-1 | first", "algo-2 | second", "algo-1 | third"]


def test_lines_that_come_while_it_trains_are_shown_once(aws_here, here, capsys):
    lines = iter(range(100))

    def speak(asked):
        number = next(lines)
        write_log(aws_here, asked["TrainingJobName"], [f"line {number}"], at=1000 * number)

    aws_here.after("DescribeTrainingJob", speak)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    said = (only_run(here) / "train.log").read_text().splitlines()
    assert said == [f"line {number}" for number in range(len(said))]
    assert len(said) >= 5
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line.startswith("line ")] == said


def test_json_is_one_document_and_people_read_stderr(aws_here, here, capsys):
    when_created(aws_here)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN, "-o", "json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["status"] == "Completed"
    assert found["metrics"] == {"validation:accuracy": 0.75}
    assert "aws:     Training after" in captured.err
    assert "cost:    " in captured.err


def test_a_refused_creation_is_a_failed_run_and_one_line(aws_here, here, capsys):
    message = (
        "User: arn:aws:iam::123456789012:user/me is not authorized to perform: "
        "sagemaker:CreateTrainingJob on resource: arn:aws:sagemaker:us-east-1:1:training-job/dogs"
    )
    aws_here.fail("CreateTrainingJob", "AccessDeniedException", message)
    assert main(["run", str(job_file(here)), *RUN]) == 1
    complaint = capsys.readouterr().err
    assert '"Sid": "RunTrainingJobs"' in complaint
    assert complaint.count("\n") == 1
    found = run_json(only_run(here))
    assert found["status"] == "Failed"
    assert "not authorized" in found["failure_reason"]


def test_a_hostile_archive_is_refused_and_writes_nothing(aws_here, here, capsys):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        member = tarfile.TarInfo("../../escaped.txt")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    when_created(aws_here, model=data.getvalue())
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 1
    complaint = capsys.readouterr().err
    assert "model.tar.gz cannot be unpacked, and nothing of it was" in complaint
    assert "leads out of the archive" in complaint
    assert list(here.rglob("escaped.txt")) == []
    run = only_run(here)
    assert not (run / "model").exists()
    assert run_json(run)["status"] == "Completed"  # the job itself
    assert not [path for path in run.iterdir() if path.name.startswith(".kennel-")]


def test_what_the_rules_found_stands_in_the_run(aws_here, here, capsys):
    def act(asked):
        report = {
            "name": "Overfit",  # its container does not know what the job calls it
            "rule": "Overfit",
            "status": "IssuesFound",
            "details": "it knows them by heart",
            "findings": [{"step": 7, "mode": "EVAL", "message": "too good to be true"}],
            "num_findings": 1,
        }
        place = f"out/{asked['TrainingJobName']}/rule-output"
        put(aws_here, f"{place}/too-good/Overfit/report.json", json.dumps(report).encode())
        put(aws_here, f"{place}/too-good/rules.json", b"{}")

    aws_here.after("CreateTrainingJob", act)
    evaluated = {"RuleConfigurationName": "too-good", "RuleEvaluationJobArn": "arn:aws:x"}
    under_way = [{**evaluated, "RuleEvaluationStatus": "InProgress"}]
    done = [{**evaluated, "RuleEvaluationStatus": "IssuesFound"}]
    passing(
        aws_here,
        stage("Completed", DebugRuleEvaluationStatuses=under_way),
        stage("Completed", DebugRuleEvaluationStatuses=done),
    )
    more = '[rules.too-good]\nrule = "Overfit"\nactions = ["fail"]\n'
    assert main(["run", str(job_file(here, more=more)), *RUN]) == 1
    shown = capsys.readouterr().out
    assert "rules:   1 are still being evaluated" in shown
    assert "reason:  rule too-good: too good to be true; the training itself completed" in shown
    run = only_run(here)
    (rule,) = run_json(run)["rules"]
    assert (rule["name"], rule["status"], rule["step"]) == ("too-good", "IssuesFound", 7)
    assert json.loads((run / "rule-output/too-good/report.json").read_text())["name"] == "too-good"


def test_a_job_of_somebody_elses_is_adopted_by_its_name(aws_here, here, capsys, monkeypatch):
    when_created(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    job = run_json(only_run(here))["aws"]["job"]
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    capsys.readouterr()
    assert main(["run", "--attach", job]) == 0
    run = only_run(elsewhere)
    assert (run / "model" / "bundle.json").is_file()
    assert run_json(run)["hyperparameters"] == {"epochs": "2"}
    assert main(["run", "--attach", "dogs-19991231-235959"]) == 2
    assert "no training job in us-east-1" in capsys.readouterr().err


def test_outputs_can_be_fetched_again_after_a_refusal(aws_here, here, capsys):
    when_created(aws_here)
    aws_here.fail("ListObjectsV2", "AccessDenied", "Access Denied", status=403)
    assert main(["run", str(job_file(here)), *RUN]) == 1
    complaint = capsys.readouterr().err
    assert "`kennel run --attach runs/0001-dogs`" in complaint
    assert main(["run", "--attach", "1"]) == 0
    assert (only_run(here) / "model" / "bundle.json").is_file()


def test_an_archive_of_another_layout_is_unpacked_as_it_is(aws_here, here):
    when_created(aws_here, model=archive_of({"a/b.txt": b"text"}))
    assert main(["run", str(job_file(here)), *RUN]) == 0
    assert (only_run(here) / "model" / "a" / "b.txt").read_bytes() == b"text"
