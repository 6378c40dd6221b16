"""kennel iam create for one file after another: what a role may do for the first, stays."""

import json
from datetime import UTC, datetime

import pytest
from access import endpoint
from aws_front import ACCOUNT
from lambda_account import changes, done

from control.aws.access.difference import difference
from control.aws.access.merging import covers, merged
from control.aws.account import Account
from control.aws.expiry import expiry_call

CREATE = ("iam", "create")
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/"


def policy_of(aws, name):
    return aws.client("iam").get_role_policy(RoleName=name, PolicyName="kennel")["PolicyDocument"]


def deleted_by_schedule(aws):
    """The endpoints that kennel-expiry may delete."""
    stated = policy_of(aws, "kennel-expiry")["Statement"]
    (one,) = (one for one in stated if "sagemaker:DeleteEndpoint" in one["Action"])
    return [arn.removeprefix(ARN) for arn in one["Resource"]]


def statement(action="s3:GetObject", resource="arn:aws:s3:::a/*", **more):
    found = {"Sid": "One", "Effect": "Allow", "Action": [action], "Resource": [resource]}
    return {**found, **more}


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def test_a_second_file_takes_nothing_from_the_first(aws_here, tmp_path):
    dogs, cats = endpoint(tmp_path, "dogs"), endpoint(tmp_path, "cats")
    done(aws_here, *CREATE, dogs)
    told = done(aws_here, *CREATE, cats, "--yes").stdout
    assert deleted_by_schedule(aws_here) == ["dogs", "cats"]
    assert (
        f'+ {{"Action": ["sagemaker:DeleteEndpoint"], "Effect": "Allow", "Resource": ["{ARN}cats"]'
        in told
    )
    assert "         - {" not in told
    assert "kennel-expiry: updated, and stays allowed what other files needed" in told
    names = [one["Sid"] for one in policy_of(aws_here, "kennel-endpoint")["Statement"]]
    assert len(names) == len(set(names))
    for one in (dogs, cats):
        assert done(aws_here, *CREATE, one).stdout.count("unchanged") == 3
        assert changes(aws_here) == []


def test_with_exact_what_no_file_names_goes_and_is_shown(aws_here, tmp_path):
    dogs, cats = endpoint(tmp_path, "dogs"), endpoint(tmp_path, "cats")
    done(aws_here, *CREATE, dogs, cats)
    told = done(aws_here, *CREATE, cats, "--exact", "--only", "expiry", "--yes").stdout
    assert deleted_by_schedule(aws_here) == ["cats"]
    assert (
        f'- {{"Action": ["sagemaker:DeleteEndpoint"], "Effect": "Allow", "Resource": ["{ARN}dogs"]'
        in told
    )
    assert "warning: " in told


def test_with_exact_no_schedule_loses_the_right_to_delete(aws_here, tmp_path):
    dogs, cats = endpoint(tmp_path, "dogs"), endpoint(tmp_path, "cats")
    done(aws_here, *CREATE, dogs, cats)
    role = f"arn:aws:iam::{ACCOUNT}:role/kennel-expiry"
    for kind, alarms in (("endpoint", ()), ("alarms", ("kennel-dogs-5xx.main",))):
        Account().send(expiry_call(kind, "dogs", datetime(2030, 1, 2, tzinfo=UTC), role, alarms))
    told = done(aws_here, *CREATE, cats, "--exact", "--yes", code=2)
    assert "kennel-endpoint-dogs (dogs)" in told.stderr
    assert "kennel-alarms-dogs (kennel-dogs-5xx.main)" in told.stderr
    assert "name the files of those, too, or leave --exact out" in told.stderr
    assert deleted_by_schedule(aws_here) == ["dogs", "cats"]
    assert changes(aws_here) == []
    done(aws_here, *CREATE, dogs, "--exact", "--yes")
    assert deleted_by_schedule(aws_here) == ["dogs"]


def test_with_exact_and_no_right_to_see_schedules_that_is_said(aws_here, tmp_path):
    dogs, cats = endpoint(tmp_path, "dogs"), endpoint(tmp_path, "cats")
    done(aws_here, *CREATE, dogs, cats)
    aws_here.fail("ListSchedules", "AccessDeniedException", "not authorized", status=403)
    told = done(aws_here, *CREATE, cats, "--exact", "--yes").stdout
    assert "warning: whether a scheduled deletion needs what is taken away cannot be told" in told
    assert deleted_by_schedule(aws_here) == ["cats"]


def test_a_role_that_would_become_too_long_takes_a_pattern_instead(aws_here, tmp_path):
    names = [f"dogs-of-the-northern-hemisphere-{number:02}" for number in range(30)]
    files = [endpoint(tmp_path, name) for name in names]
    for start in (0, 10):
        done(aws_here, *CREATE, *files[start : start + 10], "--only", "expiry", "--yes")
    refused = done(aws_here, *CREATE, *files[20:], "--only", "expiry", "--yes", code=2).stderr
    assert "IAM allows 10,240: " in refused
    assert "--prefix NAME" in refused
    assert "--exact" in refused
    assert deleted_by_schedule(aws_here) == names[:20]
    done(aws_here, *CREATE, "--prefix", "dogs", "--only", "expiry", "--yes")
    assert deleted_by_schedule(aws_here) == ["dogs*"]
    assert done(aws_here, *CREATE, *files[:9], "--only", "expiry").stdout.count("unchanged") == 1


def test_rights_without_files_say_that_they_are_for_all_names(aws_here, tmp_path):
    done(aws_here, *CREATE, endpoint(tmp_path, "dogs"))
    refused = done(aws_here, *CREATE, code=2)
    assert "names:   all of each kind; files, or --prefix NAME, make it less" in refused.stdout
    assert changes(aws_here) == []


@pytest.mark.parametrize(
    ("one", "other", "is_covered"),
    [
        (statement(), statement(), True),
        (statement(), statement(resource="arn:aws:s3:::a/b*"), True),
        (statement(resource="arn:aws:s3:::a/?"), statement(resource="arn:aws:s3:::a/*"), False),
        (statement(), statement(resource="arn:aws:s3:::ab/c"), False),
        (statement(), statement("s3:PutObject"), False),
        (statement("s3:*"), statement("s3:PutObject"), True),
        (statement(), statement(Effect="Deny"), False),
        (statement(), statement(Condition={"StringEquals": {"k": "v"}}), True),
        (statement(Condition={"StringEquals": {"k": "v"}}), statement(), False),
        (
            statement(Condition={"StringLike": {"k": ["v", "w"]}}),
            statement(Condition={"StringLike": {"k": "v"}}),
            True,
        ),
        (
            statement(Condition={"StringNotLike": {"k": ["v", "w"]}}),
            statement(Condition={"StringNotLike": {"k": "v"}}),
            False,
        ),
        ({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}, statement(), False),
    ],
)
def test_what_one_statement_allows_another_may_allow_too(one, other, is_covered):
    assert covers(one, other) is is_covered
    text = {**other, "Action": other["Action"][0]}
    assert covers(one, text) is is_covered


def test_merging_joins_the_same_actions_and_keeps_what_it_does_not_know():
    deny = statement(Effect="Deny", Sid="Never")
    theirs = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::x"}
    limited = statement(Condition={"StringEquals": {"k": "v"}}, resource="arn:aws:s3:::b/*")
    before = policy(deny, statement(), theirs)
    after = merged(before, policy(statement(resource="arn:aws:s3:::c/*"), limited))
    assert after["Statement"] == [
        deny,
        {**statement(), "Resource": ["arn:aws:s3:::a/*", "arn:aws:s3:::c/*"]},
        theirs,
        {**limited, "Sid": "One2"},
    ]
    assert merged(after, before) == after
    assert [line[0] for line in difference(before, after)] == ["+", "+"]
    assert difference(after, before)[0].startswith("- ")


def test_the_difference_has_the_actions_and_resources_alone_that_differ():
    one = statement(Action=["s3:GetObject", "s3:PutObject"], Resource=["a", "b"])
    other = statement(Action=["s3:GetObject"], Resource=["a", "c"])
    assert [json.loads(line[2:]) for line in difference(policy(one), policy(other))] == [
        {**one, "Action": ["s3:PutObject"], "Resource": ["a"]},
        {**one, "Resource": ["b"]},
        {**other, "Resource": ["c"]},
    ]
    assert difference(policy(one), policy({**one, "Sid": "Other"})) == []
