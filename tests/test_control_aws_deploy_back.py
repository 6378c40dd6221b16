"""Going back needs nothing but the endpoint; what a command names next does what it says."""

import shlex
import shutil

import pytest
from endpoints import Updates, fixed_bundle, put_bucket, typed, write_deployment

SCALING = "[scaling]\nmin = 1\nmax = 3\ninvocations_per_instance = 100"
BIGGER = ("--instance-type", "ml.m5.4xlarge")


def next_of(done, word):
    """The command in the last lines that has this word in it."""
    (line,) = [line for line in done.stdout.splitlines() if word in line and "kennel" in line]
    return shlex.split(line.partition("kennel ")[2])


@pytest.fixture
def two(aws_here, tmp_path):
    """An endpoint under another name that has been updated; the account, the last command."""
    put_bucket(aws_here)
    Updates(aws_here)
    path = write_deployment(tmp_path, SCALING)
    for flags in ((), BIGGER):
        done = typed("deploy", path, "--name", "cats", "--yes", *flags)
        assert done.returncode == 0, done.stderr
    return aws_here, done


def test_the_way_back_that_is_printed_goes_back_without_bundle_and_image(two, tmp_path):
    aws, done = two
    shutil.rmtree(tmp_path / "bundle")
    aws.forget()
    back = typed(*next_of(done, "--roll-back"), "--yes")
    assert back.returncode == 0, back.stderr
    assert "endpoint cats answers with the configuration before" in back.stdout
    (sent,) = aws.calls("UpdateEndpoint")
    assert sent["EndpointName"] == "cats"
    assert aws.calls("DescribeImages") == []


def test_going_back_says_what_the_machines_before_cost_and_asks(two, tmp_path):
    aws, done = two
    words = next_of(done, "--roll-back")
    refused = typed(*words)
    assert refused.returncode == 2
    assert "cost:    1 x ml.m5.large, endpoint cats, variant main: $0.115 an hour" in refused.stdout
    assert "at most 4 h 00 min" in refused.stdout or "at most 3 h 59 min" in refused.stdout
    assert aws.calls("UpdateEndpoint")[1:] == []


def test_other_machines_are_gone_back_to_without_scaling_and_that_is_said(two):
    aws, done = two
    aws.forget()
    back = typed(*next_of(done, "--roll-back"), "--yes")
    assert back.returncode == 0, back.stderr
    operations = [one.operation for one in aws.seen]
    assert operations.index("DeregisterScalableTarget") < operations.index("UpdateEndpoint")
    assert "scaling was taken off: `kennel scale apply" in back.stdout


def test_what_looks_again_is_the_same_command_and_not_that_of_the_file(aws_here, tmp_path):
    put_bucket(aws_here)
    fixed_bundle(tmp_path / "other", b"other")
    path = write_deployment(tmp_path)
    aws_here.fail("CreateEndpoint", "InternalFailure", "busy", status=500, times=8)
    flags = ["--name", "cats", "--bundle", str(tmp_path / "other")]
    rest = ["--ttl-hours", "8"]
    done = typed("deploy", path, "--yes", *flags, "--instances", "2", *rest)
    assert done.returncode == 1
    again = ["kennel", "deploy", str(path), *flags, "--instance-count", "2", *rest]
    assert shlex.join(again) in done.stderr


def test_another_end_alone_is_not_called_no_change(aws_here, tmp_path):
    put_bucket(aws_here)
    path = write_deployment(tmp_path)
    assert typed("deploy", path, "--yes").returncode == 0
    moved = typed("deploy", path, "--yes", "--ttl-hours", "0")
    assert "endpoint dogs is as the file says; its end alone was moved" in moved.stdout
    assert "expires: never" in moved.stdout
    same = typed("deploy", path, "--yes", "--ttl-hours", "0")
    assert "nothing was changed" in same.stdout


def test_the_worst_case_of_a_serverless_endpoint_is_not_nothing(aws_here, tmp_path):
    put_bucket(aws_here)
    more = "[serverless]\nmemory_mb = 2048\nmax_concurrency = 10"
    done = typed("deploy", write_deployment(tmp_path, more, top='kind = "serverless"'))
    assert done.returncode == 2
    # 2 GB x $0.00002 x 3600 s x 10 at a time; four hours of it
    assert "10 at a time, endpoint dogs: $1.440 an hour" in done.stdout
    assert "at most 4 h 00 min, at most $5.76" in done.stdout
    assert "nothing while nobody asks" in done.stdout
