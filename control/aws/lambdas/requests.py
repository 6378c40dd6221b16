"""The requests to Lambda and to its log: made here, from a description alone."""

from collections.abc import Mapping
from typing import Any

from control.aws.call import Call
from control.aws.expiry import end_expiry_call, expires_at, expiry_call
from control.aws.lambdas.archive import HANDLER, build_archive
from control.aws.lambdas.function_spec import ALIAS, RUNTIME, FunctionSpec
from control.aws.lambdas.role import KIND, role_calls
from control.aws.tags import Tags

PUBLIC = "kennel-public"  # of the statements that let everybody ask
FIRST_VERSION = "1"


def tags_for(spec: FunctionSpec) -> Tags:
    """The tags of the function, its log group and its role."""
    return Tags(name=spec.name, kind=KIND, expires=expires_at(spec.ttl_hours))


def first_calls(spec: FunctionSpec, role_arn: str, region: str, expiry_arn: str) -> list[Call]:
    """Everything that the first deployment sends, in order.

    Args:
        region: for the role's policy; may be empty unless the role is made.
        expiry_arn: of the role that deletes it; may be empty for a function without an end.
    """
    tags = tags_for(spec)
    calls = role_calls(spec, role_arn, region, tags) if spec.makes_role else []
    calls += [create_call(spec, role_arn, tags), *log_calls(spec, tags)]
    if spec.reserved is not None:
        calls.append(reserve_call(spec))
    if spec.provisioned:
        calls += [publish_call(spec.name), alias_call(spec.name, FIRST_VERSION)]
        calls.append(provision_call(spec))
    if spec.has_url:
        calls += [url_call(spec), *public_calls(spec)]
    if not tags.expires:  # an earlier function of this name may have left its own
        return [*calls, end_expiry_call("function", spec.name)]
    return [*calls, expiry_call("function", spec.name, tags.expires, expiry_arn)]


def create_call(spec: FunctionSpec, role_arn: str, tags: Tags) -> Call:
    """CreateFunction with the archive."""
    return on_function(
        spec.name,
        "CreateFunction",
        **configuration(spec, role_arn),
        Code={"ZipFile": build_archive()},
        Description=f"Pictures to the endpoint {spec.endpoint}",
        Tags=tags.as_dict(),
    )


def configuration(spec: FunctionSpec, role_arn: str) -> dict[str, Any]:
    """What creating and updating have in common."""
    return {
        "Role": role_arn,
        "Runtime": RUNTIME,
        "Handler": HANDLER,
        "Timeout": spec.timeout_seconds,
        "MemorySize": spec.memory_mb,
        "Environment": {"Variables": spec.variables},
    }


def update_calls(
    spec: FunctionSpec, role_arn: str, has: Mapping[str, Any], code_sha256: str
) -> list[Call]:
    """The updates that are needed: code, configuration, both or none.

    Args:
        has: the Configuration that GetFunction answers.
        code_sha256: of our archive.
    """
    calls = []
    if has.get("CodeSha256") != code_sha256:
        calls.append(on_function(spec.name, "UpdateFunctionCode", ZipFile=build_archive()))
    wanted = configuration(spec, role_arn)
    same = all(has.get(key) == value for key, value in wanted.items() if key != "Environment")
    if not same or has.get("Environment", {}).get("Variables", {}) != spec.variables:
        calls.append(on_function(spec.name, "UpdateFunctionConfiguration", **wanted))
    return calls


def log_calls(spec: FunctionSpec, tags: Tags) -> list[Call]:
    """The log group, which Lambda would make without an end."""
    group = {"logGroupName": spec.log_group}
    return [
        Call(
            service="logs",
            operation="CreateLogGroup",
            parameters={**group, "tags": tags.as_dict()},
        ),
        Call(
            service="logs",
            operation="PutRetentionPolicy",
            parameters={**group, "retentionInDays": spec.log_days},
        ),
    ]


def reserve_call(spec: FunctionSpec) -> Call:
    """PutFunctionConcurrency: so many at once and no more."""
    return on_function(
        spec.name, "PutFunctionConcurrency", ReservedConcurrentExecutions=spec.reserved
    )


def publish_call(name: str) -> Call:
    """PublishVersion; answers the newest one when nothing has changed since."""
    return on_function(name, "PublishVersion")


def alias_call(name: str, version: str, operation: str = "CreateAlias") -> Call:
    """CreateAlias or UpdateAlias of `live`."""
    return on_function(name, operation, Name=ALIAS, FunctionVersion=version)


def provision_call(spec: FunctionSpec) -> Call:
    """PutProvisionedConcurrencyConfig of `live`."""
    return on_function(
        spec.name,
        "PutProvisionedConcurrencyConfig",
        Qualifier=ALIAS,
        ProvisionedConcurrentExecutions=spec.provisioned,
    )


def url_call(spec: FunctionSpec, operation: str = "CreateFunctionUrlConfig") -> Call:
    """CreateFunctionUrlConfig or UpdateFunctionUrlConfig. CORS is the function's own affair."""
    auth = "NONE" if spec.is_public else "AWS_IAM"
    return on_function(spec.name, operation, **spec.qualifier, AuthType=auth)


def public_calls(spec: FunctionSpec) -> list[Call]:
    """The two statements that a public address needs since October 2025; none otherwise.

    Source: Lambda developer guide, Control access to Lambda function URLs.
    """
    if not spec.is_public:
        return []
    everybody = {**spec.qualifier, "Principal": "*"}
    return [
        on_function(
            spec.name,
            "AddPermission",
            **everybody,
            StatementId=f"{PUBLIC}-url",
            Action="lambda:InvokeFunctionUrl",
            FunctionUrlAuthType="NONE",
        ),
        on_function(
            spec.name,
            "AddPermission",
            **everybody,
            StatementId=f"{PUBLIC}-invoke",
            Action="lambda:InvokeFunction",
            InvokedViaFunctionUrl=True,
        ),
    ]


def private_calls(name: str, qualifier: Mapping[str, str]) -> list[Call]:
    """The requests that take those statements back."""
    return [
        on_function(name, "RemovePermission", **qualifier, StatementId=f"{PUBLIC}-{what}")
        for what in ("url", "invoke")
    ]


def on_function(name: str, operation: str, **parameters: Any) -> Call:
    """A call of Lambda's about one function."""
    return Call(
        service="lambda", operation=operation, parameters={"FunctionName": name, **parameters}
    )
