"""Training jobs for tests: a job file, the states that pass, a log and outputs as SageMaker's."""

import contextlib
import io
import json
import re
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aws_front import Aws
from serving import colour_bundle

BUCKET = "kennel-test"
GROUP = "/aws/sagemaker/TrainingJobs"
BEGAN = int(time.time()) - 3600  # seconds since 1970; CloudWatch takes no old lines
STATES = (
    ("Starting", 0, "Launching requested ML instances"),
    ("Downloading", 65, "Downloading input data"),
    ("Training", 90, "Training in progress"),
    ("Uploading", 300, "Uploading generated training model"),
    ("Completed", 310, "Training job completed"),
)
LINES = ("epoch 1 of 2", "validation:accuracy=0.500000;", "validation:accuracy=0.750000;")
JOB = """
name = "dogs"
max_run_seconds = 1800
[hyperparameters]
epochs = 2
[aws]
image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-train:1"
role = "arn:aws:iam::123456789012:role/kennel-training"
output = "s3://kennel-test/out"
{aws}
[aws.channels]
train = "s3://kennel-test/train"
{more}
"""


def job_file(folder: Path, aws: str = "", more: str = "") -> Path:
    """A complete description; `aws` are lines of its table, `more` comes after it."""
    path = folder / "dogs.toml"
    path.write_text(JOB.format(aws=aws, more=more), encoding="utf-8")
    return path


def stage(name: str, **more: Any) -> dict[str, Any]:
    """What DescribeTrainingJob says when a job has come to the state `name`."""
    names = [state for state, _, _ in STATES]
    reached = STATES[: names.index(name) + 1]
    ended = name == "Completed"
    times = {"TrainingStartTime": BEGAN + 65}
    if ended:
        times["TrainingEndTime"] = BEGAN + 310
    return {
        "TrainingJobStatus": "Completed" if ended else "InProgress",
        "SecondaryStatus": name,
        "CreationTime": BEGAN,
        **times,
        "SecondaryStatusTransitions": [
            {"Status": state, "StartTime": BEGAN + after, "StatusMessage": message}
            for state, after, message in reached
        ],
        **more,
    }


def failed(reason: str) -> dict[str, Any]:
    return stage(
        "Completed", TrainingJobStatus="Failed", SecondaryStatus="Failed", FailureReason=reason
    )


def passing(aws: Aws, *last: dict[str, Any]) -> None:
    """All states, one at a look; `last` instead of a plain completion."""
    before = [stage(name) for name, _, _ in STATES[:-1]]
    aws.stages("DescribeTrainingJob", *before, *(last or (stage("Completed"),)))


def write_log(aws: Aws, job: str, lines: Sequence[str], host: str = "algo-1", at: int = 0) -> None:
    """Add lines to a host's stream; `at`: milliseconds after the job's creation, of the first."""
    logs, stream = aws.client("logs"), f"{job}/{host}-{BEGAN}"
    for make, names in (
        (logs.create_log_group, {"logGroupName": GROUP}),
        (logs.create_log_stream, {"logGroupName": GROUP, "logStreamName": stream}),
    ):
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            make(**names)
    begin = 1000 * BEGAN + at
    events = [{"timestamp": begin + number, "message": line} for number, line in enumerate(lines)]
    for start in range(0, len(events), 5000):
        logs.put_log_events(
            logGroupName=GROUP, logStreamName=stream, logEvents=events[start : start + 5000]
        )


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz of these files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def bundle_archive() -> bytes:
    """The model.tar.gz of a real bundle that knows colours."""
    folder = colour_bundle()
    return archive_of(
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    )


def put(aws: Aws, key: str, data: bytes) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=key, Body=data)


def put_outputs(aws: Aws, job: str, model: bytes | None = None) -> None:
    """Both archives where SageMaker puts them."""
    put(aws, f"out/{job}/output/model.tar.gz", bundle_archive() if model is None else model)
    data = archive_of({"report.html": b"<p>report</p>", "success": b""})
    put(aws, f"out/{job}/output/output.tar.gz", data)


def when_created(aws: Aws, lines: Sequence[str] = LINES, model: bytes | None = None) -> None:
    """From its creation on the job has this log and these outputs."""

    def act(request: dict[str, Any]) -> None:
        write_log(aws, request["TrainingJobName"], lines)
        put_outputs(aws, request["TrainingJobName"], model)

    aws.after("CreateTrainingJob", act)


def only_run(folder: Path) -> Path:
    """The one run below `folder`/runs."""
    (found,) = (folder / "runs").iterdir()
    return found


def run_json(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return found


def same_name(text: str) -> str:
    """Without what differs from one run to the next."""
    return re.sub(r"\d{8}-\d{6}", "STAMP", text)
