"""InstancePlan: the call that starts the instance of one job, and what it may cost."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from contract.errors import SpecError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.ec2.ec2_place import Ec2Place
from control.aws.ec2.instance_request import instance_job, request_for_instance
from control.aws.machines import check_instance
from control.aws.money import Cost, instances
from control.aws.names import stamped
from control.aws_place import AwsPlace
from control.job_spec import JobSpec

NO_DEBUG = "[debugger], [profiler] and [rules] need SageMaker; on an instance the job goes without"
NO_CHECKPOINTS = (
    "aws.checkpoints: an instance has none in S3: the job begins anew, and keeps no more than its "
    "network"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePlan:
    """What is sent for one job, and what it may cost."""

    name: str  # of the job in AWS
    calls: tuple[Call, ...]
    costs: tuple[Cost, ...]
    output: str  # s3://BUCKET/PREFIX, above the job's own folder
    limit_seconds: int  # after that the instance has ended itself
    notes: tuple[str, ...] = ()  # what the file says and an instance has not

    @property
    def script(self) -> str:
        """The user data, for a person."""
        return str(self.calls[-1].parameters["UserData"])


def plan_instance(spec: JobSpec, account: Account, at: float | None = None) -> InstancePlan:
    """Asks AWS for nothing but what a short name of the image stands for.

    Args:
        at: seconds since 1970, for the job's name; now.

    Raises SpecError: no [aws], what an instance has not, or too long for user data; UsageError,
    AwsError.
    """
    if spec.aws is None:
        raise SpecError(f"job {spec.name}: --on ec2 needs a table [aws]: see jobs/dogs_ec2.toml")
    _check_safety(spec.aws, spec.ec2)
    check_instance_type(spec.aws.image, spec.ec2)
    name = stamped(spec.name, at=at)
    aws = replace(spec.aws, image=account.image_uri(spec.aws.image))
    job = instance_job(spec, aws, spec.ec2, name)
    kind, hours = spec.ec2.instance_type, job.limit_seconds / 3600
    cost = instances(1, kind, "ec2", f"instance for {spec.name}", hours)
    if spec.ec2.spot:
        cost = replace(cost, note="spot: usually a third of it")
    return InstancePlan(
        name=name,
        calls=(request_for_instance(spec, aws, spec.ec2, job),),
        costs=(cost,),
        output=aws.output,
        limit_seconds=job.limit_seconds,
        notes=tuple(_notes(spec, spec.aws)),
    )


def check_instance_type(image: str, ec2: Ec2Place) -> None:
    """Raises SpecError: EC2 has no such type, or the image does not compute on its chips."""
    has_own_ami = bool(ec2.ami or ec2.ami_parameter)
    check_instance(image, ec2.instance_type, has_own_ami=has_own_ami)


def _check_safety(aws: AwsPlace, ec2: Ec2Place) -> None:
    """Raises SpecError: the file asks for a protection, or a size, that an instance has not."""
    if aws.network_isolation:
        raise SpecError(
            "aws.network_isolation: on an instance the job could use the network: leave it out, "
            "or take --on aws"
        )
    if aws.subnets and not (ec2.subnet and ec2.security_group):
        raise SpecError(
            "aws.subnets, aws.security_groups: an instance is not in this VPC unless [ec2] says "
            "so: give subnet and security_group there, or take --on aws"
        )
    if aws.instance_count != 1:
        raise SpecError(
            f"aws.instance_count: a job on EC2 has one machine, and this asks for "
            f"{aws.instance_count}: add --instances 1, or take --on aws"
        )


def _notes(spec: JobSpec, aws: AwsPlace) -> Iterator[str]:
    if spec.debug.is_on:
        yield NO_DEBUG
    if aws.checkpoints:
        yield NO_CHECKPOINTS
