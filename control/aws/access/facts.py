"""Facts: what one job, tuning or deployment file says about names, places and roles."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from contract.rules import STOP
from control.aws.access.scope import EC2, ENDPOINT, EXPIRY, TRAINING, Places
from control.aws.ec2.ec2_place import Ec2Place
from control.aws.endpoint.deployment import DeploymentSpec, read_deployment
from control.aws.endpoint.host_image import image_of
from control.aws.house.wanted import is_deployment, is_tuning
from control.aws.names import stamped_pattern
from control.aws.tuning.tuning_plan import LONGEST_NAME
from control.aws_place import AwsPlace
from control.debug_spec import DebugSpec
from control.job_spec import read_job_file
from control.s3 import SCHEME, S3Uri
from control.toml_file import read_toml
from control.tuning_file import read_tuning

T = TypeVar("T")
HOUSE = frozenset({"list", "cleanup", "doctor", "data"})
HOSTING = frozenset({"deploy", "predict", "scale", "lambda"})
RESOLVED = "resolve:ssm:"


def unique(items: Iterable[T]) -> tuple[T, ...]:
    """Each once, in their order."""
    return tuple(dict.fromkeys(items))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one file says, before account and region are known."""

    commands: frozenset[str] = frozenset()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # field of Scope -> patterns
    trained: Places = field(default_factory=Places)
    served: Places = field(default_factory=Places)
    pushed: tuple[S3Uri, ...] = ()
    keys: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    train_images: tuple[str, ...] = ()
    serve_images: tuple[str, ...] = ()
    roles: tuple[tuple[str, str], ...] = ()
    is_in_vpc: bool = False
    has_stops: bool = False
    ami_parameters: tuple[str, ...] = ()
    key_names: tuple[str, ...] = ()


def facts_of(path: Path) -> Facts:
    """What the file needs. Raises SpecError and its like, as the command that runs it would."""
    data = read_toml(path, "job, tuning or deployment description")
    if is_tuning(data):
        tuning = read_tuning(path)
        found = _of_place(tuning.aws, tuning.job_debug)
        # A study may also run as one training job of the same name.
        names = {
            "tuning": (stamped_pattern(tuning.spec.name, LONGEST_NAME),),
            "training": (stamped_pattern(tuning.spec.name),),
        }
        return replace(found, commands=frozenset({"tune"}) | HOUSE, names=names)
    if is_deployment(data):
        return _of_deployment(read_deployment(path))
    job = read_job_file(path)
    found = _of_place(job.aws, job.debug)
    found = replace(found, names={"training": (stamped_pattern(job.name),)})
    return _with_ec2(found, job.ec2) if "ec2" in data else found


def _of_place(place: AwsPlace | None, debug: DebugSpec) -> Facts:
    if place is None:
        return Facts(commands=HOUSE)
    inputs = tuple(S3Uri.parse(uri) for uri in place.channels.values())
    outputs = tuple(S3Uri.parse(uri) for uri in (place.output, place.checkpoints) if uri)
    return Facts(
        commands=frozenset({"run"}) | HOUSE,
        trained=Places(read=inputs, write=outputs),
        pushed=inputs,
        keys=(place.kms_key,) if place.kms_key else (),
        train_images=(place.image,),
        roles=((TRAINING, place.role),),
        is_in_vpc=bool(place.subnets),
        has_stops=any(one.name == STOP for rule in debug.rules for one in rule.actions),
    )


def _with_ec2(found: Facts, place: Ec2Place) -> Facts:
    image = place.image_id
    return replace(
        found,
        commands=found.commands | {"run --on ec2"},
        roles=(*found.roles, (EC2, place.role)),
        ami_parameters=(image.removeprefix(RESOLVED),) if image.startswith(RESOLVED) else (),
        key_names=(place.key_name,) if place.key_name else (),
    )


def _of_deployment(spec: DeploymentSpec) -> Facts:
    place, is_batch = spec.place, spec.kind == "batch"
    bundles = [one.bundle for one in spec.variants]
    bundles += list(spec.multi_model.models.values()) if spec.multi_model else []
    read = [one for one in bundles if isinstance(one, S3Uri)]
    pushed = [S3Uri.parse(place.artifacts)] if place.artifacts else []
    write: list[S3Uri] = []
    if spec.multi_model:
        pushed.append(spec.multi_model.prefix)
    if spec.transform:
        read.append(spec.transform.input)
        write.append(spec.transform.output)
        if spec.transform.results.startswith(SCHEME):
            pushed.append(S3Uri.parse(spec.transform.results))
    if spec.asynchronous:
        write += [S3Uri.parse(x) for x in (spec.asynchronous.output, spec.asynchronous.failure)]
    if spec.capture:
        write.append(S3Uri.parse(spec.capture.s3))
    topics = spec.asynchronous
    names = (
        {"transforms": (stamped_pattern(spec.name),)}
        if is_batch
        else {
            "endpoints": (spec.name,),
            "parts": (f"{spec.name}-*",),
        }
    )
    more = frozenset({"models"} if spec.multi_model else ())
    return Facts(
        commands=(frozenset({"deploy"}) if is_batch else HOSTING | more) | HOUSE,
        names=names,
        served=Places(read=(*read, *pushed), write=tuple(write)),
        pushed=tuple(pushed),
        keys=(place.kms_key,) if place.kms_key else (),
        topics=tuple(
            x for x in ((topics.success_topic, topics.error_topic) if topics else ()) if x
        ),
        serve_images=unique(image_of(place, one.instance_type) for one in spec.variants),
        roles=(
            (ENDPOINT, place.role),
            *(((EXPIRY, place.expiry_role),) if not is_batch else ()),
        ),
        is_in_vpc=bool(place.subnets),
    )
