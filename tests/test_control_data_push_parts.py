"""Large files go in parts; a push that is killed between two of them does not send them again."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from aws_front import Aws
from serving import REPOSITORY

from control.cli import main
from control.data.compare import digests_of
from control.data.push_calls import PART_BYTES, part_bytes
from control.pack_plan import visible_files

BUCKET = "large-123"
SIZE = 3 * PART_BYTES + 1234
MANIFEST = ".kennel-manifest.json"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dogs.zip").write_bytes(os.urandom(SIZE))
    return tmp_path / "data"


@pytest.fixture
def bucket(aws_here: Aws):
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    aws_here.forget()
    return aws_here


def push(folder, *words: str) -> int:
    return main(["data", "push", str(folder), f"s3://{BUCKET}/d", "-o", "json", *words])


def count(aws: Aws, operation: str) -> int:
    return sum(one.operation == operation for one in aws.seen)


def there(aws: Aws) -> bytes:
    data: bytes = aws.client("s3").get_object(Bucket=BUCKET, Key="d/dogs.zip")["Body"].read()
    return data


def left_over(aws: Aws) -> list[dict]:
    """Uploads that were begun and not ended."""
    found: list[dict] = aws.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return found


def begin(aws: Aws, data: bytes, numbers: tuple[int, ...]) -> str:
    """What a push leaves that was killed after these parts, with what it was begun with."""
    s3 = aws.client("s3")
    upload: str = s3.create_multipart_upload(
        Bucket=BUCKET,
        Key="d/dogs.zip",
        Metadata={"kennel-sha256": hashlib.sha256(data).hexdigest()},
    )["UploadId"]
    for number in numbers:
        body = data[(number - 1) * PART_BYTES : number * PART_BYTES]
        s3.upload_part(
            Bucket=BUCKET, Key="d/dogs.zip", UploadId=upload, PartNumber=number, Body=body
        )
    aws.forget()
    return upload


def test_the_parts_make_the_file(bucket, folder, capsys):
    data = (folder / "dogs.zip").read_bytes()
    assert push(folder) == 0
    assert there(bucket) == data
    assert count(bucket, "UploadPart") == 4
    told = json.loads(capsys.readouterr().out)
    assert told["channels"] == {"train": f"s3://{BUCKET}/d/"}
    bucket.forget()
    assert push(folder) == 0
    assert {one.operation for one in bucket.seen} == {"ListObjectsV2"}


def test_an_upload_that_was_begun_goes_on_with_the_parts_that_are_missing(bucket, folder):
    data = (folder / "dogs.zip").read_bytes()
    begin(bucket, data, (1, 3))
    assert push(folder) == 0
    assert count(bucket, "UploadPart") == 2
    assert count(bucket, "CreateMultipartUpload") == 0
    assert there(bucket) == data
    assert left_over(bucket) == []


def test_an_upload_of_another_content_is_ended_and_not_mixed_in(bucket, folder):
    begin(bucket, os.urandom(SIZE), (1, 2))
    assert push(folder) == 0
    assert count(bucket, "UploadPart") == 4
    assert there(bucket) == (folder / "dogs.zip").read_bytes()
    assert left_over(bucket) == []


def test_an_upload_that_was_begun_for_a_file_that_has_changed_is_begun_anew(bucket, folder):
    """Its parts may be the same as now, but its checksum is of what the file was then."""
    data = (folder / "dogs.zip").read_bytes()
    begin(bucket, data[:-1] + bytes([data[-1] ^ 1]), (1, 2))
    assert push(folder) == 0
    about = bucket.client("s3").head_object(Bucket=BUCKET, Key="d/dogs.zip")
    assert about["Metadata"]["kennel-sha256"] == hashlib.sha256(data).hexdigest()
    assert there(bucket) == data


def test_a_killed_push_continues(bucket, folder):
    """With SIGKILL, while it sends."""
    (folder / "dogs.zip").write_bytes(os.urandom(12 * PART_BYTES))
    words = ["data", "push", str(folder), f"s3://{BUCKET}/d"]
    child = subprocess.Popen(
        [sys.executable, "-m", "control", *words],
        env={**bucket.environment, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
    )
    deadline = time.monotonic() + 60
    while child.poll() is None and not count(bucket, "UploadPart") and time.monotonic() < deadline:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL
    time.sleep(0.5)  # what was on its way arrives
    bucket.forget()
    assert push(folder) == 0
    assert count(bucket, "UploadPart") <= 12
    assert count(bucket, "CreateMultipartUpload") == 0
    assert there(bucket) == (folder / "dogs.zip").read_bytes()
    assert left_over(bucket) == []


def test_etags_are_those_that_s3_gives(bucket, folder):
    """Of one request and of several: moto computes its own."""
    (folder / "small.bin").write_bytes(b"small")
    (folder / "exact.bin").write_bytes(os.urandom(PART_BYTES))
    (folder / "two.bin").write_bytes(os.urandom(PART_BYTES + 1))
    (folder / "empty.bin").touch()
    assert push(folder) == 0
    listed = bucket.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="d/")["Contents"]
    found = {one["Key"].removeprefix("d/"): one["ETag"].strip('"') for one in listed}
    del found[MANIFEST]
    expected = {one.name: digests_of(folder / one.name, one)[0] for one in visible_files(folder)}
    assert found == expected
    assert found["two.bin"].endswith("-2")
    assert found["exact.bin"] == hashlib.md5((folder / "exact.bin").read_bytes()).hexdigest()


def test_a_file_never_has_more_parts_than_s3_allows():
    for size in (PART_BYTES, 80 << 30, 5 << 40):
        each = part_bytes(size)
        assert each >= PART_BYTES
        assert -(-size // each) <= 10_000
    assert part_bytes(100 << 20) == PART_BYTES


def test_ctrl_c_says_how_far_it_is_and_ends_with_130(bucket, folder):
    for number in range(300):
        (folder / f"{number}.jpg").write_bytes(os.urandom(2000))
    child = subprocess.Popen(
        [sys.executable, "-m", "control", "data", "push", str(folder), f"s3://{BUCKET}/d"],
        env={**bucket.environment, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    deadline = time.monotonic() + 60
    while child.poll() is None and count(bucket, "PutObject") < 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "the same command goes on" in said
    assert push(folder) == 0
