"""Names in AWS: two of ours stay two, what is gone is known, what is taken is looked at."""

import copy
import re

import pytest
from aws_front import Aws, Refusal
from aws_words import model_of
from training_jobs import BUCKET, job_file, only_run, passing, run_json, when_created

from control.aws.account import is_missing
from control.aws.expiry import schedule_name
from control.aws.names import LONGEST, alarm_of, shortened, stamped
from control.aws_client import AwsError
from control.cli import main

RUN = ("--on", "aws", "--yes")


@pytest.fixture
def real(moto_url):
    """The account behind the front: what is made here is not seen on its way."""
    return Aws(url=moto_url, environment={}).client("sagemaker")


@pytest.fixture
def here(tmp_path, monkeypatch, aws_here):
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    aws_here.forget()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_alarms_of_two_endpoints_are_two():
    """`dogs` with a variant `a-b`, and `dogs-a` with one called `b`."""
    names = ["dogs", "dogs-a", "dogs-a-b", "a", "b", "a-b", "dogs-5xx"]
    made = [
        alarm_of(endpoint, variant, what)
        for endpoint in names
        for variant in names
        for what in ("5xx", "latency", "waking")
    ]
    assert len(set(made)) == len(made)
    assert all(name.startswith("kennel-") for name in made)


def test_schedules_of_long_names_that_begin_alike_are_two():
    pattern = model_of("scheduler").operation_model("CreateSchedule").input_shape.members["Name"]
    names = [f"{'d' * 60}-{number}" for number in range(9)]
    made = [schedule_name("function", name) for name in names]
    assert len(set(made)) == len(made)
    for name in made:
        assert len(name) <= pattern.metadata["max"]
        assert re.fullmatch(pattern.metadata["pattern"], name)
    assert schedule_name("endpoint", "dogs") == "kennel-endpoint-dogs"


def test_a_short_name_stays_and_stamped_ones_fit():
    assert shortened("dogs", 4) == "dogs"
    assert len(stamped("d" * 80)) == LONGEST


def test_an_instance_that_was_terminated_long_ago_counts_as_gone():
    words = "The instance ID 'i-0123456789abcdef0' does not exist"
    assert is_missing(AwsError(words, "InvalidInstanceID.NotFound"))


def taking(aws, real, change):
    """The first CreateTrainingJob is done, but for `change`; the caller hears that it is taken."""
    when_created(aws)

    def taken(request):
        made = copy.deepcopy(request)
        change(made)
        real.create_training_job(**made)
        raise Refusal("ResourceInUse", "Job name must be unique within an AWS account and region")

    aws.answer("CreateTrainingJob", taken)


def test_a_job_whose_answer_was_lost_is_followed(aws_here, real, here, capsys):
    taking(aws_here, real, lambda request: None)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 0
    assert run_json(only_run(here))["status"] == "Completed"


def other_channel(request):
    source = request["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    source["S3Uri"] = f"s3://{BUCKET}/cats/"


def other_machine(request):
    request["ResourceConfig"]["InstanceType"] = "ml.c5.xlarge"


def other_output(request):
    request["OutputDataConfig"]["S3OutputPath"] = f"s3://{BUCKET}/elsewhere"


@pytest.mark.parametrize("change", [other_channel, other_machine, other_output])
def test_another_job_of_the_same_second_is_not_taken_for_ours(aws_here, real, here, capsys, change):
    taking(aws_here, real, change)
    passing(aws_here)
    assert main(["run", str(job_file(here)), *RUN]) == 1
    assert "ResourceInUse" in capsys.readouterr().err
    assert run_json(only_run(here))["status"] == "Failed"


def test_a_job_of_which_nobody_knows_is_not_called_failed(aws_here, here, capsys):
    aws_here.fail("CreateTrainingJob", "InternalFailure", "later", status=500, times=8)
    assert main(["run", str(job_file(here)), *RUN]) == 1
    assert (
        "it may have been made all the same: `kennel run --attach runs/" in capsys.readouterr().err
    )
    assert run_json(only_run(here))["status"] == "InProgress"
