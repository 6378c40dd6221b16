"""DeploymentSpec: what a person asks to be served, read from a TOML file that is checked first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from contract.errors import SpecError
from control.aws.endpoint.fields import Fields
from control.aws.endpoint.host_image import check_host, has_gpu
from control.aws.endpoint.multi_spec import MultiModelSpec, multi_model_in
from control.aws.endpoint.options import (
    Asynchronous,
    Capture,
    Serverless,
    asynchronous_in,
    capture_in,
    serverless_in,
)
from control.aws.endpoint.place import EndpointPlace, endpoint_place_in
from control.aws.endpoint.transform_spec import TransformSpec, transform_in
from control.aws.endpoint.update_policy import UpdatePolicy, update_policy_in
from control.aws.endpoint.variant import Variant, bundle_in, variants_in
from control.aws.machines import check_type
from control.aws.scaling.policy import ScalingSpec, scaling_in
from control.bundle_source import find_bundle
from control.job_spec import NAME_PATTERN, name_from
from control.toml_file import read_toml, table_in, text_in

Kind = Literal["real-time", "serverless", "asynchronous", "multi-model", "batch"]
KINDS: tuple[Kind, ...] = ("real-time", "serverless", "asynchronous", "multi-model", "batch")
PLAIN = ("name", "kind", "bundle", "ttl_hours")
TABLES = (
    *("aws", "variants", "serverless", "asynchronous", "capture", "update", "scaling"),
    *("multi_model", "transform"),
)
TTL_HOURS = 4.0  # a demonstration has an end
MOST_TTL_HOURS = 24.0 * 365
DELETABLE_SECONDS = 600  # until its machines are there, before the container starts
LONGEST_NAME = 45  # 63 less what names of models and configurations add


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """One endpoint, or one batch transform, as a person describes it."""

    path: Path  # of the file; what is relative in it is so to its folder
    name: str  # the endpoint's
    kind: Kind = "real-time"
    ttl_hours: float = TTL_HOURS  # 0: until it is deleted
    place: EndpointPlace = field(default_factory=EndpointPlace)
    variants: tuple[Variant, ...]
    serverless: Serverless | None = None
    asynchronous: Asynchronous | None = None
    capture: Capture | None = None
    update: UpdatePolicy = field(default_factory=UpdatePolicy)
    scaling: ScalingSpec | None = None
    multi_model: MultiModelSpec | None = None
    transform: TransformSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentOverrides:
    """What the command line says on top of the file."""

    name: str | None = None
    bundle: str | None = None  # what find_bundle takes, from the current folder, or s3://...
    instance_type: str | None = None
    instance_count: int | None = None
    ttl_hours: float | None = None


def read_deployment(path: Path, overrides: DeploymentOverrides | None = None) -> DeploymentSpec:
    """Read and check a deployment; nothing is asked of AWS. Raises SpecError, UsageError."""
    data = _overridden(read_toml(path, "deployment"), overrides or DeploymentOverrides())
    top = Fields(path, "", data).known((*PLAIN, *TABLES))
    kind: Any = top.one_of("kind", KINDS, "real-time")
    place = endpoint_place_in(Fields(path, "aws", table_in(path, data, "aws")))
    spec = DeploymentSpec(
        path=path,
        name=text_in(path, data, "name") or name_from(path),
        kind=kind,
        ttl_hours=top.number("ttl_hours", 0.0, MOST_TTL_HOURS, TTL_HOURS),
        place=place,
        variants=_variants_of(top, kind, place),
        serverless=_table(path, data, "serverless", kind == "serverless", serverless_in),
        asynchronous=_table(path, data, "asynchronous", kind == "asynchronous", asynchronous_in),
        capture=_table(path, data, "capture", False, capture_in),
        update=update_policy_in(Fields(path, "update", table_in(path, data, "update"))),
        scaling=_foreign(path, data, "scaling", scaling_in),
        multi_model=_foreign(path, data, "multi_model", multi_model_in),
        transform=_foreign(path, data, "transform", transform_in),
    )
    _check(spec, data)
    return spec


def _overridden(data: dict[str, Any], overrides: DeploymentOverrides) -> dict[str, Any]:
    """The file's data with what the command line says in its place."""
    if overrides.bundle is not None and "variants" in data:
        raise SpecError("--bundle: the file has [[variants]]: change the bundle of one there")
    bundle = overrides.bundle
    if bundle is not None and not bundle.startswith("s3://"):
        bundle = str(find_bundle(Path(bundle)).absolute())
    plain = {"name": overrides.name, "bundle": bundle, "ttl_hours": overrides.ttl_hours}
    machines = {
        "instance_type": overrides.instance_type,
        "instance_count": overrides.instance_count,
    }
    changed = {name: value for name, value in machines.items() if value is not None}
    if changed and isinstance(data.get("aws", {}), dict):
        data = {**data, "aws": {**data.get("aws", {}), **changed}}
    return {**data, **{name: value for name, value in plain.items() if value is not None}}


def _variants_of(top: Fields, kind: Kind, place: EndpointPlace) -> tuple[Variant, ...]:
    if "variants" in top.table:
        if "bundle" in top.table:
            raise SpecError(f"{top.path}: give bundle, or [[variants]] with a bundle each")
        if kind in ("multi-model", "batch", "serverless"):
            raise SpecError(f"{top.path}: variants: a {kind} deployment has one model: give bundle")
        return variants_in(top.path, top.table["variants"], place)
    if kind == "multi-model":
        if "bundle" in top.table:
            raise SpecError(f"{top.path}: bundle: a multi-model endpoint has [multi_model] models")
        bundle = None
    else:
        bundle = bundle_in(top)
    return (
        Variant(
            bundle=bundle,
            instance_type=place.instance_type,
            instance_count=place.instance_count,
        ),
    )


def _table(path: Path, data: Mapping[str, Any], name: str, is_kind: bool, read: Any) -> Any:
    """What `read` makes of the table `name`; None when there is none and the kind needs none."""
    if name not in data and not is_kind:
        return None
    return read(Fields(path, name, table_in(path, data, name)))


def _foreign(path: Path, data: Mapping[str, Any], name: str, read: Any) -> Any:
    """As `_table`, with a reader that takes the table itself."""
    return read(path, table_in(path, data, name)) if name in data else None


def _check(spec: DeploymentSpec, data: Mapping[str, Any]) -> None:
    """What does not go together. Raises SpecError."""
    path = spec.path
    if not NAME_PATTERN.fullmatch(spec.name) or len(spec.name) > LONGEST_NAME:
        raise SpecError(
            f"{path}: name: expected at most {LONGEST_NAME} letters, digits and single hyphens, "
            f"got {spec.name!r}"
        )
    owners = {"serverless": "serverless", "asynchronous": "asynchronous"}
    owners |= {"multi_model": "multi-model", "transform": "batch"}
    for table, kind in owners.items():
        if table in data and spec.kind != kind:
            raise SpecError(f'{path}: [{table}] is for kind = "{kind}", and this is {spec.kind}')
    for table, kind in (("multi_model", "multi-model"), ("transform", "batch")):
        if spec.kind == kind and table not in data:
            raise SpecError(f'{path}: kind = "{kind}" needs a table [{table}]')
    for name in ("ttl_hours", "scaling", "capture", "update"):
        if spec.kind == "batch" and name in data:
            raise SpecError(f'{path}: {name}: kind = "batch" ends by itself: leave it out')
    if spec.update.has_auto_alarms and (spec.kind == "asynchronous" or len(spec.variants) > 5):
        raise SpecError(
            f'{path}: update.alarms: "auto" is for up to five variants that answer at once: name '
            "alarms of your own"
        )
    _check_foreign(spec)
    shortest = (2 * spec.place.startup_seconds + DELETABLE_SECONDS) / 3600
    if 0 < spec.ttl_hours < shortest and spec.kind != "batch":
        raise SpecError(
            f"{path}: ttl_hours: expected 0, or at least {shortest:.2f}: AWS deletes no endpoint "
            f"that is still being made, got {spec.ttl_hours:g}"
        )
    local = [one for one in spec.variants if isinstance(one.bundle, Path)]
    if local and not spec.place.artifacts:
        raise SpecError(
            f'{path}: aws.artifacts: expected where bundles go, e.g. "s3://BUCKET/models", or '
            "give bundle as s3://BUCKET/.../model.tar.gz"
        )
    if spec.kind == "serverless":
        _check_serverless(spec, data)
        return
    if spec.update.strategy == "rolling" and len(spec.variants) > 1:
        raise SpecError(f"{path}: update.strategy: rolling works with one variant only")
    for variant in spec.variants:
        check_host(path, variant.instance_type, spec.place)
        check_type(
            f"{path}: aws.instance_type",
            variant.instance_type,
            "transform" if spec.kind == "batch" else "hosting",
        )


def _check_foreign(spec: DeploymentSpec) -> None:
    """What the owners of tables say about the rest of the file."""
    try:
        if spec.scaling:
            spec.scaling.check_kind(spec.kind)
            if of := spec.serverless:
                spec.scaling.check_concurrency(of.max_concurrency, of.provisioned_concurrency)
        if spec.multi_model:
            machine = spec.place.instance_type
            spec.multi_model.check_instance_type(machine, is_gpu=has_gpu(machine))
    except SpecError as error:
        raise SpecError(f"{spec.path}: {error}") from None


def _check_serverless(spec: DeploymentSpec, data: Mapping[str, Any]) -> None:
    """Source: SageMaker developer guide, serverless endpoints, feature exclusions."""
    given = data.get("aws", {})
    refused = {
        "aws.instance_type": "instance_type" in given,
        "aws.instance_count": "instance_count" in given,
        "aws.subnets": bool(spec.place.subnets),
        "aws.network_isolation": spec.place.network_isolation,
        "aws.kms_key": bool(spec.place.kms_key),
        "aws.ami": bool(spec.place.ami),
        "capture": spec.capture is not None,
    }
    for name, is_there in refused.items():
        if is_there:
            raise SpecError(
                f"{spec.path}: {name}: a serverless endpoint has none: leave it out, or take "
                'kind = "real-time"'
            )
    # Source: SageMaker developer guide, deployment guardrails: of machines only.
    policy = spec.update
    shifted = {
        "strategy": policy.strategy != "all-at-once",
        "keep_seconds": bool(policy.keep_seconds),
        "alarms": bool(policy.alarms) or policy.has_auto_alarms,
    }
    for name, is_there in shifted.items():
        if is_there:
            raise SpecError(
                f"{spec.path}: update.{name}: a serverless endpoint is updated all at once, and no "
                "alarm takes that back: leave it out"
            )
    check_host(spec.path, spec.place.instance_type, spec.place)
