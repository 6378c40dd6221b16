"""EndpointPlan: every request of a deployment, in the order in which they are sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from contract.errors import SpecError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.artifact import Artifact, artifact_of
from control.aws.endpoint.deployment import DeploymentSpec
from control.aws.endpoint.host_image import image_of
from control.aws.endpoint.image import complete_image
from control.aws.endpoint.model_store import ModelStore
from control.aws.endpoint.options import Serverless
from control.aws.endpoint.publish import Publication, publications
from control.aws.endpoint.request import (
    Resolved,
    config_call,
    create_call,
    model_calls,
    update_call,
)
from control.aws.endpoint.traffic import (
    alarm_calls,
    alarm_removal,
    auto_alarm_names,
    deployment_config,
)
from control.aws.endpoint.update_policy import FEWEST
from control.aws.endpoint.variant import Variant
from control.aws.expiry import Kind, end_expiry_call, expires_at, expiry_call, moved
from control.aws.money import Cost, instances
from control.aws.names import check_image_region
from control.aws.rates import serverless_per_hour
from control.aws.scaling.requests import has_tags, scaling_calls, undo_calls, without_tags
from control.s3 import S3Uri

BOTH = "while traffic moves, the old machines are billed, too"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    """A deployment in AWS's words."""

    spec: DeploymentSpec
    artifacts: tuple[Artifact, ...]  # local bundles, uploaded first
    publications: tuple[Publication, ...] = ()  # models of a multi-model endpoint
    models: tuple[Call, ...]
    config: Call
    alarms: tuple[Call, ...]
    expires: datetime | None
    endings: tuple[Call, ...]  # schedules that end it and its alarms, or their removal
    create: Call
    update: Call
    scaling: tuple[Call, ...]

    @property
    def config_name(self) -> str:
        """The configuration's, made of what it says."""
        return str(self.config.parameters["EndpointConfigName"])

    @property
    def alarm_names(self) -> list[str]:
        """All that it makes: those of updates, and what wakes it from no machine."""
        calls = (*self.alarms, *self.scaling)
        return [str(one.parameters["AlarmName"]) for one in calls if is_alarm(one)]

    def calls(self, *, is_update: bool = False) -> list[Call]:
        """What --show prints: for an endpoint that is new, or for one that exists.

        What takes something off an endpoint is sent only where it is there; a variant that is
        scaled for the first time is registered with tags, and a schedule that is not there is made.
        """
        parts = [
            *(artifact.call for artifact in self.artifacts),
            *(one.call for one in self.publications),
            *self.models,
            self.config,
            *self.alarms,
        ]
        if not is_update:
            return [*parts, *self.endings, self.create, *self.scaling]
        endings = map(moved, self.endings)
        dropped, scaling = _dropped(self.spec), _of_scaled(self.scaling)
        return [*parts, self.update, *endings, *dropped, *scaling]


def plan_endpoint(spec: DeploymentSpec, account: Account) -> EndpointPlan:
    """Everything that is asked for. Local bundles are read; AWS is asked for short names only.

    Raises UsageError, BundleError: a bundle is missing or damaged. SpecError: no update could go
    as the file says. HostError, AwsError.
    """
    check_parts(spec)
    artifacts, data = _data_of(spec)
    resolved = Resolved(
        role=account.role_arn(spec.place.role),
        expiry_role=account.role_arn(spec.place.expiry_role) if spec.ttl_hours else "",
        images={one.name: image for one, image in _images(spec, account)},
        data=data,
    )
    config = config_call(spec, resolved)
    name = str(config.parameters["EndpointConfigName"])
    expires = expires_at(spec.ttl_hours)
    alarms, scaling = alarm_calls(spec), list(_scaling(spec))
    names = [one.parameters["AlarmName"] for one in (*alarms, *scaling) if is_alarm(one)]
    return EndpointPlan(
        spec=spec,
        artifacts=artifacts,
        publications=_publications(spec, account),
        models=tuple(model_calls(spec, resolved)),
        config=config,
        alarms=tuple(alarms),
        expires=expires,
        endings=tuple(_endings(spec.name, expires, resolved.expiry_role, names)),
        create=create_call(spec, name, expires),
        update=update_call(spec, name, deployment_config(spec)),
        scaling=tuple(scaling),
    )


def check_parts(spec: DeploymentSpec) -> None:
    """Raises SpecError: an update begins with a part of the machines, and there is one alone.

    What scaling may add is looked at when it is updated.
    """
    for one in () if spec.serverless else spec.variants:
        most = max(one.instance_count, spec.scaling.maximum if spec.scaling else 0)
        if not spec.update.takes(most):
            raise SpecError(
                f"{spec.path}: update.strategy: {spec.update.strategy} begins with half of the "
                f"machines at most, and variant {one.name} has {most}: give instance_count = "
                f'{FEWEST} or more, or take "all-at-once", which alarms take back, too'
            )


def check_regions(plan: EndpointPlan, account: Account) -> None:
    """Raises UsageError: an image lies in another region than the endpoint. Asks nobody."""
    for call in plan.models:
        check_image_region(call.parameters["PrimaryContainer"]["Image"], account, "endpoint")


def costs_of(spec: DeploymentSpec, *, is_update: bool = False) -> list[Cost]:
    """What is billed while the endpoint lives."""
    note = BOTH if is_update else ""
    hours = spec.ttl_hours or None
    if spec.serverless:
        return [serverless_cost(spec.name, spec.serverless, hours)]
    return [
        instances(
            max(one.instance_count, spec.scaling.maximum if spec.scaling else 0),
            one.instance_type,
            "hosting",
            f"endpoint {spec.name}, variant {one.name}" + (", scaled out" if spec.scaling else ""),
            hours,
            note=note,
        )
        for one in spec.variants
    ]


def serverless_cost(name: str, options: Serverless, hours: float | None) -> Cost:
    """By use: at worst as many answer at a time as may, without a pause, until the end."""
    most, kept = options.max_concurrency, options.provisioned_concurrency
    note = "by use: that is while all of them answer; nothing while nobody asks"
    if kept:
        note = f"{kept} kept warm are billed all the time, and this table has no price for it"
    return Cost(
        what=f"serverless, {options.memory_mb} MB, {most} at a time, endpoint {name}",
        per_hour=None if kept else most * serverless_per_hour(options.memory_mb),
        hours=hours,
        note=note,
    )


def _data_of(spec: DeploymentSpec) -> tuple[tuple[Artifact, ...], dict[str, str]]:
    """(what is uploaded, variant -> where its model is). The same bundle is read once."""
    artifacts: dict[Path, Artifact] = {}
    data: dict[str, str] = {}
    for variant in spec.variants:
        if isinstance(variant.bundle, Path):
            if variant.bundle not in artifacts:
                target = S3Uri.parse(spec.place.artifacts).folder()
                artifacts[variant.bundle] = artifact_of(variant.bundle, target, spec.name)
            data[variant.name] = str(artifacts[variant.bundle].uri)
        else:
            data[variant.name] = str(
                variant.bundle or (spec.multi_model.prefix if spec.multi_model else "")
            )
    return tuple(artifacts.values()), data


def _publications(spec: DeploymentSpec, account: Account) -> tuple[Publication, ...]:
    if not spec.multi_model:
        return ()
    store = ModelStore(account, spec.multi_model.prefix)
    return tuple(publications(store, spec.multi_model.models))


def _images(spec: DeploymentSpec, account: Account) -> Iterator[tuple[Variant, str]]:
    known: dict[str, str] = {}
    for variant in spec.variants:
        image = image_of(spec.place, variant.instance_type)
        if image not in known:
            is_serverless = spec.kind == "serverless"
            known[image] = complete_image(account, image, is_serverless=is_serverless)
        yield variant, known[image]


def is_alarm(call: Call) -> bool:
    """Whether the request makes an alarm."""
    return call.operation == "PutMetricAlarm"


def _endings(
    name: str, expires: datetime | None, role: str, alarms: Sequence[str]
) -> Iterator[Call]:
    """What an earlier endpoint of this name has left would end this one's, too."""
    kinds: tuple[Kind, ...] = ("endpoint", "alarms") if alarms else ("endpoint",)
    for kind in kinds:
        if expires is None:
            yield end_expiry_call(kind, name)
        else:
            yield expiry_call(kind, name, expires, role, alarms if kind == "alarms" else ())


def _of_scaled(calls: Sequence[Call]) -> list[Call]:
    """Of variants that are registered already, as those of an endpoint that exists usually are."""
    return [without_tags(one) if has_tags(one) else one for one in calls]


def _dropped(spec: DeploymentSpec) -> Iterator[Call]:
    """What takes off an endpoint that exists what this file does not ask for."""
    names = [one.name for one in spec.variants]
    if not spec.scaling:
        for name in names:
            yield from undo_calls(spec.name, name, spec.kind)
    if not spec.update.has_auto_alarms:
        yield from map(alarm_removal, auto_alarm_names(spec.name, names))


def _scaling(spec: DeploymentSpec) -> Iterator[Call]:
    if spec.scaling is None:
        return
    for variant in spec.variants:
        yield from scaling_calls(spec.name, variant.name, spec.kind, spec.scaling, spec.place.tags)
