"""Unused: configurations and models that updates of an endpoint left behind."""

import re
from collections.abc import Collection

from control.aws.account import Account
from control.aws.endpoint.request import DIGEST_CHARACTERS, sagemaker_call
from control.aws.tags import NAME, tags_of


def remove_unused(account: Account, endpoint: str, keep: Collection[str]) -> list[str]:
    """Delete the endpoint's configurations except `keep`, and their models; the names that went.

    Only what kennel made for this endpoint goes: by its name and by its tag. Raises AwsError.
    """
    ours = re.compile(rf"{re.escape(endpoint)}-[0-9a-f]{{{DIGEST_CHARACTERS}}}")
    listing = sagemaker_call("ListEndpointConfigs", NameContains=endpoint)
    doing = f"configurations of {endpoint}"
    found = {
        str(one["EndpointConfigName"]): str(one["EndpointConfigArn"])
        for one in account.pages(listing, "EndpointConfigs", doing)
        if ours.fullmatch(one["EndpointConfigName"])
    }
    models: set[str] = set()
    removed = []
    for name, arn in found.items():
        if name in keep or not _is_tagged(account, arn, endpoint):
            continue
        models |= _models_of(account, name)
        account.find(sagemaker_call("DeleteEndpointConfig", EndpointConfigName=name), doing)
        removed.append(f"configuration {name}")
    used = {model for name in keep for model in _models_of(account, name)}
    for model in sorted(models - used):
        if ours.fullmatch(model):
            account.find(sagemaker_call("DeleteModel", ModelName=model), f"model {model}")
            removed.append(f"model {model}")
    return removed


def _models_of(account: Account, config: str) -> set[str]:
    call = sagemaker_call("DescribeEndpointConfig", EndpointConfigName=config)
    found = account.find(call, f"configuration {config}") or {}
    return {str(one["ModelName"]) for one in found.get("ProductionVariants", ())}


def _is_tagged(account: Account, arn: str, endpoint: str) -> bool:
    call = sagemaker_call("ListTags", ResourceArn=arn)
    return tags_of(list(account.pages(call, "Tags", arn))).get(NAME) == endpoint
