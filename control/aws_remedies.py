"""Remedies: what to do about an error of AWS's, by its code and its sentence."""

import json
import re

# Source: IAM user guide, Troubleshoot access denied error messages.
_DENIED = re.compile(r"not authorized to perform: ([\w-]+:\w+)(?: on resource: (\S+))?")
# Source: the sentence of SageMaker's ResourceLimitExceeded.
_LIMIT = re.compile(
    r"service limit '([^']+)' is (\S+) (?:Instances|\w+), with current util\w+ of (\S+)"
)
# Source: the sentence of EC2's VcpuLimitExceeded.
_PROCESSORS = re.compile(r"v?CPU limit of (\d+)")
# The quotas of SageMaker: ml.m5.xlarge for spot training job usage.
_MACHINES = re.compile(r"(ml\.\S+) for (?:spot )?(training|endpoint|transform)")
_DOCTOR = (
    "`kennel doctor FILE.toml` lists the instance types that this account may have now, and the "
    "command that asks for more"
)
OTHERS = 3  # types that are named beside one whose quota is used up
OF_EC2 = ("g4dn.xlarge", "p4d.24xlarge", "m5.xlarge")  # one of each sort that has a quota
_DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_EC2_LIMITS = frozenset(
    {"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded"}
)
_THROTTLED = frozenset(
    {
        *("Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown"),
        "RequestLimitExceeded",  # EC2's word
    }
)
_INVALID = ("ValidationException", "InvalidParameterValueException")
_OVER = "log in again: `aws sso login`, or new keys"
_NO_KEY = "the key does not exist in this partition: see `aws configure list`"
_MORE = (
    "the account may have no more of these: remove what `kennel list --cost` shows and nobody "
    "needs, or ask for more in AWS's console, Service Quotas"
)
# Services have words of their own for the same. Sources: EC2 API reference, Error codes; the API
# references of S3, IAM, EventBridge Scheduler and Application Auto Scaling.
_PLAIN = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "InvalidToken"), _OVER),
    **dict.fromkeys(("InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure"), _NO_KEY),
    "UnrecognizedClientException": "the key does not exist here: see `aws configure list`",
    "RequestExpired": "this machine's clock is wrong, or the keys are over: see `date -u`",
    **dict.fromkeys(
        ("LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"), _MORE
    ),
    "VPCIdNotSpecified": "the account has no default VPC in this region: give subnet and "
    "security_group in [ec2]",
    "InvalidInstanceType": "EC2 has no such type in this region: check its name, or take another",
    "Unsupported": "the zone has no machines of this type: give another subnet or instance_type "
    "in [ec2]",
    **{
        f"Invalid{what}.NotFound": f"it is not in this region: check {name} in [ec2]"
        for what, name in (
            ("SubnetID", "subnet"),
            ("Group", "security_group"),
            ("AMIID", "ami"),
            ("KeyPair", "key_name"),
        )
    },
    "SignatureDoesNotMatch": "the secret key is wrong, or this machine's clock is: see `date -u`",
    "RequestTimeTooSkewed": "this machine's clock is wrong: see `date -u`",
    "OptInRequired": "the account has not opted in to this region or service",
    "NoSuchBucket": "check the bucket's name with `aws s3 ls`",
    "ResourceInUse": "it exists already: give another name with --name, or `kennel cleanup NAME`",
    "CapacityError": "AWS has none of these machines free now: try again, another region or type",
    "InsufficientInstanceCapacity": "AWS has none of these machines free now: try again, or "
    "another type",
}

_LOGIN = "log in again: `aws sso login`, with --profile where you have several"
_KEYS = "type `aws configure` or `aws sso login`, or set AWS_ACCESS_KEY_ID and its secret"
# What boto3 finds out itself, by the name of its error.
_HERE = {
    "NoCredentialsError": _KEYS,
    "PartialCredentialsError": _KEYS,
    "CredentialRetrievalError": _LOGIN,
    "SSOTokenLoadError": _LOGIN,
    "UnauthorizedSSOTokenError": _LOGIN,
    "TokenRetrievalError": _LOGIN,
    "InvalidRegionError": "set AWS_REGION to a region such as us-east-1, or type "
    "`aws configure set region us-east-1`",
    "NoRegionError": "set AWS_REGION, or type `aws configure set region us-east-1`",
    "ProfileNotFound": "`aws configure list-profiles` lists them; AWS_PROFILE names one",
    "EndpointConnectionError": "check the region's name, and the network",
    "ConnectTimeoutError": "check the network, and proxies between",
}


def remedy_here(error: str) -> str:
    """The same for what keeps this machine from asking at all. `error`: boto3's class."""
    return _HERE.get(error, "")


def remedy_for(code: str, message: str) -> str:
    """One clause without a full stop; empty when AWS's own sentence must do.

    Args:
        code: AWS's word, e.g. AccessDeniedException.
        message: AWS's sentence, in one line.
    """
    if code in _DENIED_CODES or "not authorized to perform" in message:
        return _denied(message)
    if code == "ResourceLimitExceeded":
        return _limit(message)
    if code in _EC2_LIMITS:
        return _limit_of_ec2(message)
    if code in _THROTTLED:
        return "AWS was asked too often, also after pauses: wait a minute and type it again"
    if code in _INVALID and "assume" in message.lower():
        return (
            "the role does not exist or does not trust this service: `kennel iam show FILE.toml` "
            "prints the role that is needed, `kennel iam create FILE.toml` makes it"
        )
    if "instanceprofile" in message.lower().replace(" ", ""):
        return (
            "the instance profile does not exist: `kennel iam create JOB.toml --only ec2` makes it"
        )
    return _PLAIN.get(code, "")


def policy_line(action: str, resource: str) -> str:
    """The statement that allows it, as it stands in a policy."""
    return json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})


def _denied(message: str) -> str:
    # Here: the table of rights is not for every command line that is read.
    from control.aws.access.missing import missing_right

    found = _DENIED.search(message)
    if not found:
        return "the caller's policy lacks something: `kennel iam show` prints what is needed"
    action, resource = found[1], (found[2] or "*").strip('"').rstrip(".,")
    right = missing_right(action, resource, message)
    line = right.line if right else policy_line(action, resource)
    show = right.command if right else "kennel iam show"
    who = "an explicit deny stands in the way of" if "explicit deny" in message else "missing is"
    return f"{who} {line}; `{show}` prints the whole policy"


def _limit(message: str) -> str:
    found = _LIMIT.search(message)
    what = "a quota is used up"
    if found:
        what = f"the quota {found[1]!r} is {found[2]}, {found[3]} in use"
    others = _of_its_sort(found[1]) if found else []
    if others:
        what += f"; other types have quotas of their own: {', '.join(others)}"
    return f"{what}: {_DOCTOR}"


def _limit_of_ec2(message: str) -> str:
    """Its quotas count processors, by the letter that a type begins with; spot has its own."""
    found = _PROCESSORS.search(message)
    what = f"the quota of processors is {found[1]}" if found else "a quota is used up"
    return (
        f"{what}; types that begin with g ({OF_EC2[0]}), those with p ({OF_EC2[1]}) and all others "
        f"({OF_EC2[2]}) have one each, on demand and as spot: {_DOCTOR}, for a file with [ec2]"
    )


def _of_its_sort(quota: str) -> list[str]:
    """Types that may stand in: with a GPU or without as this one, nearest in price."""
    from control.aws.endpoint.host_image import has_gpu  # for the one error that needs it
    from control.aws.prices import Use, known_types, price_per_hour

    found = _MACHINES.match(quota)
    if not found:
        return []
    uses: dict[str, Use] = {"endpoint": "hosting", "transform": "transform"}
    kind, use = found[1], uses.get(found[2], "training")
    price = price_per_hour(kind, use) or 0.0
    others = [one for one in known_types(use) if has_gpu(one) == has_gpu(kind) and one != kind]
    return sorted(others, key=lambda one: abs((price_per_hour(one, use) or 0.0) - price))[:OTHERS]
