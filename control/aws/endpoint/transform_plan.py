"""TransformPlan: a batch transform in AWS's words: what is uploaded, made, and may cost."""

from dataclasses import dataclass, replace
from pathlib import Path

from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.artifact import Artifact, artifact_of
from control.aws.endpoint.deployment import DeploymentSpec
from control.aws.endpoint.host_image import image_of
from control.aws.endpoint.image import complete_image
from control.aws.endpoint.request import Resolved
from control.aws.endpoint.transform_request import manifest_call, transform_calls, transform_of
from control.aws.money import Cost, instances
from control.s3 import S3Uri


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformPlan:
    """One job and what it needs."""

    spec: DeploymentSpec
    artifact: Artifact | None  # a local bundle, uploaded first
    model_data: str  # s3://.../model.tar.gz
    role: str  # ARN
    image: str  # URI

    def calls(self, name: str) -> list[Call]:
        """CreateModel and CreateTransformJob, for a job of this name. Raises SpecError."""
        variant = self.spec.variants[0].name
        resolved = Resolved(
            role=self.role,
            expiry_role="",
            images={variant: self.image},
            data={variant: self.model_data},
        )
        return transform_calls(self.spec, resolved, name)

    def shown(self, name: str) -> list[Call]:
        """What --show prints."""
        transform = transform_of(self.spec)
        calls = [self.artifact.call] if self.artifact else []
        if transform.is_only_pictures:
            calls.append(manifest_call(transform, name, f"(the pictures below {transform.input})"))
        return [*calls, *self.calls(name)]

    @property
    def cost(self) -> Cost:
        """What the machines cost when the job needs all its time."""
        transform = transform_of(self.spec)
        cost = instances(
            self.spec.place.instance_count,
            self.spec.place.instance_type,
            "transform",
            f"transform job {self.spec.name}",
            transform.max_run_seconds / 3600,
        )
        return replace(cost, note="ends by itself; the limit holds while somebody follows it")


def plan_transform(spec: DeploymentSpec, account: Account) -> TransformPlan:
    """Local bundles are read; AWS is asked for short names only.

    Raises UsageError, BundleError: no bundle, or a damaged one. HostError, AwsError: the image.
    """
    (variant,) = spec.variants
    artifact, data = None, str(variant.bundle)
    if isinstance(variant.bundle, Path):
        folder = S3Uri.parse(spec.place.artifacts).folder()
        artifact = artifact_of(variant.bundle, folder, spec.name)
        data = str(artifact.uri)
    return TransformPlan(
        spec=spec,
        artifact=artifact,
        model_data=data,
        role=account.role_arn(spec.place.role),
        image=complete_image(account, image_of(spec.place, variant.instance_type)),
    )
