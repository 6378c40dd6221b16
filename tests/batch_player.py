"""SageMaker's part of a batch transform, for tests: sends each object of a job's input to a real
server, and writes the answers and the log that SageMaker would write.
"""

import csv
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aws_front import Aws
from serving import COLOURS, colour_bundle, picture

ODD = ["a b.jpg", "c+d&e?f#g%20.png", 'h"i,j.jpg', "\u72ac/\u00fc.jpg", "z: y.jpg"]
FILE = """
name = "dogs"
kind = "batch"
bundle = "{bundle}"
[aws]
image = "1.dkr.ecr.us-east-1.amazonaws.com/kennel-serve-cpu:1"
role = "arn:aws:iam::123456789012:role/kennel-endpoint"
artifacts = "s3://photos/models"
instance_type = "ml.c5.xlarge"
[transform]
input = "s3://photos/in/"
output = "s3://photos/out/"
results = "answers"
{more}
"""
GROUP = "/aws/sagemaker/TransformJobs"
WAIT_SECONDS = 60


@dataclass(kw_only=True)
class Player:
    """Call it with CreateTransformJob's parameters: `aws.after("CreateTransformJob", player)`.

    `left` objects are never sent, as when a job is stopped; `base` goes before the names.
    """

    aws: Aws
    url: str
    base: str = ""
    left: tuple[str, ...] = ()
    sent: dict[str, dict[str, str]] = field(default_factory=dict)  # key -> headers

    def __call__(self, request: dict[str, Any]) -> None:
        source, output = request["TransformInput"], request["TransformOutput"]
        bucket, folder, names = self._objects(source["DataSource"]["S3DataSource"])
        target, _, prefix = output["S3OutputPath"].removeprefix("s3://").partition("/")
        s3, log = self.aws.client("s3"), []
        for name in names:
            if name in self.left:
                continue
            key = folder + name
            data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            answer, error = self._answer(key, data, request)
            if error:
                log += [f"{bucket}/{key}: {line}" for line in error]
            else:
                out = f"{prefix}/{self.base}{name}.out"
                s3.put_object(Bucket=target, Key=out, Body=answer)
        self._write_log(request["TransformJobName"], log)
        if log:
            reason = "AlgorithmError: See job logs for more information"
            state = {"TransformJobStatus": "Failed", "FailureReason": reason}
            self.aws.stages("DescribeTransformJob", state)

    def _objects(self, source: dict[str, str]) -> tuple[str, str, list[str]]:
        """Bucket, folder and names below it."""
        bucket, _, key = source["S3Uri"].removeprefix("s3://").partition("/")
        s3 = self.aws.client("s3")
        if source["S3DataType"] == "ManifestFile":
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            first, *names = json.loads(body)
            bucket, _, folder = first["prefix"].removeprefix("s3://").partition("/")
            return bucket, folder, names
        folder = key[: key.rfind("/") + 1]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
        keys = [one["Key"] for one in listed]
        return bucket, folder, [one[len(folder) :] for one in keys if not one.endswith("/")]

    def _answer(self, key: str, data: bytes, request: dict[str, Any]) -> tuple[bytes, list[str]]:
        """The object's answer, or the lines of log about its refusal."""
        assert len(data) <= request["MaxPayloadInMB"] << 20
        by_line = request["TransformInput"]["SplitType"] == "Line"
        records = data.splitlines(keepends=True) if by_line else [data]
        end = b"\n" if request["TransformOutput"].get("AssembleWith") == "Line" else b""
        answers = []
        for record in records:
            headers = {
                "Content-Type": request["TransformInput"]["ContentType"],
                "Accept": request["TransformOutput"]["Accept"],
            }
            self.sent[key] = headers
            call = urllib.request.Request(f"{self.url}/invocations", record, headers)
            try:
                with urllib.request.urlopen(call, timeout=WAIT_SECONDS) as reply:
                    answers.append(reply.read() + end)
            except urllib.error.HTTPError as error:
                said = error.read().decode().splitlines()
                return b"", [f"ClientError: {error.code}", "", "Message:", *said]
        return b"".join(answers), []

    def _write_log(self, job: str, lines: list[str]) -> None:
        logs, stream = self.aws.client("logs"), f"{job}/i-0123456789/data-log"
        names = [one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]]
        if GROUP not in names:
            logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        now = int(time.time() * 1000)
        shown = [f"2026-11-28T04:08:19.666:[sagemaker logs]: {line}" for line in lines]
        shown.insert(0, "2026-11-28T04:08:19.163:[sagemaker logs]: MaxConcurrentTransforms=4")
        logs.put_log_events(
            logGroupName=GROUP,
            logStreamName=stream,
            logEvents=[{"timestamp": now, "message": line} for line in shown],
        )


def fill(aws: Aws) -> Any:
    """A client of S3 with pictures, whose colours take turns, below s3://photos/in/."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="photos")
    colours = list(COLOURS)
    for number, name in enumerate(ODD):
        put(s3, f"in/{name}", picture(colours[number % len(colours)], "JPEG"))
    aws.forget()
    return s3


def put(s3: Any, key: str, data: bytes) -> None:
    s3.put_object(Bucket="photos", Key=key, Body=data)


def file_of(folder: Path, more: str = "") -> Path:
    path = folder / "dogs.toml"
    path.write_text(FILE.format(bundle=colour_bundle(), more=more))
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def models_of(aws: Aws) -> list[Any]:
    return aws.client("sagemaker").list_models()["Models"]
