"""What a person asks of `kennel scale`: an endpoint by its name or its file, and a policy."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import UsageError
from control.aws.endpoint.deployment import DeploymentSpec, read_deployment
from control.aws.scaling.policy import METRICS, METRICS_OF, ScalingSpec, scaling_in
from control.toml_file import read_toml, table_in

HERE = Path("kennel scale")  # in the place of a file's name, for what the command line says
FLAGS = ("min", "max", *METRICS, "scale_in_cooldown_seconds", "scale_out_cooldown_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One endpoint and what is known of it without asking AWS."""

    name: str
    kind: str = ""  # empty: ask AWS
    variants: tuple[str, ...] = ()  # empty: all that AWS knows
    instance_types: Mapping[str, str] = field(default_factory=dict)  # variant -> type
    scaling: ScalingSpec | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def policy(self) -> ScalingSpec:
        """Raises UsageError: there is none."""
        if self.scaling is None:
            raise UsageError(
                f"no policy for {self.name}: give --max 3 --invocations-per-instance 600, or a "
                "deployment's file with [scaling]"
            )
        return self.scaling


def asked_of(arguments: argparse.Namespace) -> Asked:
    """The words of apply, show and undo. Raises UsageError, SpecError."""
    target = arguments.target
    if not is_file(target):
        return Asked(
            name=target,
            kind=arguments.kind or "",
            variants=(arguments.variant,) if arguments.variant else (),
            scaling=policy_of(arguments, None),
        )
    path = Path(target)
    deployment = read_deployment(path)
    variants = {one.name: one.instance_type for one in deployment.variants}
    scaling = policy_of(arguments, path)
    if scaling and deployment.serverless:
        scaling.check_concurrency(
            deployment.serverless.max_concurrency, deployment.serverless.provisioned_concurrency
        )
    if arguments.variant and arguments.variant not in variants:
        raise UsageError(
            f"{path} has no variant {arguments.variant!r}; known: {', '.join(variants)}"
        )
    return Asked(
        name=deployment.name,
        kind=_kind_of(deployment),
        variants=(arguments.variant,) if arguments.variant else tuple(variants),
        instance_types={} if deployment.kind == "serverless" else variants,
        scaling=scaling,
        tags=deployment.place.tags,
    )


def is_file(target: str) -> bool:
    """Whether it names a deployment's file, and not an endpoint."""
    return target.endswith(".toml")


def policy_of(arguments: argparse.Namespace, path: Path | None) -> ScalingSpec | None:
    """[scaling] of the file with what the flags say in its place; None when neither says any."""
    table: dict[str, Any] = {}
    if path is not None:
        table = dict(table_in(path, read_toml(path, "deployment"), "scaling"))
    given = {name: getattr(arguments, name) for name in FLAGS}
    flags = {name: value for name, value in given.items() if value is not None}
    if any(metric in flags for metric in METRICS):
        table = {name: value for name, value in table.items() if name not in METRICS}
    merged = {**table, **flags}
    return scaling_in(path or HERE, merged) if merged else None


def _kind_of(deployment: DeploymentSpec) -> str:
    if deployment.kind not in METRICS_OF:
        raise UsageError(f"{deployment.path}: a {deployment.kind} deployment is no endpoint")
    return deployment.kind
