"""--show of what only looks: the requests that no answer decides, and nothing is sent."""

import json
from collections import Counter

import pytest
from aws_examined import DOCKER, answer_image, answer_quotas, endpoint_file, job_file
from aws_world import no_provisioned
from lambda_account import typed
from plans import validate
from serving import colour_bundle


def shown(aws, *words):
    """The operations that --show prints; nobody is asked, and no credentials are needed."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.environment.pop(name, None)
    done = aws.kennel(*words, "--show")
    assert done.returncode == 0, done.stderr
    assert aws.seen == []
    calls = json.loads(done.stdout)
    for one in calls:
        text = json.dumps(one["parameters"]).replace("ACCOUNT", "123456789012")
        validate(one["service"], one["operation"], json.loads(text))
    return [one["operation"] for one in calls]


def sent(aws, *words):
    aws.forget()
    typed(*words)
    return [one.operation for one in aws.seen if one.operation]


def test_every_listing_of_list_cost_is_shown_and_sent(aws_here):
    no_provisioned(aws_here)
    told = shown(aws_here, "list", "--cost")
    assert told[0] == "GetCallerIdentity"
    assert Counter(told) == Counter(sent(aws_here, "list", "--cost"))


@pytest.mark.parametrize("file_of", ["job", "endpoint"])
def test_what_doctor_asks_first_is_shown_and_sent(aws_here, tmp_path, file_of):
    answer_quotas(aws_here)
    answer_image(aws_here, DOCKER)
    if file_of == "job":
        file = job_file(tmp_path, more='[ec2]\ninstance_type = "m5.xlarge"\n')
    else:
        file = endpoint_file(tmp_path, colour_bundle())
        file.write_text(file.read_text().replace("ttl_hours = 0", ""))
    told = shown(aws_here, "doctor", file)
    assert {"GetCallerIdentity", "GetRole", "ListServiceQuotas", "BatchGetImage"} <= set(told)
    assert ("ListRolePolicies" in told) is (file_of == "endpoint")
    aws_here.client("s3").create_bucket(Bucket="pictures")
    assert Counter(told) <= Counter(sent(aws_here, "doctor", file))


def test_doctor_without_a_file_or_with_one_that_runs_here(aws_here, tmp_path):
    assert shown(aws_here, "doctor") == ["GetCallerIdentity"]
    file = tmp_path / "digits.toml"
    file.write_text("[hyperparameters]\nepochs = 1\n")
    assert shown(aws_here, "doctor", file) == []


def test_show_of_runs_here_is_refused():
    done = typed("list", "--show")
    assert (done.returncode, "only `kennel list --cost` asks AWS" in done.stderr) == (2, True)
