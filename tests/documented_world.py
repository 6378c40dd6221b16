"""A folder and an account in which what the pages tell people to type can be typed."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_examined import DOCKER, answer_image, answer_quotas
from aws_world import no_provisioned, put_role
from documented import ROOT, blocks
from endpoints import Updates, typed
from training import TINY, draw
from training_jobs import bundle_archive, run_json
from tuning import spec_of, three_trials, write_study_run

if TYPE_CHECKING:
    from aws_front import Aws

BUCKET = "kennel-111122223333"  # that of the example files
# What the pages call something in AWS -> how it is made. The last endpoint was changed once.
MADE = {
    "dogs-aws": (("run", "jobs/dogs_aws.toml", "--on", "aws"),),
    "dogs-ec2": (("run", "jobs/dogs_ec2.toml", "--on", "ec2"),),
    "dogs-multi": (("deploy", "jobs/dogs_multi_model.toml"),),
    "dogs": (
        ("deploy", "jobs/dogs_endpoint.toml"),
        ("deploy", "jobs/dogs_endpoint.toml", "--instance-type", "ml.m5.xlarge"),
    ),
}
ROLES = ("training", "endpoint", "expiry", "lambda")
SPLITS = {"train": "train", "valid": "validation", "test": "test"}


def build(folder: Path, pictures: Path) -> None:
    """Files as the pages name them, and runs/0001-dogs: a real job, watched by rules."""
    shutil.copytree(ROOT / "jobs", folder / "jobs")
    shutil.copytree(pictures, folder / "runs" / "demo-data")
    for path in (folder / "jobs").iterdir():  # a name that S3 would not take, and this region
        text = path.read_text(encoding="utf-8").replace("//BUCKET", "//my-bucket")
        path.write_text(text.replace(".ecr.eu-west-1.", ".ecr.us-east-1."), encoding="utf-8")
    for name in ("pictures", "dogs", "data/dogs"):
        for theirs, ours in SPLITS.items():
            shutil.copytree(pictures / ours, folder / name / theirs)
    shutil.copytree(pictures / "test", folder / "photos")
    for name in ("dog.jpg", "cat.png"):
        draw("disc", 99).save(folder / name)
    (folder / "photos.txt").write_text("dog.jpg\ncat.png\n", encoding="ascii")
    (folder / "traffic.csv").write_text("seconds,requests_per_second\n0,5\n600,5\n", "ascii")
    for weights in ("squeezenet1_1.pth", "data/weights/squeezenet1_1.pth"):
        (folder / weights).parent.mkdir(exist_ok=True)
        (folder / weights).write_bytes(b"weights")
    (code,) = (code for _, code in blocks("python") if "class MyRule" in code)
    (folder / "my_rule.py").write_text(code, encoding="utf-8")
    (folder / "jobs" / "tiny.toml").write_text(tiny_job(), encoding="utf-8")
    done = typed("run", "jobs/tiny.toml", "--debug", "--profile")
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "0001-dogs"
    for copy in ("0001-digits", "0002-dogs", "0003-dogs"):  # what else the pages call a run
        shutil.copytree(run, folder / "runs" / copy)
    digits = folder / "runs" / "0001-digits" / "run.json"
    digits.write_text(json.dumps({**run_json(run), "name": "digits"}), encoding="utf-8")
    for copy in ("out/model", "models/dogs"):
        shutil.copytree(run / "model", folder / copy)
    (folder / "model.tar.gz").write_bytes(bundle_archive())
    write_study_run(folder / "runs", three_trials(spec_of()))


def tiny_job() -> str:
    """Of this folder's pictures; done in seconds."""
    knobs = "\n".join(f'{name} = "{value}"' for name, value in TINY.items())
    channels = "\n".join(f'{name} = "../pictures/{name}"' for name in SPLITS)
    return f'name = "dogs"\n[hyperparameters]\n{knobs}\n[channels]\n{channels}\n'


def settle(aws: "Aws", folder: Path, named: set[str]) -> None:
    """An account with buckets, roles, a model in S3, and what is `named` of MADE.

    `folder`: the current one, with the jobs' files; their runs are kept in it.
    """
    no_provisioned(aws)
    answer_quotas(aws)
    answer_image(aws, DOCKER)
    aws.answer("DescribeImages", {"imageDetails": [{"imageDigest": "sha256:" + "0" * 64}]})
    aws.answer("StopTrainingJob", {})
    Updates(aws)
    s3 = aws.client("s3")
    for bucket in (BUCKET, "my-bucket", "bucket"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=BUCKET, Key="models/dogs.tar.gz", Body=bundle_archive())
    s3.put_object(Bucket=BUCKET, Key="photos/dog.jpg", Body=b"jpeg")
    s3.upload_file(str(folder / "dog.jpg"), "my-bucket", "photos/dog.jpg")
    if "s3://my-bucket/dogs" in named:
        _upload(s3, folder / "pictures", "my-bucket", "dogs")
    if "s3://bucket/jobs/dogs-1" in named:  # where a job in AWS leaves what the Debugger saved
        tensors = folder / "runs" / "0001-dogs" / "output" / "tensors"
        _upload(s3, tensors, "bucket", "jobs/dogs-1/debug-output")
    for name in ROLES:
        put_role(aws, f"kennel-{name}", "sagemaker.amazonaws.com")
    aws.client("iam").create_instance_profile(InstanceProfileName="kennel-ec2")
    aws.after("CreateTrainingJob", lambda asked: _put_outputs(s3, asked["TrainingJobName"]))
    aws.after("RunInstances", lambda _: _put_instance(s3, folder))
    for name, makes in MADE.items():
        for words in makes if name in named else ():
            done = typed(*words, "--yes")
            assert done.returncode == 0, (words, done.stdout, done.stderr)
    # The newest run of all is one that was watched.
    shutil.copytree(folder / "runs" / "0001-dogs", folder / "runs" / "0008-dogs")
    if "dogs-multi" in named:
        _tell_modes(aws)
    aws.forget()


def _tell_modes(aws: "Aws") -> None:
    """moto forgets a container's mode."""
    (made,) = (one for one in aws.calls("CreateModel") if "dogs-multi" in one["ModelName"])
    aws.stages("DescribeModel", {"PrimaryContainer": made["PrimaryContainer"]})


def _upload(s3: Any, folder: Path, bucket: str, prefix: str) -> None:
    for path in filter(Path.is_file, folder.rglob("*")):
        s3.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder).as_posix()}")


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
