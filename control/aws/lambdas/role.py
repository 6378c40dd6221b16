"""The function's role: whom Lambda acts as, and the least that it may do."""

import json
from typing import Any

from control.aws.account import Account
from control.aws.call import Call
from control.aws.lambdas.function_spec import FunctionSpec
from control.aws.tags import Tags

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
KIND = "lambda"
POLICY_PREFIX = "kennel-"


def policy_of(spec: FunctionSpec, role_arn: str, region: str) -> dict[str, Any]:
    """What this one function needs: its endpoint, its log, its buckets.

    Source: service authorization reference; names of endpoints are lower case in ARNs.
    """
    _, partition, _, _, account, _ = role_arn.split(":", 5)
    endpoint = f"arn:{partition}:sagemaker:{region}:{account}:endpoint/{spec.endpoint.lower()}"
    logs = f"arn:{partition}:logs:{region}:{account}:log-group:{spec.log_group}:*"
    allowed = [
        (["sagemaker:InvokeEndpoint"], [endpoint]),
        (["logs:CreateLogStream", "logs:PutLogEvents"], [logs]),
    ]
    if spec.buckets:
        objects = [f"arn:{partition}:s3:::{bucket}/*" for bucket in spec.buckets]
        allowed.append((["s3:GetObject"], objects))
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": resources}
            for actions, resources in allowed
        ],
    }


def role_calls(spec: FunctionSpec, role_arn: str, region: str, tags: Tags) -> list[Call]:
    """The requests that make the role. Several functions may share it: a policy for each."""
    name = role_name(role_arn)
    return [
        _iam(
            "CreateRole",
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(TRUST),
            Description="Functions before endpoints; made by kennel lambda deploy",
            Tags=tags.as_list(),
        ),
        _iam(
            "PutRolePolicy",
            RoleName=name,
            PolicyName=policy_name(spec.name),
            PolicyDocument=json.dumps(policy_of(spec, role_arn, region)),
        ),
    ]


def delete_role(account: Account, name: str) -> bool:
    """Remove a role with all its policies; whether there was one. Raises AwsError."""
    doing = f"role {name}"
    if account.find(_iam("GetRole", RoleName=name), doing) is None:
        return False
    inline = list(account.pages(_iam("ListRolePolicies", RoleName=name), "PolicyNames", doing))
    for policy in inline:
        account.find(_iam("DeleteRolePolicy", RoleName=name, PolicyName=policy), doing)
    attached = _iam("ListAttachedRolePolicies", RoleName=name)
    for one in list(account.pages(attached, "AttachedPolicies", doing)):
        account.find(_iam("DetachRolePolicy", RoleName=name, PolicyArn=one["PolicyArn"]), doing)
    account.find(_iam("DeleteRole", RoleName=name), doing)
    return True


def delete_policy_call(role: str, function: str) -> Call:
    """The request that takes one function's rights off a role that stays."""
    return _iam("DeleteRolePolicy", RoleName=role, PolicyName=policy_name(function))


def role_name(arn: str) -> str:
    """The name in a role's ARN."""
    return arn.rsplit("/", 1)[-1]


def policy_name(function: str) -> str:
    """Of the inline policy that allows what one function does."""
    return f"{POLICY_PREFIX}{function}"


def _iam(operation: str, **parameters: Any) -> Call:
    return Call(service="iam", operation=operation, parameters=parameters)
