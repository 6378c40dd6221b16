"""How a training job's end is told: bills, reasons, remedies."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.job import JobResult
from contract.rule_result import Finding, RuleResult
from control.aws.job.ending import bill_line, bill_of, final_metrics, reason_of, status_of
from control.run_text import result_text
from control.runs import Run, write_run

BEGAN = datetime(2026, 11, 28, tzinfo=UTC)
ENDED = JobResult(
    name="dogs",
    status="Completed",
    folder=Path("run"),
    model_dir=Path("model"),
    metrics={},
    seconds=1.0,
)


def described(status="Completed", secondary="", **more):
    return {
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary or status,
        "CreationTime": BEGAN,
        "TrainingEndTime": BEGAN + timedelta(seconds=95),
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2},
        **more,
    }


def fired(action):
    """A description whose rule acts so, and what the rule found."""
    rule = {
        "RuleConfigurationName": "Overfit",
        "RuleEvaluatorImage": "x",
        "RuleParameters": {
            "rule_to_invoke": "Overfit",
            "action_json": f'[{{"name": "{action}"}}]',
        },
    }
    finding = Finding(step=3, message="it fell apart")
    result = RuleResult(
        name="Overfit", rule="Overfit", status="IssuesFound", findings=(finding,), num_findings=1
    )
    return {"DebugRuleConfigurations": [rule]}, (result,)


def test_machines_are_billed_by_the_second_each():
    bill = bill_of(described(BillableTimeInSeconds=1800, TrainingTimeInSeconds=1800))
    assert bill.usd == pytest.approx(0.23)  # two of them at $0.23 an hour, for half an hour
    assert bill.saving is None
    line = bill_line(bill.to_json())
    assert line == "billed:  1800 s of 1800 s x 2 ml.m5.xlarge, about $0.2300"


def test_a_bill_without_figures_invents_none():
    assert bill_line(bill_of(described()).to_json()) == "billed:  AWS has not said yet"
    odd = described(BillableTimeInSeconds=10)
    odd["ResourceConfig"] = {"InstanceType": "ml.new.large", "InstanceCount": 1}
    assert bill_line(bill_of(odd).to_json()).endswith("ml.new.large, at no known price")


def test_the_saving_of_spot_is_what_aws_documents():
    found = described(
        EnableManagedSpotTraining=True, BillableTimeInSeconds=30, TrainingTimeInSeconds=100
    )
    assert bill_of(found).saving == pytest.approx(0.7)
    assert bill_line(bill_of(found).to_json()).endswith("spot saved 70%")


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("AlgorithmError: , exit code: 137", "the machine ran out of memory"),
        (
            "CapacityError: Unable to provision requested ML compute capacity",
            "none of these machines",
        ),
        ("ClientError: No S3 objects found under S3 URL s3://b/t", "a channel is empty"),
        ("ClientError: Data download failed: AccessDenied (403)", "`kennel iam show`"),
        ("ClientError: Cannot pull image: does not exist", "./build_and_push.sh"),
        ("InternalServerError: We encountered an internal error", "type it again"),
        ("AlgorithmError: no pictures in channel 'train', exit code: 2", ""),
    ],
)
def test_a_failure_comes_with_what_to_do(reason, remedy):
    told = reason_of(described("Failed", FailureReason=reason), ())
    assert told.startswith(reason)
    assert remedy in told
    assert bool(remedy) is ("; " in told)


@pytest.mark.parametrize(
    ("secondary", "says"),
    [
        ("MaxRuntimeExceeded", "max_run_seconds is over"),
        ("MaxWaitTimeExceeded", "longer than max_wait_seconds"),
        ("Stopped", "stopped after 1 min 35 s; what was saved is kept"),
    ],
)
def test_a_stopped_job_says_by_what(secondary, says):
    assert says in reason_of(described("Stopped", secondary), ())


def test_a_rule_that_stops_or_fails_a_job_is_named():
    more, results = fired("stoptraining")
    told = reason_of(described("Stopped", **more), results)
    assert told == "stopped by rule Overfit: it fell apart"
    more, results = fired("fail")
    assert status_of(described(**more), results) == "Failed"
    assert reason_of(described(**more), results).startswith("rule Overfit: it fell apart")
    assert status_of(described(**more), ()) == "Completed"
    assert reason_of(described(**more), ()) is None


def test_only_metrics_of_our_table_are_taken_from_aws():
    listed = [
        {"MetricName": "validation:accuracy", "Value": 0.5, "Timestamp": BEGAN},
        {"MetricName": "train:progress", "Value": 100.0, "Timestamp": BEGAN},
    ]
    assert final_metrics(described(FinalMetricDataList=listed)) == {"validation:accuracy": 0.5}


@pytest.mark.parametrize(
    ("aws", "has_log", "following"),
    [
        ({}, True, ["less {}/train.log", "kennel doctor"]),
        ({}, False, ["kennel doctor"]),
        ({"job": "dogs-1"}, True, ["less {}/train.log", "kennel doctor jobs/dogs.toml"]),
        ({"job": "dogs-1"}, False, ["kennel run --attach {}", "kennel doctor jobs/dogs.toml"]),
    ],
)
def test_a_job_that_failed_ends_with_what_to_do_next(tmp_path, aws, has_log, following):
    write_run(Run(name="dogs", folder=tmp_path, status="Failed", aws=aws))
    if has_log:
        (tmp_path / "train.log").touch()
    failed = replace(ENDED, status="Failed", folder=tmp_path, failure_reason="no pictures")
    lines = result_text(failed, job=Path("jobs/dogs.toml")).splitlines()
    assert lines[-len(following)].startswith("next:    ")
    told = [line.removeprefix("next:").strip() for line in lines[-len(following) :]]
    assert told == [line.format(tmp_path) for line in following]


@pytest.mark.parametrize(("has_model", "is_served"), [(False, False), (True, True)])
def test_what_left_no_bundle_is_not_said_to_be_served(tmp_path, has_model, is_served):
    write_run(Run(name="dogs", folder=tmp_path, status="Completed"))
    if has_model:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "bundle.json").touch()
    result = replace(ENDED, folder=tmp_path, model_dir=tmp_path / "model")
    assert ("kennel serve" in result_text(result)) is is_served
