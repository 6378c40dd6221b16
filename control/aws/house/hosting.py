"""Hosting: endpoints with their price, and the models and configurations behind them."""

from collections.abc import Mapping
from typing import Any

from control.aws.account import Account
from control.aws.house.asking import found_by_each, sagemaker, sagemaker_tags
from control.aws.house.found import Found, expiry, is_our_image, moment, owner
from control.aws.prices import price_per_hour


def endpoints(account: Account) -> list[Found]:
    """Every endpoint that is tagged as ours, and those that serve our images without a tag."""

    def look(item: Mapping[str, Any]) -> Found | None:
        name = str(item["EndpointName"])
        tags = sagemaker_tags(account, item["EndpointArn"])
        said = account.find(sagemaker("DescribeEndpoint", EndpointName=name))
        if said is None:
            return None
        call = sagemaker("DescribeEndpointConfig", EndpointConfigName=said["EndpointConfigName"])
        config = account.find(call) or {}
        variants = config.get("ProductionVariants", [])
        is_ours = owner(tags) or any(_serves_ours(account, one) for one in variants)
        about = {"endpoint": name, "config": said["EndpointConfigName"], "is_strange": not is_ours}
        now = {one["VariantName"]: one for one in said.get("ProductionVariants", [])}
        machines = [_machines(one, now.get(one["VariantName"], {})) for one in variants]
        prices = [price for _, price in machines]
        return Found(
            kind="endpoint",
            id=name,
            name=owner(tags),
            what=", ".join(what for what, _ in machines) or "no variant",
            state=str(said["EndpointStatus"]),
            since=moment(said, "CreationTime"),
            expires=expiry(tags),
            per_hour=None if None in prices else sum(price or 0.0 for price in prices),
            about=about,
        )

    return found_by_each(look, account.pages(sagemaker("ListEndpoints"), "Endpoints"))


def configs(account: Account) -> list[Found]:
    """Endpoint configurations that are tagged as ours."""

    def look(item: Mapping[str, Any]) -> Found | None:
        tags = sagemaker_tags(account, item["EndpointConfigArn"])
        if not owner(tags):
            return None
        return Found(
            kind="endpoint config",
            id=str(item["EndpointConfigName"]),
            name=owner(tags),
            since=moment(item, "CreationTime"),
        )

    call = sagemaker("ListEndpointConfigs")
    return found_by_each(look, account.pages(call, "EndpointConfigs"))


def models(account: Account) -> list[Found]:
    """Models that are tagged as ours, and those of our images without a tag."""

    def look(item: Mapping[str, Any]) -> Found | None:
        name = str(item["ModelName"])
        tags = sagemaker_tags(account, item["ModelArn"])
        said = account.find(sagemaker("DescribeModel", ModelName=name))
        if said is None:
            return None
        container = _container(said)
        if not owner(tags) and not is_our_image(str(container.get("Image", ""))):
            return None
        return Found(
            kind="model",
            id=name,
            name=owner(tags),
            what=str(container.get("ModelDataUrl", "")),
            since=moment(item, "CreationTime"),
            about={"artifact": container.get("ModelDataUrl", "")},
        )

    return found_by_each(look, account.pages(sagemaker("ListModels"), "Models"))


def _machines(variant: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, float | None]:
    """A variant in words, and what it costs an hour. A serverless one waits for nothing."""
    serverless = variant.get("ServerlessConfig") or variant.get("CurrentServerlessConfig")
    if serverless:
        kept = serverless.get("ProvisionedConcurrency", 0)
        words = f"serverless, {serverless['MemorySizeInMB']} MB"
        return (f"{words}, {kept} kept ready", None) if kept else (words, 0.0)
    count = int(now.get("CurrentInstanceCount", variant.get("InitialInstanceCount", 1)))
    kind = str(variant.get("InstanceType", "unknown type"))
    price = price_per_hour(kind, "hosting")
    return f"{count} x {kind}", count * price if price is not None else (0.0 if not count else None)


def _serves_ours(account: Account, variant: Mapping[str, Any]) -> bool:
    name = variant.get("ModelName")
    said = account.find(sagemaker("DescribeModel", ModelName=name)) if name else None
    return is_our_image(str(_container(said or {}).get("Image", "")))


def _container(model: Mapping[str, Any]) -> Mapping[str, Any]:
    several = model.get("Containers") or [{}]
    first: Mapping[str, Any] = model.get("PrimaryContainer") or several[0]
    return first
