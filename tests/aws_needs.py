"""What a request to AWS needs to be allowed: each right on each thing, for tests.

The service authorization reference tells, as the library parliament has it: which kinds of
resources an action has. Which other rights a request needs stands here.
"""

import functools
import html
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from aws_operations import ACTIONS

ACCOUNT, REGION = "123456789012", "us-east-1"
FREE = frozenset({"sts:GetCallerIdentity"})  # Source: STS API reference: no permission is needed
SERVICES = frozenset(
    {
        *("application-autoscaling", "cloudwatch", "ec2", "ecr", "iam", "lambda", "logs", "s3"),
        *("sagemaker", "scheduler", "servicequotas", "sts", "ssm", "kms", "sns"),
    }
)
# What the parameters of SageMaker's calls name.
KINDS = {
    "TrainingJobName": "training-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "TransformJobName": "transform-job",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
}
ROLE_KEYS = ("RoleArn", "ExecutionRoleArn", "Role")
TAGS = {
    "sagemaker": "sagemaker:AddTags",
    "lambda": "lambda:TagResource",
    "logs": "logs:TagResource",
    "cloudwatch": "cloudwatch:TagResource",
    "application-autoscaling": "application-autoscaling:TagResource",
    "iam": "iam:TagRole",
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request, as its parts are needed here."""

    service: str  # the signing name
    operation: str
    parameters: Mapping[str, Any]  # of a JSON body or of a form
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, handler: Any, service: str, operation: str, body: bytes) -> "Asked":
        """From the request that a handler has read."""
        if "form" in handler.headers.get("Content-Type", ""):
            form = parse_qs(body.decode("utf-8", "replace"))
            parameters: dict[str, Any] = {name: texts[0] for name, texts in form.items()}
        elif operation == "DeleteObjects":
            keys = re.findall(r"<Key>([^<]*)</Key>", body.decode("utf-8", "replace"))
            parameters = {"Keys": [html.unescape(key) for key in keys]}
        else:
            parameters = _json(body)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        more = {"parameters": parameters, "path": handler.path, "headers": headers}
        return cls(service=service, operation=operation, **more)

    @property
    def query(self) -> dict[str, str]:
        found = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        return {name: texts[0] for name, texts in found.items()}

    @property
    def parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]


@dataclass(frozen=True, kw_only=True)
class Need:
    """One right on one thing."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def needs(asked: Asked) -> Iterator[Need]:
    """Everything that must be allowed for one request."""
    service = {"monitoring": "cloudwatch"}.get(asked.service, asked.service)
    name = f"{service}:{asked.operation}"
    action = ACTIONS.get(name, name)
    if action in FREE:
        return
    context = _context(service, asked)
    things = list(_things(service, action, asked)) or ["*"]
    for thing in things:
        more = _new_tags(asked) if ":instance/" in thing or ":volume/" in thing else {}
        yield Need(action=action, resource=thing, context={**context, **more})
    if asked.operation == "CopyObject":
        source = unquote(asked.headers.get("x-amz-copy-source", "")).lstrip("/")
        yield Need(action="s3:GetObject", resource=f"arn:aws:s3:::{source}")
    yield from _passed(service, asked)
    yield from _tagged(service, action, things, asked)
    if asked.operation == "RunInstances":
        image = str(asked.parameters.get("ImageId", ""))
        if image.startswith("resolve:ssm:"):
            parameter = image.removeprefix("resolve:ssm:")
            yield Need(
                action="ssm:GetParameters",
                resource=f"arn:aws:ssm:{REGION}::parameter{parameter}",
            )


@functools.cache
def reference() -> dict[str, dict[str, Any]]:
    """Prefix of a service -> what the service authorization reference says of it."""
    # Not imported: it warns, and a data file is all that is wanted.
    found = importlib.util.find_spec("parliament")
    assert found is not None, "parliament is not installed: make test installs it"
    path = Path(str(found.origin)).parent / "iam_definition.json"
    every = json.loads(path.read_text(encoding="utf-8"))
    return {one["prefix"]: one for one in every if one["prefix"] in SERVICES}


@functools.cache
def kinds_of(action: str) -> tuple[frozenset[str], frozenset[str]]:
    """The kinds of resources that an action must have, and those that it may have."""
    prefix, _, name = action.partition(":")
    (privilege,) = (one for one in reference()[prefix]["privileges"] if one["privilege"] == name)
    found = {one["resource_type"] for one in privilege["resource_types"]} - {""}
    must = {kind.rstrip("*") for kind in found if kind.endswith("*")}
    return frozenset(must), frozenset(kind.rstrip("*") for kind in found)


def _things(service: str, action: str, asked: Asked) -> Iterator[str]:
    must, may = kinds_of(action)
    if not may:
        return
    yield from {
        "sagemaker": _of_sagemaker,
        "s3": _of_s3,
        "lambda": _of_lambda,
        "logs": _of_logs,
        "iam": _of_iam,
        "ec2": _of_ec2,
        "ecr": lambda one, _: [
            _arn("ecr", f"repository/{one.parameters.get('repositoryName', '*')}")
        ],
        "cloudwatch": _of_cloudwatch,
        "scheduler": _of_scheduler,
        "application-autoscaling": lambda one, _: [_arn(one.service, "scalable-target/0abc")],
    }[service](asked, must or may)


def _of_sagemaker(asked: Asked, kinds: Iterable[str]) -> Iterator[str]:
    if arn := asked.parameters.get("ResourceArn"):
        yield str(arn)
        return
    named = {kind: asked.parameters.get(key) for key, kind in KINDS.items()}
    if asked.parts[0] == "endpoints":  # of the runtime: /endpoints/NAME/invocations
        named["endpoint"] = asked.parts[1]
    for kind in kinds:
        if name := named.get(kind):
            yield _arn("sagemaker", f"{kind}/{str(name).lower()}")


def _of_s3(asked: Asked, kinds: Iterable[str]) -> Iterator[str]:
    bucket, _, key = "/".join(asked.parts).partition("/")
    if asked.operation == "DeleteObjects":
        yield from (f"arn:aws:s3:::{bucket}/{one}" for one in asked.parameters["Keys"])
        return
    yield f"arn:aws:s3:::{bucket}/{key}" if "object" in kinds else f"arn:aws:s3:::{bucket}"


def _of_lambda(asked: Asked, kinds: Iterable[str]) -> Iterator[str]:
    if "tags" in asked.parts:
        yield asked.parts[-1] if asked.parts[-1].startswith("arn:") else _arn("lambda", "?")
        return
    parts = asked.parts
    name = parts[parts.index("functions") + 1] if len(parts) > 2 else ""
    name = name or str(asked.parameters.get("FunctionName"))
    qualifier = asked.query.get("Qualifier", "")
    yield _arn("lambda", f"function:{name}{f':{qualifier}' if qualifier else ''}")


def _of_logs(asked: Asked, kinds: Iterable[str]) -> Iterator[str]:
    if arn := asked.parameters.get("resourceArn"):
        yield str(arn)
        return
    # Source: CloudWatch Logs user guide: ARNs of groups end in :* for all but tags.
    stream = asked.parameters.get("logStreamName")
    last = f"log-stream:{stream}" if "log-stream" in kinds else "*"
    yield _arn("logs", f"log-group:{asked.parameters.get('logGroupName')}:{last}")


def _of_iam(asked: Asked, kinds: Iterable[str]) -> Iterator[str]:
    kind = "instance-profile" if "instance-profile" in kinds else "role"
    key = "InstanceProfileName" if kind == "instance-profile" else "RoleName"
    yield f"arn:aws:iam::{ACCOUNT}:{kind}/{asked.parameters[key]}"


def _of_ec2(asked: Asked, kinds: Iterable[str]) -> Iterator[str]:
    if asked.operation == "TerminateInstances":
        yield _arn("ec2", f"instance/{asked.parameters['InstanceId.1']}")
        return
    yield f"arn:aws:ec2:{REGION}::image/ami-1"
    for kind in ("instance", "volume", "network-interface", "subnet", "security-group"):
        yield _arn("ec2", f"{kind}/{kind}-1")
    if key := asked.parameters.get("KeyName"):
        yield _arn("ec2", f"key-pair/{key}")


def _of_cloudwatch(asked: Asked, kinds: Iterable[str]) -> Iterator[str]:
    if arn := asked.parameters.get("ResourceARN"):
        yield str(arn)
        return
    names = asked.parameters.get("AlarmNames") or [asked.parameters.get("AlarmName", "*")]
    yield from (_arn("cloudwatch", f"alarm:{name}") for name in names)


def _of_scheduler(asked: Asked, kinds: Iterable[str]) -> Iterator[str]:
    group = asked.query.get("groupName") or asked.parameters.get("GroupName", "default")
    yield _arn("scheduler", f"schedule/{group}/{asked.parts[-1]}")


def _context(service: str, asked: Asked) -> dict[str, str]:
    found = {}
    if service == "s3" and "prefix" in asked.query:
        found["s3:prefix"] = asked.query["prefix"]
    if namespace := asked.parameters.get("ServiceNamespace"):
        found["application-autoscaling:service-namespace"] = str(namespace)
    return found


def _passed(service: str, asked: Asked) -> Iterator[Need]:
    """iam:PassRole for every role that the request names."""
    parameters = asked.parameters
    definition = parameters.get("TrainingJobDefinition", {})
    named = [one[key] for one in (parameters, definition) for key in ROLE_KEYS if one.get(key)]
    named += [target["RoleArn"]] if isinstance(target := parameters.get("Target"), dict) else []
    if profile := parameters.get("IamInstanceProfile.Name"):
        named.append(f"arn:aws:iam::{ACCOUNT}:role/{profile}")
    if profile := parameters.get("IamInstanceProfile.Arn"):
        named.append(str(profile).replace(":instance-profile/", ":role/"))
    if asked.operation == "AddRoleToInstanceProfile":
        named.append(f"arn:aws:iam::{ACCOUNT}:role/{parameters['RoleName']}")
    to = {} if service == "iam" else {"iam:PassedToService": f"{service}.amazonaws.com"}
    for role in named:
        yield Need(action="iam:PassRole", resource=str(role), context=to)


def _tagged(service: str, action: str, things: list[str], asked: Asked) -> Iterator[Need]:
    """The right to tag, where a thing is made with tags."""
    keys = {"Tags", "tags", "Tags.member.1.Key"} & asked.parameters.keys()
    if service == "ec2" and asked.operation == "RunInstances":
        for thing in things:
            if ":instance/" in thing or ":volume/" in thing:
                created = {"ec2:CreateAction": "RunInstances"}
                yield Need(action="ec2:CreateTags", resource=thing, context=created)
    elif keys and service in TAGS and TAGS[service] != action:
        tag = TAGS[service]
        if asked.operation == "CreateInstanceProfile":
            tag = "iam:TagInstanceProfile"
        own = [one for one in things if not one.endswith("*")] or things
        if asked.operation == "CreateLogGroup":
            own = [one.removesuffix(":*") for one in things]
        if asked.operation == "CreateEndpoint":
            own = [one for one in things if ":endpoint/" in one]
        for thing in own:
            yield Need(action=tag, resource=thing)


def _new_tags(asked: Asked) -> dict[str, str]:
    """aws:RequestTag/... of RunInstances."""
    found, form = {}, asked.parameters
    for key, name in form.items():
        if key.startswith("TagSpecification.1.Tag.") and key.endswith(".Key"):
            value = form[key.removesuffix("Key") + "Value"]
            found[f"aws:RequestTag/{name}"] = str(value)
    return found


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"
