"""Machines: what an instance type's name says of its chips, and whether AWS has such a type."""

from collections.abc import Mapping

from contract.errors import SpecError
from contract.strict import nearest
from control.aws.prices import Use, price_per_hour
from control.aws_client import known_values
from control.aws_place import TRAIN_IMAGE, AwsPlace

Version = tuple[int, int]
# In our images: cuda-toolkit in docker/requirements/serve.lock (a test compares).
IMAGE_CUDA: Version = (13, 0)
# Families whose chips a CUDA version has given up. Source: CUDA 13.0 release notes: Maxwell,
# Pascal and Volta; CUDA 12.0: Kepler.
LAST_CUDA = {"p2": 11, "p3": 12, "p3dn": 12}
# No NVIDIA chip that our image computes on: Inferentia, Trainium, or ARM beside the GPU.
FOREIGN = ("inf1", "inf2", "trn1", "trn1n", "trn2", "g5g", "p6e")
# Each use with the service and the name of its list in AWS's own model, which boto3 brings.
LISTS: Mapping[Use, tuple[str, str]] = {
    "training": ("sagemaker", "TrainingInstanceType"),
    "hosting": ("sagemaker", "ProductionVariantInstanceType"),
    "transform": ("sagemaker", "TransformInstanceType"),
    "ec2": ("ec2", "InstanceType"),
}


def family_of(instance_type: str) -> str:
    """`g4dn` of ml.g4dn.xlarge."""
    return instance_type.removeprefix("ml.").partition(".")[0]


def has_gpu(instance_type: str) -> bool:
    """Whether the type has NVIDIA's chips: families g and p."""
    family = family_of(instance_type)
    return (family[:1] in ("g", "p") and family[1:2].isdigit()) or family.startswith("gr")


def is_arm(instance_type: str) -> bool:
    """Graviton: a `g` after the generation, as in c7g, m6gd, r8g."""
    family = family_of(instance_type)
    return not has_gpu(instance_type) and family[2:3] == "g"


def repository_of(image: str) -> str:
    """`kennel-serve` of an image's URI, or of its short name."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def check_chips(where: str, instance_type: str) -> None:
    """For our images. Raises SpecError: they do not compute on these chips."""
    if family_of(instance_type) in FOREIGN or is_arm(instance_type):
        raise SpecError(
            f"{where}: {instance_type} has other chips than our images compute on (x86-64, "
            f"NVIDIA): take e.g. {_like(instance_type, 'm5.large')} or "
            f"{_like(instance_type, 'g4dn.xlarge')}"
        )


def check_gpu(where: str, instance_type: str, cuda: Version | None) -> None:
    """Raises SpecError: this CUDA no longer knows the type's GPU."""
    last = LAST_CUDA.get(family_of(instance_type))
    if cuda and last and cuda[0] > last:
        raise SpecError(
            f"{where}: CUDA {cuda[0]}.{cuda[1]}, which the image has, does not know the GPU of "
            f"{instance_type} any more: take {_like(instance_type, 'g4dn')}, "
            f"{_like(instance_type, 'g5')} or newer"
        )


def check_type(where: str, instance_type: str, use: Use) -> None:
    """Raises SpecError: AWS has no such type for this use, as far as boto3 knows."""
    if price_per_hour(instance_type, use) is not None:
        return
    known = known_values(*LISTS[use])
    if instance_type in known:
        return
    near = nearest(instance_type, known)
    hint = f" (did you mean {near}?)" if near else ""
    what = "EC2" if use == "ec2" else use
    raise SpecError(
        f"{where}: the boto3 here knows no {instance_type} for {what}{hint}; a type newer than it "
        "needs `pip install --upgrade boto3`"
    )


def check_training(place: AwsPlace) -> None:
    """The machines of a training job. Raises SpecError."""
    where, kind = "aws.instance_type", place.instance_type
    if repository_of(place.image) == TRAIN_IMAGE:
        check_chips(where, kind)
        check_gpu(where, kind, IMAGE_CUDA)
    check_type(where, kind, "training")


def check_instance(image: str, instance_type: str, *, has_own_ami: bool) -> None:
    """The machine of a job on EC2. Raises SpecError.

    Args:
        has_own_ami: whoever brings the machine's system may know other chips, but no other GPU.
    """
    where = "ec2.instance_type"
    if repository_of(image) == TRAIN_IMAGE:
        if not has_own_ami:
            check_chips(where, instance_type)
        check_gpu(where, instance_type, IMAGE_CUDA)
    check_type(where, instance_type, "ec2")


def _like(instance_type: str, other: str) -> str:
    """`other` spelled as this one is: SageMaker's begin with ml., those of EC2 do not."""
    return f"ml.{other}" if instance_type.startswith("ml.") else other
