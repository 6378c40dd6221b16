"""Jobs that are running: training, tuning and batch transform. Those that ended cost nothing."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from control.aws.account import Account
from control.aws.call import Call
from control.aws.house.asking import found_by_each, sagemaker, sagemaker_tags
from control.aws.house.found import Found, is_our_image, moment, owner
from control.aws.prices import Use, price_per_hour

ALIVE = ("InProgress", "Stopping")


def training_jobs(account: Account) -> list[Found]:
    """Those that are tagged as ours, a tuning job's own among them, and those of our images."""

    def look(item: Mapping[str, Any]) -> Found | None:
        name = str(item["TrainingJobName"])
        tags = sagemaker_tags(account, item["TrainingJobArn"])
        said = account.find(sagemaker("DescribeTrainingJob", TrainingJobName=name))
        image = str(((said or {}).get("AlgorithmSpecification") or {}).get("TrainingImage", ""))
        if said is None or not (owner(tags) or is_our_image(image)):
            return None
        since = moment(said, "TrainingStartTime", "CreationTime")
        limit = said.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
        is_spot = said.get("EnableManagedSpotTraining", False)
        what, price = _machines(said.get("ResourceConfig", {}), "training")
        return Found(
            kind="training job",
            id=name,
            name=owner(tags),
            what=f"{what}, spot: billed at less" if is_spot else what,
            state=str(said["TrainingJobStatus"]),
            since=since,
            expires=since + timedelta(seconds=limit) if since and limit else None,
            per_hour=price,
        )

    return found_by_each(look, _alive(account, "ListTrainingJobs", "TrainingJobSummaries"))


def tuning_jobs(account: Account) -> list[Found]:
    """Tuning jobs that are tagged as ours. Their training jobs are what costs."""

    def look(item: Mapping[str, Any]) -> Found | None:
        tags = sagemaker_tags(account, item["HyperParameterTuningJobArn"])
        if not owner(tags):
            return None
        return Found(
            kind="tuning job",
            id=str(item["HyperParameterTuningJobName"]),
            name=owner(tags),
            what="its training jobs are listed by themselves",
            state=str(item["HyperParameterTuningJobStatus"]),
            since=moment(item, "CreationTime"),
        )

    key = "HyperParameterTuningJobSummaries"
    return found_by_each(look, _alive(account, "ListHyperParameterTuningJobs", key))


def transform_jobs(account: Account) -> list[Found]:
    """Batch transforms that are tagged as ours."""

    def look(item: Mapping[str, Any]) -> Found | None:
        name = str(item["TransformJobName"])
        tags = sagemaker_tags(account, item["TransformJobArn"])
        said = account.find(sagemaker("DescribeTransformJob", TransformJobName=name))
        if said is None or not owner(tags):
            return None
        what, price = _machines(said.get("TransformResources", {}), "transform")
        return Found(
            kind="transform job",
            id=name,
            name=owner(tags),
            what=what,
            state=str(said["TransformJobStatus"]),
            since=moment(said, "TransformStartTime", "CreationTime"),
            per_hour=price,
            ends_itself=True,
        )

    return found_by_each(look, _alive(account, "ListTransformJobs", "TransformJobSummaries"))


def _alive(account: Account, operation: str, key: str) -> Iterator[Mapping[str, Any]]:
    for state in ALIVE:
        call = Call(service="sagemaker", operation=operation, parameters={"StatusEquals": state})
        yield from account.pages(call, key)


def _machines(resources: Mapping[str, Any], use: Use) -> tuple[str, float | None]:
    groups = resources.get("InstanceGroups") or [resources]
    words, prices = [], []
    for group in groups:
        count, kind = int(group.get("InstanceCount", 1)), str(group.get("InstanceType", "?"))
        price = price_per_hour(kind, use)
        words.append(f"{count} x {kind}")
        prices.append(None if price is None else count * price)
    total = None if None in prices else sum(price or 0.0 for price in prices)
    return ", ".join(words), total
