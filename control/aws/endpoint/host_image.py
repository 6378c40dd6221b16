"""HostImage: the machine image of a GPU endpoint whose driver fits the CUDA in our container.

SageMaker's own choice for most GPU types is a driver from 2021, on which an image with CUDA 12 or
newer does not start; the right one has to be asked for, in InferenceAmiVersion.
"""

from dataclasses import dataclass
from pathlib import Path

from contract.errors import SpecError
from control.aws.endpoint.place import EndpointPlace
from control.aws.machines import IMAGE_CUDA as IMAGE_CUDA
from control.aws.machines import Version as Version
from control.aws.machines import check_chips, check_gpu, family_of, repository_of
from control.aws.machines import has_gpu as has_gpu
from control.aws.machines import is_arm as is_arm

CPU_IMAGE, GPU_IMAGE = "kennel-serve-cpu", "kennel-serve"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostImage:
    """One InferenceAmiVersion."""

    name: str
    driver: int  # NVIDIA's
    cuda: Version  # the newest that the driver knows


# Source: SageMaker API reference, ProductionVariant, InferenceAmiVersion (2026); oldest first.
HOST_IMAGES = (
    HostImage(name="al2-ami-sagemaker-inference-gpu-2", driver=535, cuda=(12, 2)),
    HostImage(name="al2-ami-sagemaker-inference-gpu-2-1", driver=535, cuda=(12, 2)),
    HostImage(name="al2-ami-sagemaker-inference-gpu-3-1", driver=550, cuda=(12, 4)),
    HostImage(name="al2023-ami-sagemaker-inference-gpu-4-1", driver=580, cuda=(13, 0)),
)
NEURON = "al2-ami-sagemaker-inference-neuron-2"
# What a type gets unasked. Source: developer guide, inference-gpu-drivers (2026).
USUAL_CUDA: dict[str, Version] = {
    **dict.fromkeys(("p2", "p3", "p3dn", "p4d", "p4de", "g4dn", "g5"), (11, 4)),
    **dict.fromkeys(("p5", "g6"), (12, 2)),
    # Not listed there; offered since before any driver for CUDA 13.
    **dict.fromkeys(("g6e", "gr6"), (12, 2)),
    **dict.fromkeys(("p5e", "p5en"), (12, 4)),
}


def has_local_disk(instance_type: str) -> bool:
    """Types with a disk of their own take no KMS key: it is encrypted by the hardware."""
    family = family_of(instance_type)
    return (has_gpu(instance_type) and family not in ("p2", "p3")) or "d" in family[2:]


def image_of(place: EndpointPlace, instance_type: str) -> str:
    """The image that the file names, or ours for this type."""
    return place.image or (GPU_IMAGE if has_gpu(instance_type) else CPU_IMAGE)


def is_ours(image: str) -> bool:
    """Whether the image's repository is one of build_and_push.sh's."""
    return repository_of(image) in (CPU_IMAGE, GPU_IMAGE)


def cuda_of(place: EndpointPlace) -> Version | None:
    """The CUDA in the container; None when the image is not ours and nobody says."""
    if place.cuda:
        major, minor = place.cuda.split(".")
        return int(major), int(minor)
    return IMAGE_CUDA if not place.image or is_ours(place.image) else None


def fits(cuda: Version, host: Version) -> bool:
    """Whether a container with `cuda` runs on a driver that knows `host`.

    Source: CUDA compatibility guide: within one major version newer containers run on older
    drivers; across them not, unless the container brings cuda-compat, which ours does not.
    """
    return cuda[0] <= host[0]


def host_image_for(instance_type: str, place: EndpointPlace) -> str:
    """The InferenceAmiVersion to ask for; empty where SageMaker's own choice fits.

    The file's own word counts first. check_host has refused what cannot work.
    """
    if place.ami or not has_gpu(instance_type):
        return place.ami
    cuda = cuda_of(place)
    if cuda is None or fits(cuda, USUAL_CUDA.get(family_of(instance_type), HOST_IMAGES[-1].cuda)):
        return ""
    # Those with -1 leave the container its own CUDA files.
    fitting = [one for one in HOST_IMAGES if one.name.endswith("-1") and fits(cuda, one.cuda)]
    enough = [one for one in fitting if one.cuda >= cuda]
    return (enough or fitting[-1:])[0].name


def check_host(path: Path, instance_type: str, place: EndpointPlace) -> None:
    """Raises SpecError for a type, an image and a host image that cannot work together."""
    if is_ours(image_of(place, instance_type)):
        check_chips(f"{path}: aws.instance_type", instance_type)
        if place.image and CPU_IMAGE in place.image and has_gpu(instance_type):
            raise SpecError(
                f"{path}: aws.image: {CPU_IMAGE} leaves the GPU of {instance_type} idle: take "
                f"{GPU_IMAGE}, or a CPU type"
            )
        if repository_of(place.image) == GPU_IMAGE and not has_gpu(instance_type):
            raise SpecError(
                f"{path}: aws.image: {GPU_IMAGE} wants a GPU, and there is none here: take "
                f"{CPU_IMAGE}"
            )
    if place.kms_key and has_local_disk(instance_type):
        raise SpecError(
            f"{path}: aws.kms_key: {instance_type} has a disk of its own, which takes no key"
        )
    if has_gpu(instance_type):
        _check_gpu(path, instance_type, place)
    elif place.ami and place.ami != NEURON:
        raise SpecError(f"{path}: aws.ami: {instance_type} has no GPU: leave it out")


def _check_gpu(path: Path, instance_type: str, place: EndpointPlace) -> None:
    cuda = cuda_of(place)
    check_gpu(f"{path}: aws.instance_type", instance_type, cuda)
    hosts = {one.name: one for one in HOST_IMAGES}
    if place.ami and place.ami not in hosts:
        raise SpecError(f"{path}: aws.ami: expected {' | '.join(hosts)}, got {place.ami!r}")
    if place.ami and cuda and not fits(cuda, hosts[place.ami].cuda):
        host = hosts[place.ami]
        raise SpecError(
            f"{path}: aws.ami: the driver of {host.name} ({host.driver}) knows CUDA "
            f"{host.cuda[0]}.{host.cuda[1]} and the image has {cuda[0]}.{cuda[1]}: leave ami out, "
            "the right one is picked"
        )
    if cuda and not any(fits(cuda, one.cuda) for one in HOST_IMAGES):
        raise SpecError(
            f"{path}: aws.cuda: no host image of SageMaker's knows CUDA {cuda[0]}.{cuda[1]}; the "
            f"newest knows {HOST_IMAGES[-1].cuda[0]}.{HOST_IMAGES[-1].cuda[1]}"
        )
