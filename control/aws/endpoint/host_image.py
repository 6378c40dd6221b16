"""HostImage: the machine image of a GPU endpoint whose driver fits the CUDA in our container.

SageMaker's own choice for most GPU types is a driver from 2021, on which an image with CUDA 12 or
newer does not start; the right one has to be asked for, in InferenceAmiVersion.
"""

from dataclasses import dataclass
from pathlib import Path

from contract.errors import SpecError
from control.aws.endpoint.place import EndpointPlace

Version = tuple[int, int]
# In our images: cuda-toolkit in docker/requirements/serve.lock (a test compares).
IMAGE_CUDA: Version = (13, 0)
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
# Families whose chips a CUDA version has given up. Source: CUDA 13.0 release notes: Maxwell,
# Pascal and Volta; CUDA 12.0: Kepler.
LAST_CUDA = {"p2": 11, "p3": 12, "p3dn": 12}
# No NVIDIA chip that our image computes on: Inferentia, Trainium, or ARM beside the GPU.
FOREIGN = ("inf1", "inf2", "trn1", "trn1n", "trn2", "g5g", "p6e")


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


def has_local_disk(instance_type: str) -> bool:
    """Types with a disk of their own take no KMS key: it is encrypted by the hardware."""
    family = family_of(instance_type)
    return (has_gpu(instance_type) and family not in ("p2", "p3")) or "d" in family[2:]


def image_of(place: EndpointPlace, instance_type: str) -> str:
    """The image that the file names, or ours for this type."""
    return place.image or (GPU_IMAGE if has_gpu(instance_type) else CPU_IMAGE)


def is_ours(image: str) -> bool:
    """Whether the image's repository is one of build_and_push.sh's."""
    return _repository(image) in (CPU_IMAGE, GPU_IMAGE)


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
    family = family_of(instance_type)
    if is_ours(image_of(place, instance_type)):
        if family in FOREIGN or is_arm(instance_type):
            raise SpecError(
                f"{path}: aws.instance_type: {instance_type} has other chips than our images "
                "compute on (x86-64, NVIDIA): take e.g. ml.m5.large or ml.g4dn.xlarge"
            )
        if place.image and CPU_IMAGE in place.image and has_gpu(instance_type):
            raise SpecError(
                f"{path}: aws.image: {CPU_IMAGE} leaves the GPU of {instance_type} idle: take "
                f"{GPU_IMAGE}, or a CPU type"
            )
        if _repository(place.image) == GPU_IMAGE and not has_gpu(instance_type):
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
    last = LAST_CUDA.get(family_of(instance_type))
    if cuda and last and cuda[0] > last:
        raise SpecError(
            f"{path}: aws.instance_type: CUDA {cuda[0]}.{cuda[1]}, which the image has, does not "
            f"know the GPU of {instance_type} any more: take ml.g4dn, ml.g5 or newer"
        )
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


def _repository(image: str) -> str:
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]
