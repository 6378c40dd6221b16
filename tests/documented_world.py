"""A folder and an account in which what the pages tell people to type can be typed."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_examined import DOCKER, answer_image, answer_quotas
from aws_world import no_provisioned, put_role
from documented import ROOT
from endpoints import Updates, typed
from training import TINY, draw
from training_jobs import bundle_archive, run_json
from tuning import spec_of, three_trials, write_study_run

if TYPE_CHECKING:
    from aws_front import Aws

BUCKET = "kennel-111122223333"  # that of the example files
ROLES = ("training", "endpoint", "expiry", "lambda")
SPLITS = {"train": "train", "valid": "validation", "test": "test"}


def build(folder: Path, pictures: Path) -> None:
    """Files as the pages name them, and runs/0001-dogs: a real job, watched by rules."""
    shutil.copytree(ROOT / "jobs", folder / "jobs")
    for path in (folder / "jobs").iterdir():  # a name that S3 would not take
        path.write_text(path.read_text(encoding="utf-8").replace("//BUCKET", "//my-bucket"))
    for name in ("pictures", "dogs", "data/dogs"):
        for theirs, ours in SPLITS.items():
            shutil.copytree(pictures / ours, folder / name / theirs)
    shutil.copytree(pictures / "test", folder / "photos")
    draw("disc", 99).save(folder / "dog.jpg")
    for weights in ("squeezenet1_1.pth", "data/weights/squeezenet1_1.pth"):
        (folder / weights).parent.mkdir(exist_ok=True)
        (folder / weights).write_bytes(b"weights")
    (folder / "jobs" / "tiny.toml").write_text(tiny_job(), encoding="utf-8")
    done = typed("run", "jobs/tiny.toml", "--debug")
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "0001-dogs"
    for copy in ("runs/0001-digits", "runs/0002-dogs"):  # what else the pages call a run
        shutil.copytree(run, folder / copy)
    shutil.copytree(run / "model", folder / "out" / "model")
    write_study_run(folder / "runs", three_trials(spec_of()))


def tiny_job() -> str:
    """Of this folder's pictures; done in seconds."""
    knobs = "\n".join(f'{name} = "{value}"' for name, value in TINY.items())
    channels = "\n".join(f'{name} = "../pictures/{name}"' for name in SPLITS)
    return f'name = "dogs"\n[hyperparameters]\n{knobs}\n[channels]\n{channels}\n'


def settle(aws: "Aws", folder: Path) -> None:
    """An account with buckets, roles, a model in S3, jobs that ran and an endpoint.

    `folder`: the current one, with the jobs' files; their runs are kept in it.
    """
    no_provisioned(aws)
    answer_quotas(aws)
    answer_image(aws, DOCKER)
    aws.answer("DescribeImages", {"imageDetails": [{"imageDigest": "sha256:" + "0" * 64}]})
    aws.answer("StopTrainingJob", {})
    Updates(aws)
    s3 = aws.client("s3")
    for bucket in (BUCKET, "my-bucket"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=BUCKET, Key="models/dogs.tar.gz", Body=bundle_archive())
    s3.put_object(Bucket=BUCKET, Key="photos/dog.jpg", Body=b"jpeg")
    for name in ROLES:
        put_role(aws, f"kennel-{name}", "sagemaker.amazonaws.com")
    aws.client("iam").create_instance_profile(InstanceProfileName="kennel-ec2")
    aws.after("CreateTrainingJob", lambda asked: _put_outputs(s3, asked["TrainingJobName"]))
    aws.after("RunInstances", lambda _: _put_instance(s3, folder))
    for words in (
        ("run", "jobs/dogs_aws.toml", "--on", "aws", "--yes"),
        ("run", "jobs/dogs_ec2.toml", "--on", "ec2", "--yes"),
        ("deploy", "jobs/dogs_multi_model.toml", "--yes"),
        ("deploy", "jobs/dogs_endpoint.toml", "--yes"),
        ("deploy", "jobs/dogs_endpoint.toml", "--instance-type", "ml.m5.xlarge", "--yes"),
    ):
        done = typed(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    # The newest run of all is one that was watched.
    shutil.copytree(folder / "runs" / "0001-dogs", folder / "runs" / "0008-dogs")
    _tell_modes(aws)
    aws.forget()


def _tell_modes(aws: "Aws") -> None:
    """moto forgets a container's mode."""
    (made,) = (one for one in aws.calls("CreateModel") if "dogs-multi" in one["ModelName"])
    aws.stages("DescribeModel", {"PrimaryContainer": made["PrimaryContainer"]})


def _put_outputs(s3: Any, job: str) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"output/{job}/output/model.tar.gz", Body=bundle_archive())


def _put_instance(s3: Any, folder: Path) -> None:
    """What an instance leaves that has done its work at once."""
    (run,) = folder.glob("runs/*-dogs-ec2")
    job = run_json(run)["aws"]["job"]
    _put_outputs(s3, job)
    ended = {"status": "Completed", "at": "Ended", "seconds": 90, "exit_code": 0}
    s3.put_object(Bucket=BUCKET, Key=f"output/{job}/status.json", Body=json.dumps(ended).encode())


@contextmanager
def copied(world: Path, folder: Path) -> Iterator[Path]:
    """The same files again, for somebody who changes them."""
    target = folder / "world"
    shutil.copytree(world, target, symlinks=True)
    yield target
    shutil.rmtree(target)
