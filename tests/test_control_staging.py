"""Channels in S3 become folders. AWS is played by moto over HTTP."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from buckets import BUCKET, Buckets, buckets, moto_server

from control.s3 import S3Uri
from control.staging import staged_folder

# Needs no Docker engine, but moto, which only `make test-containers` installs.
pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif(moto_server() is None, reason="moto is not installed"),
]

STAGE = """
import sys
from pathlib import Path
from contract.errors import KennelError
from control import download, staging
from control.s3 import S3Uri
download.RANGE_BYTES = 1 << 20
staging.READER_SECONDS = 1.0
try:
    with staging.staged({"train": S3Uri.parse(sys.argv[1])}, Path(sys.argv[2])):
        print("staged", flush=True)
        sys.stdin.read()
except KennelError as error:
    print("error:", error)
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with buckets(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def prefix(request):
    """One of its own for each test."""
    return hashlib.sha256(request.node.name.encode()).hexdigest()[:8]


def start(s3: Buckets, prefix: str, runs: Path) -> "subprocess.Popen[str]":
    """A process that stages and then reads until its stdin is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, f"s3://{BUCKET}/{prefix}", str(runs)],
        env=s3.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stage(s3: Buckets, prefix: str, runs: Path) -> tuple[str, str]:
    """Stage once: stdout and stderr."""
    return start(s3, prefix, runs).communicate(timeout=60)


def contents(prefix: str, runs: Path) -> dict[str, bytes]:
    folder = staged_folder(S3Uri(BUCKET, prefix), runs)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_prefix_becomes_a_folder_and_is_kept_in_step(s3, prefix, tmp_path):
    files = {f"cat/{number}.jpg": os.urandom(1000 + number) for number in range(25)}
    files |= {"a b/\u72ac+&?#.jpg": b"odd", "empty.jpg": b"", "large.bin": os.urandom(3_500_000)}
    for name, data in files.items():
        s3.put(f"{prefix}/{name}", data)
    s3.put(f"{prefix}/", b"")
    s3.put(f"{prefix}/cat/", b"")
    s3.put(f"{prefix}2/other.jpg", b"")
    out, told = stage(s3, prefix, tmp_path)
    assert out == "staged\n"
    assert "28 of 28 files" in told
    assert contents(prefix, tmp_path) == files
    assert stage(s3, prefix, tmp_path) == ("staged\n", "")

    s3.put(f"{prefix}/cat/0.jpg", b"new")
    s3.client.delete_object(Bucket=BUCKET, Key=f"{prefix}/a b/\u72ac+&?#.jpg")
    (staged_folder(S3Uri(BUCKET, prefix), tmp_path) / "cat" / "1.jpg").write_bytes(b"touched")
    files["cat/0.jpg"] = b"new"
    del files["a b/\u72ac+&?#.jpg"]
    assert "2 of 27 files" in stage(s3, prefix, tmp_path)[1]
    assert contents(prefix, tmp_path) == files
    assert not (staged_folder(S3Uri(BUCKET, prefix), tmp_path) / "a b").exists()


def test_one_object_becomes_a_folder_with_one_file(s3, prefix, tmp_path):
    s3.put(f"{prefix}/pets.zip", b"zip")
    s3.put(f"{prefix}/pets.zip.old", b"zip")
    assert stage(s3, f"{prefix}/pets.zip", tmp_path)[0] == "staged\n"
    assert contents(f"{prefix}/pets.zip", tmp_path) == {"pets.zip": b"zip"}


def test_a_killed_download_continues(s3, prefix, tmp_path):
    data = os.urandom(24 << 20)
    s3.put(f"{prefix}/large.bin", data)
    partial = staged_folder(S3Uri(BUCKET, prefix), tmp_path).parent / "partial"
    child = start(s3, prefix, tmp_path)
    while child.poll() is None and not any(partial.glob("*.marks")):
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    (marks,) = partial.glob("*.marks")
    there = marks.read_bytes().count(b"x")
    assert there > 0
    assert contents(prefix, tmp_path) == {}
    assert stage(s3, prefix, tmp_path)[0] == "staged\n"
    assert contents(prefix, tmp_path) == {"large.bin": data}
    assert not partial.exists()


def test_ctrl_c_ends_at_once_and_leaves_nothing_half(s3, prefix, tmp_path):
    for number in range(120):
        s3.put(f"{prefix}/{number}.jpg", os.urandom(1000))
    child = start(s3, prefix, tmp_path)
    folder = staged_folder(S3Uri(BUCKET, prefix), tmp_path)
    while child.poll() is None and not any(folder.glob("*.jpg")):
        time.sleep(0.002)
    child.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in child.communicate(timeout=30)[1]
    assert {len(data) for data in contents(prefix, tmp_path).values()} == {1000}
    assert stage(s3, prefix, tmp_path)[0] == "staged\n"
    assert len(contents(prefix, tmp_path)) == 120


def test_two_processes_download_once(s3, prefix, tmp_path):
    for number in range(40):
        s3.put(f"{prefix}/{number}.jpg", os.urandom(1000))
    both = [start(s3, prefix, tmp_path) for _ in range(2)]
    told = [child.communicate(timeout=60) for child in both]
    assert [out for out, _ in told] == ["staged\n"] * 2
    assert sum("40 of 40 files" in error for _, error in told) == 1


def test_nobody_changes_files_that_a_job_reads(s3, prefix, tmp_path):
    s3.put(f"{prefix}/a.jpg", b"old")
    reader = start(s3, prefix, tmp_path)
    assert reader.stdout.readline() == "staged\n"
    assert stage(s3, prefix, tmp_path)[0] == "staged\n"
    s3.put(f"{prefix}/a.jpg", b"new")
    assert "another job is reading" in stage(s3, prefix, tmp_path)[0]
    assert contents(prefix, tmp_path) == {"a.jpg": b"old"}
    reader.communicate(timeout=30)
    assert stage(s3, prefix, tmp_path)[0] == "staged\n"
    assert contents(prefix, tmp_path) == {"a.jpg": b"new"}


def test_a_job_trains_on_a_bucket(s3, prefix, pictures, tmp_path):
    for path in pictures.rglob("*.*"):
        s3.put(f"{prefix}/{path.relative_to(pictures)}", path.read_bytes())
    values = 'arch = "squeezenet1_1"\npretrained = false\nimage_size = 32\nepochs = 2\n'
    values += 'quantize = "none"\n'
    (tmp_path / "job.toml").write_text(
        f'[hyperparameters]\n{values}[channels]\ntrain = "s3://{BUCKET}/{prefix}"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "control", "run", "job.toml", "-o", "json"],
        env={**s3.environment, "KENNEL_CACHE_DIR": "off"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["channels"] == {"train": f"s3://{BUCKET}/{prefix}"}
    assert "test:accuracy" in told["metrics"]


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("s3://nobodys-bucket/dogs", "NoSuchBucket"),
        (f"s3://{BUCKET}/nothing-here", "holds no object: look with `aws s3 ls"),
    ],
)
def test_what_is_not_there_is_one_line(s3, tmp_path, address, line):
    (tmp_path / "job.toml").write_text(f'[channels]\ntrain = "{address}"\n')
    done = subprocess.run(
        [sys.executable, "-m", "control", "run", "job.toml"],
        env=s3.environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert line in done.stderr
    assert "channel 'train'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list((tmp_path).glob("runs/0*"))
