"""Variants: what of an endpoint can be scaled, as AWS has it or as a deployment's file says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.errors import HostError, SpecError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.payload import kind_of
from control.aws.scaling.policy import MOST_CONCURRENCY, ScalingSpec
from control.aws.scaling.requests import CONCURRENCY, NAMESPACE, SERVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """An endpoint that exists."""

    name: str
    status: str
    kind: str  # real-time (multi-model too), asynchronous or serverless
    variants: tuple[Mapping[str, Any], ...]  # as DescribeEndpoint has them
    instance_types: Mapping[str, str]  # variant -> type; none of a serverless one

    def check_ready(self, spec: ScalingSpec) -> None:
        """Raises HostError: it takes no scaling now. SpecError: it cannot be scaled so."""
        if self.status != "InService":
            raise HostError(
                f"endpoint {self.name} is {self.status}: scaling can be put on it once it is "
                "InService"
            )
        for variant in self.variants:
            if self.kind != "serverless":
                continue
            config = variant.get("CurrentServerlessConfig", {})
            most = int(config.get("MaxConcurrency", MOST_CONCURRENCY))
            try:
                spec.check_concurrency(most, int(config.get("ProvisionedConcurrency", 0)))
            except SpecError as error:
                raise SpecError(f"endpoint {self.name}: {error}") from None


def read_endpoint(account: Account, name: str) -> EndpointState | None:
    """The endpoint; None when there is none. Raises AwsError."""
    parameters = {"EndpointName": name}
    found = account.find(
        Call(service="sagemaker", operation="DescribeEndpoint", parameters=parameters),
        f"endpoint {name}",
    )
    if found is None:
        return None
    # What AWS tells of the endpoint itself suffices, but for the types: somebody may have deleted
    # the configuration of an endpoint that goes on to answer.
    config = account.find(
        Call(
            service="sagemaker",
            operation="DescribeEndpointConfig",
            parameters={"EndpointConfigName": found["EndpointConfigName"]},
        ),
        f"endpoint {name}",
    )
    configured = config["ProductionVariants"] if config else ()
    return EndpointState(
        name=name,
        status=found["EndpointStatus"],
        kind=_kind(config) if config else kind_of(found),
        variants=tuple(found.get("ProductionVariants", ())),
        instance_types={
            one["VariantName"]: one["InstanceType"] for one in configured if "InstanceType" in one
        },
    )


def scaled_variants(account: Account, endpoint: str) -> dict[str, str]:
    """Variant -> kind, of what is registered for scaling, whether the endpoint is there or not."""
    call = Call(
        service=SERVICE,
        operation="DescribeScalableTargets",
        parameters={"ServiceNamespace": NAMESPACE},
    )
    prefix = f"endpoint/{endpoint}/variant/"
    targets = account.pages(call, "ScalableTargets", f"scaling of {endpoint}")
    return {
        one["ResourceId"].removeprefix(prefix): _kind_of(one["ScalableDimension"])
        for one in targets
        if one["ResourceId"].startswith(prefix)
    }


def _kind(config: Mapping[str, Any]) -> str:
    if config.get("AsyncInferenceConfig"):
        return "asynchronous"
    if any("ServerlessConfig" in one for one in config["ProductionVariants"]):
        return "serverless"
    return "real-time"


def _kind_of(dimension: str) -> str:
    """Of instances, an asynchronous one: what undoes that undoes a real-time one as well."""
    return "serverless" if dimension == CONCURRENCY else "asynchronous"
