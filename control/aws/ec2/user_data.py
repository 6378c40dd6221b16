"""User data: the script that an instance runs as it starts, written for one job."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.errors import SpecError
from contract.opt_ml import DEFAULT_BASE

BODY = Path(__file__).parent / "job.sh"
MOST_BYTES = 16_384  # Source: EC2 user guide, Run commands when you launch an EC2 instance
GRACE_SECONDS = 120  # from SIGTERM to SIGKILL, as SageMaker has it
# Around the container: image and pictures come, results go. Then the instance ends in any case.
MARGIN_SECONDS = 3600
WORK = Path("/var/lib/kennel")
METADATA = "http://169.254.169.254/latest"  # EC2's service for its instances


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceJob:
    """What one instance is told."""

    name: str  # of the job in AWS
    output: str  # s3://BUCKET/PREFIX/NAME, without a slash at its end
    image: str  # a complete URI
    instance_type: str
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, str]  # our names -> s3://BUCKET/PREFIX
    max_run_seconds: int
    has_gpu: bool = False
    spot: bool = False
    kms_key: str = ""

    @property
    def limit_seconds(self) -> int:
        """After that the instance is gone, in whole minutes: `shutdown` counts so."""
        return 60 * math.ceil((self.max_run_seconds + GRACE_SECONDS + MARGIN_SECONDS) / 60)


def user_data(
    job: InstanceJob,
    *,
    ml: Path = DEFAULT_BASE,
    work: Path = WORK,
    poll_seconds: float = 15,
    pause_seconds: float = 10,
    metadata: str = METADATA,
) -> str:
    """The whole script. Its first act is to set the end of the instance.

    Args:
        ml: what the container sees as /opt/ml.
        pause_seconds: before a command that talks to a network is tried again.

    Raises SpecError: it is longer than EC2 allows.
    """
    minutes = job.limit_seconds // 60
    lines = [
        "#!/bin/bash",
        "# Written by `kennel run --on ec2`: one training job, then this instance ends itself.",
        f"shutdown -P +{minutes}",
        *(f"{name}={shlex.quote(text)}" for name, text in _texts(job).items()),
        f"ML={shlex.quote(str(ml))} WORK={shlex.quote(str(work))} IMDS={shlex.quote(metadata)}",
        f"MAX_RUN={job.max_run_seconds} GRACE={GRACE_SECONDS}"
        f" POLL={poll_seconds:g} PAUSE={pause_seconds:g}",
        _array("COPY", _copy(job)),
        _array("CHANNELS", _pairs(job.channels)),
        _array("CONFIG", _pairs({name: json.dumps(one) for name, one in _config(job).items()})),
        _array("RUN", _options(job, ml)),
    ]
    text = "\n".join(lines) + "\n" + BODY.read_text(encoding="ascii")
    if (size := len(text.encode())) > MOST_BYTES:
        raise SpecError(
            f"user data: {size:,} bytes and EC2 allows {MOST_BYTES:,}: hyperparameters take "
            f"{len(json.dumps(dict(job.hyperparameters))):,} of them; shorten those, or go --on aws"
        )
    return text


def _texts(job: InstanceJob) -> dict[str, str]:
    registry = job.image.partition("/")[0]
    is_ecr = ".dkr.ecr." in registry
    return {
        "JOB": job.name,
        "OUTPUT": job.output,
        "IMAGE": job.image,
        "REGISTRY": registry if is_ecr else "",
        "IMAGE_REGION": registry.split(".")[3] if is_ecr else "",
        "SPOT": "yes" if job.spot else "no",
    }


def _copy(job: InstanceJob) -> list[str]:
    key = ["--sse", "aws:kms", "--sse-kms-key-id", job.kms_key] if job.kms_key else []
    return ["aws", "s3", "cp", "--only-show-errors", *key]


def _config(job: InstanceJob) -> dict[str, object]:
    """The files that SageMaker lays below /opt/ml/input/config. Source: CONTRACT A.3."""
    group = {"instance_group_name": "homogeneousCluster", "instance_type": job.instance_type}
    return {
        "hyperparameters.json": dict(job.hyperparameters),
        "inputdataconfig.json": {
            name: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for name in job.channels
        },
        "resourceconfig.json": {
            "current_host": "algo-1",
            "current_instance_type": job.instance_type,
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1"],
            "instance_groups": [{**group, "hosts": ["algo-1"]}],
            "network_interface_name": "eth0",
        },
        "checkpointconfig.json": {"LocalPath": str(DEFAULT_BASE / "checkpoints")},
    }


def _options(job: InstanceJob, ml: Path) -> list[str]:
    """Of `docker run`. The host's shared memory: half of the machine's, for data loaders."""
    return [
        *("--name", "kennel", "--hostname", "algo-1", "--ipc", "host"),
        *("--env", f"TRAINING_JOB_NAME={job.name}", "--env", "AWS_REGION"),
        *("--volume", f"{ml}:{DEFAULT_BASE}"),
        *(("--gpus", "all") if job.has_gpu else ()),
    ]


def _array(name: str, words: Sequence[str]) -> str:
    return f"{name}=({' '.join(shlex.quote(word) for word in words)})"


def _pairs(given: Mapping[str, str]) -> list[str]:
    return [word for pair in given.items() for word in pair]
