"""kennel iam create: roles come to be, stay as they are, and change only when somebody agreed."""

import json

import pytest
from access import printed
from aws_front import ACCOUNT
from lambda_account import changes, done, typed
from plans import check_plan
from training_jobs import BUCKET, job_file

from control.aws.access.roles import ROLES
from control.aws.tags import NAME

CREATE = ("iam", "create")
JOB = "jobs/dogs_aws.toml"


def role_of(aws, name):
    return aws.client("iam").get_role(RoleName=name)["Role"]


def policy_of(aws, name):
    return aws.client("iam").get_role_policy(RoleName=name, PolicyName="kennel")["PolicyDocument"]


def document_of(action, **more):
    """A policy of somebody else's."""
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, **more}]}


def test_all_roles_are_made_as_they_are_printed(aws_here):
    told = done(aws_here, *CREATE).stdout
    document = printed()
    for key, role in ROLES.items():
        assert f"{role.name}: created" in told
        found = role_of(aws_here, role.name)
        assert found["AssumeRolePolicyDocument"] == document[key]["trust"]
        assert policy_of(aws_here, role.name) == document[key]["policy"]
        assert {one["Key"] for one in found["Tags"]} >= {NAME, "kennel:kind"}


def test_the_instance_profile_holds_its_role(aws_here):
    done(aws_here, *CREATE, "--only", "ec2")
    found = aws_here.client("iam").get_instance_profile(InstanceProfileName="kennel-ec2")
    assert [one["RoleName"] for one in found["InstanceProfile"]["Roles"]] == ["kennel-ec2"]


def test_a_job_that_leaves_ec2_out_has_its_role_made_when_asked_for(aws_here, tmp_path):
    done(aws_here, *CREATE, job_file(tmp_path), "--only", "ec2")
    files = [one for one in policy_of(aws_here, "kennel-ec2")["Statement"] if "Files" in one["Sid"]]
    assert {arn.split("/")[0] for one in files for arn in one["Resource"]} == {
        f"arn:aws:s3:::{BUCKET}"
    }
    found = aws_here.client("iam").get_instance_profile(InstanceProfileName="kennel-ec2")
    assert found["InstanceProfile"]["Roles"]


def test_typed_again_nothing_changes(aws_here):
    done(aws_here, *CREATE)
    told = done(aws_here, *CREATE)
    assert changes(aws_here) == []
    assert told.stdout.count("unchanged") == len(ROLES)


def test_what_was_left_half_made_is_finished(aws_here):
    for operation in ("PutRolePolicy", "AddRoleToInstanceProfile"):
        aws_here.fail(operation, "ServiceFailure", "try later")
        assert typed(*CREATE, "--only", "ec2").returncode == 1
    told = done(aws_here, *CREATE, "--only", "ec2")
    assert changes(aws_here) == ["AddRoleToInstanceProfile"]
    assert "updated" in told.stdout
    done(aws_here, *CREATE, "--only", "ec2")
    assert changes(aws_here) == []


def test_a_role_that_differs_is_shown_and_changes_only_when_somebody_agreed(aws_here):
    done(aws_here, *CREATE, "--only", "training")
    iam = aws_here.client("iam")
    other = document_of("s3:GetObject", Resource="arn:aws:s3:::theirs/*")
    trust = document_of("sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"})
    iam.put_role_policy(
        RoleName="kennel-training", PolicyName="kennel", PolicyDocument=json.dumps(other)
    )
    iam.update_assume_role_policy(RoleName="kennel-training", PolicyDocument=json.dumps(trust))
    refused = done(aws_here, *CREATE, "--only", "training", "--exact", code=2)
    assert "add --yes" in refused.stderr
    assert changes(aws_here) == []
    assert '- {"Action": ["s3:GetObject"], ' in refused.stdout
    assert '"Sid": "MirrorCheckpoints"' in refused.stdout
    assert "trust: + {" in refused.stdout
    assert "warning: " in refused.stdout
    done(aws_here, *CREATE, "--only", "training", "--exact", "--yes")
    assert changes(aws_here) == ["UpdateAssumeRolePolicy", "PutRolePolicy"]
    assert policy_of(aws_here, "kennel-training") == printed()["training"]["policy"]


def test_what_others_put_on_a_role_stays(aws_here):
    done(aws_here, *CREATE, "--only", "lambda")
    iam = aws_here.client("iam")
    theirs = json.dumps(document_of("s3:GetObject", Resource="arn:aws:s3:::theirs/*"))
    iam.put_role_policy(RoleName="kennel-lambda", PolicyName="kennel-dogs", PolicyDocument=theirs)
    done(aws_here, *CREATE, "--only", "lambda")
    names = iam.list_role_policies(RoleName="kennel-lambda")["PolicyNames"]
    assert sorted(names) == ["kennel", "kennel-dogs"]


def test_a_role_that_kennel_did_not_make_is_left_alone(aws_here):
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    aws_here.client("iam").create_role(RoleName="kennel-expiry", AssumeRolePolicyDocument=trust)
    refused = done(aws_here, *CREATE, code=2)
    assert "kennel-expiry is there that kennel did not make" in refused.stderr
    assert changes(aws_here) == []


def test_roles_trust_their_service_for_this_account_alone(aws_here):
    for key, one in printed().items():
        if key not in ROLES:
            continue
        (statement,) = one["trust"]["Statement"]
        assert statement["Principal"] == {"Service": ROLES[key].service}
        condition = statement.get("Condition")
        if ROLES[key].service in ("sagemaker.amazonaws.com", "scheduler.amazonaws.com"):
            assert condition == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
        else:
            assert condition is None


def test_requests_of_an_example_are_kept_for_review_and_need_no_credentials():
    shown = typed(*CREATE, JOB, "jobs/dogs_ec2.toml", "--show")
    assert shown.returncode == 0, shown.stderr
    check_plan("iam_create", json.loads(shown.stdout))


def test_show_of_create_sends_nothing(aws_here):
    shown = done(aws_here, *CREATE, "--only", "training,ec2", "--show")
    assert [one["operation"] for one in json.loads(shown.stdout)] == [
        *("CreateRole", "PutRolePolicy", "CreateRole", "PutRolePolicy"),
        *("CreateInstanceProfile", "AddRoleToInstanceProfile"),
    ]
    assert changes(aws_here) == []


def test_the_json_tells_each_change(aws_here):
    told = json.loads(done(aws_here, *CREATE, "--only", "expiry", "-o", "json").stdout)
    (one,) = told
    assert (one["role"], one["change"]) == ("kennel-expiry", "created")
    assert one["policy"] == printed()["expiry"]["policy"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "person"), "makes roles"),
        ((JOB,), "you are in the account 123456789012, and the policies are for 111122223333"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is(aws_here, words, told):
    assert told in done(aws_here, *CREATE, *words, code=2).stderr
    assert changes(aws_here) == []


def test_roles_that_were_made_are_what_doctor_and_cleanup_look_for(aws_here):
    done(aws_here, *CREATE)
    done(aws_here, "cleanup", "--all", "--roles", "--yes")
    left = aws_here.client("iam").list_roles()["Roles"]
    assert [one["RoleName"] for one in left if one["RoleName"].startswith("kennel-")] == []
    assert aws_here.client("iam").list_instance_profiles()["InstanceProfiles"] == []
