"""What ends an endpoint is a role: before anything is billed it is looked at whether it may."""

import json
from datetime import UTC, datetime

import pytest
from aws_examined import answer_quotas, endpoint_file
from aws_front import ACCOUNT
from endpoints import EXPIRY_ROLE, Updates, put_bucket, typed, write_deployment
from lambda_account import DEPLOY, make_role
from serving import colour_bundle

from control.aws.access.ending import may_end
from control.aws.account import Account
from control.aws.expiry import expiry_call

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
DELETES = "sagemaker:DeleteEndpoint"
ENDPOINT = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/"


@pytest.fixture
def role(aws_here):
    """kennel-expiry, and what puts a statement onto it."""
    client = aws_here.client("iam")
    client.create_role(RoleName="kennel-expiry", AssumeRolePolicyDocument=TRUST)

    def put(name="kennel", **statement):
        document = {"Version": "2012-10-17", "Statement": statement}
        text = json.dumps(document)
        client.put_role_policy(RoleName="kennel-expiry", PolicyName=name, PolicyDocument=text)

    return put


def ends(kind="endpoint", name="Dogs", alarms=()):
    return may_end(Account(), expiry_call(kind, name, datetime.now(UTC), EXPIRY_ROLE, alarms))


def allow(action, *resources, **more):
    return {"Effect": "Allow", "Action": action, "Resource": list(resources), **more}


def test_of_a_role_that_is_not_there_nothing_is_told(aws_here):
    assert ends() is None


def test_a_role_of_another_endpoint_may_not(role):
    role(**allow(DELETES, f"{ENDPOINT}cats", f"{ENDPOINT}dogs-*"))
    assert ends() is False
    role("more", **allow(["sagemaker:Delete*"], f"{ENDPOINT}dogs"))
    assert ends() is True


def test_functions_and_alarms_are_looked_at_by_their_own_names(role):
    role(**allow("lambda:DeleteFunction", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:Dogs"))
    assert (ends("function"), ends("function", "dogs"), ends()) == (True, False, False)
    alarm = f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:"
    role("alarms", **allow("cloudwatch:DeleteAlarms", f"{alarm}a"))
    assert ends("alarms", alarms=("a",)) is True
    assert ends("alarms", alarms=("a", "b")) is False


def test_what_its_own_policies_do_not_tell_is_not_refused(role, aws_here):
    role(**allow(DELETES, f"{ENDPOINT}*", Condition={"StringEquals": {"aws:PrincipalTag/a": "b"}}))
    assert ends() is None
    role(**allow(DELETES, f"{ENDPOINT}cats"))
    client = aws_here.client("iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": allow(DELETES, "*")})
    made = client.create_policy(PolicyName="theirs", PolicyDocument=document)["Policy"]["Arn"]
    client.attach_role_policy(RoleName="kennel-expiry", PolicyArn=made)
    assert ends() is None
    aws_here.fail("ListRolePolicies", "AccessDenied", "no", status=403)
    assert ends() is None


def test_no_endpoint_is_made_that_its_schedule_may_not_delete(aws_here, role, tmp_path):
    put_bucket(aws_here)
    role(**allow(DELETES, f"{ENDPOINT}cats"))
    aws_here.forget()
    done = typed("deploy", write_deployment(tmp_path), "--yes")
    assert done.returncode == 2
    assert "kennel-expiry may not delete endpoint dogs" in done.stderr
    assert "`kennel iam create FILE.toml --only expiry` allows it" in done.stderr
    made = [one.operation for one in aws_here.seen if one.operation.startswith(("Create", "Put"))]
    assert made == []
    role(**allow(DELETES, f"{ENDPOINT}dogs"))
    assert typed("deploy", tmp_path / "dogs.toml", "--yes").returncode == 0


def test_no_endpoint_gets_another_end_that_its_schedule_may_not_bring(aws_here, role, tmp_path):
    put_bucket(aws_here)
    Updates(aws_here)
    role(**allow(DELETES, f"{ENDPOINT}dogs"))
    assert typed("deploy", write_deployment(tmp_path), "--yes").returncode == 0
    role(**allow(DELETES, f"{ENDPOINT}cats"))
    aws_here.forget()
    for changed in (("--ttl-hours", 9), ("--instance-count", 2)):
        done = typed("deploy", tmp_path / "dogs.toml", "--yes", *changed)
        assert done.returncode == 2
        assert "kennel-expiry may not delete endpoint dogs when its time is over" in done.stderr
        assert "cost:" not in done.stdout
    assert not [one for one in aws_here.seen if one.operation.startswith(("Create", "Update"))]


def test_no_function_is_made_that_its_schedule_may_not_delete(aws_here, role):
    make_role(aws_here)
    role(**allow("lambda:DeleteFunction", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:cats"))
    aws_here.forget()
    done = typed(*DEPLOY, "--ttl-hours", 2, "--yes")
    assert done.returncode == 2
    assert "kennel-expiry may not delete function dogs when its time is over" in done.stderr
    assert "`kennel iam create FILE.toml --only expiry --function dogs` allows it" in done.stderr
    assert "no --ttl-hours makes it without an end" in done.stderr
    assert not [one for one in aws_here.seen if one.operation.startswith(("Create", "Put"))]
    assert typed(*DEPLOY, "--yes").returncode == 0


def test_alarms_that_would_stay_are_a_note(aws_here, role, tmp_path):
    put_bucket(aws_here)
    role(**allow(DELETES, f"{ENDPOINT}dogs"))
    done = typed("deploy", write_deployment(tmp_path, '[update]\nalarms = "auto"\n'), "--yes")
    assert done.returncode == 0, done.stderr
    assert "note:    kennel-expiry may not delete its alarms" in done.stdout


def test_an_endpoint_without_an_end_needs_no_role(aws_here, role, tmp_path):
    put_bucket(aws_here)
    done = typed("deploy", write_deployment(tmp_path, top="ttl_hours = 0"), "--yes")
    assert done.returncode == 0, done.stderr
    assert aws_here.calls("ListRolePolicies") == []


def test_doctor_says_whether_the_role_may(aws_here, role, tmp_path):
    answer_quotas(aws_here)
    file = endpoint_file(tmp_path, colour_bundle())
    file.write_text(file.read_text().replace("ttl_hours = 0\n", 'name = "dogs"\n'))
    role(**allow(DELETES, f"{ENDPOINT}cats"))
    lines = [" ".join(line.split()) for line in typed("doctor", file).stdout.splitlines()]
    at = lines.index("to do end kennel-expiry may not delete endpoint dogs")
    assert lines[at + 1] == f"-> kennel iam create {file}"
    role(**allow(DELETES, f"{ENDPOINT}dogs"))
    assert "kennel-expiry may delete endpoint dogs" in typed("doctor", file).stdout
