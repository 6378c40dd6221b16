"""`kennel transform` from S3 and into S3. AWS is played by moto over HTTP."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from buckets import Buckets, buckets, moto_server
from serving import colour_bundle, picture, server

# Needs no Docker engine, but moto, which only `make test-containers` installs.
pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif(moto_server() is None, reason="moto is not installed"),
]

ODD = ["a b.jpg", "c+d&e?f#g%20.jpg", 'h"i,j.jpg', "\u72ac/\u00fc.jpg"]


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with buckets(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def url():
    with server(colour_bundle()) as running:
        yield running.url


def kennel(s3: Buckets, *words: object, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "control", "transform", *map(str, words)],
        env={**s3.environment, **changes},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def home(s3: Buckets) -> Path:
    return Path(s3.environment["HOME"])


def test_a_prefix_is_answered_into_another(s3, url):
    for name in ODD:
        s3.put(f"in/{name}", picture("green"))
    s3.put("in/z.jpg", b"noise")
    s3.put("in/", b"")
    s3.put("in/notes.txt", b"")
    s3.put("in/.hidden.jpg", b"")
    s3.put("in2/other.jpg", picture("red"))
    words = ("s3://photos/in", "-o", "s3://photos/out/", "--url", url)
    done = kennel(s3, *words, "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["predictions"] == "s3://photos/out/predictions.csv"
    assert (told["pictures"], told["refused"], told["left_out"]) == (5, 1, {".txt": 1})
    answers = rows(s3.get("out/predictions.csv"))
    assert sorted(row["picture"] for row in answers) == sorted(ODD)
    assert {row["label"] for row in answers} == {"green"}
    assert [row["picture"] for row in rows(s3.get("out/refused.csv"))] == ["z.jpg"]
    assert list((home(s3) / ".cache" / "kennel" / "transform").iterdir()) == []

    again = kennel(s3, *words, "--json")  # done already
    assert (again.returncode, json.loads(again.stdout)) == (1, told)
    other = kennel(s3, *words, "--format", "jsonl")
    assert other.returncode == 2
    assert "format: csv -> jsonl" in other.stderr
    assert kennel(s3, *words, "--format", "jsonl", "--restart").returncode == 1
    assert len(s3.get("out/predictions.jsonl").splitlines()) == 4


def test_more_than_a_page_of_objects_comes_down_in_order(s3, url, tmp_path):
    names = [f"{number:04d}.jpg" for number in range(25)]
    for name in names:
        s3.put(f"many/{name}", picture("red", "JPEG", (8, 8)))
    done = kennel(s3, "s3://photos/many/", "-o", tmp_path / "out", "--url", url)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "out" / "predictions.csv").read_bytes()
    assert [row["picture"] for row in rows(table)] == names


def test_a_manifest_names_objects_here_and_in_s3(s3, url, tmp_path):
    s3.put("set/a.jpg", picture("blue"))
    s3.put("set/b", picture("red"))
    manifest = json.dumps([{"prefix": "s3://photos/se"}, "t/b", "t/a.jpg", "t/gone.jpg"])
    s3.put("list.manifest", manifest.encode())
    (tmp_path / "list.manifest").write_text(manifest)
    for number, source in enumerate(("s3://photos/list.manifest", tmp_path / "list.manifest")):
        out = tmp_path / str(number)
        done = kennel(s3, source, "-o", out, "--url", url)
        assert done.returncode == 1, done.stderr
        answers = rows((out / "predictions.csv").read_bytes())
        assert [(row["picture"], row["label"]) for row in answers] == [
            ("set/b", "red"),
            ("set/a.jpg", "blue"),
        ]
        (refusal,) = rows((out / "refused.csv").read_bytes())
        assert (refusal["picture"], refusal["reason"]) == (
            "set/gone.jpg",
            "it cannot be read: S3 says NoSuchKey",
        )


def test_one_object_is_an_input_too(s3, url, tmp_path):
    s3.put("dogs/rex.jpg", picture("blue"))
    done = kennel(s3, "s3://photos/dogs/rex.jpg", "-o", tmp_path, "--url", url)
    assert done.returncode == 0, done.stderr
    (row,) = rows((tmp_path / "predictions.csv").read_bytes())
    assert (row["picture"], row["label"]) == ("rex.jpg", "blue")


def test_an_upload_that_failed_is_made_up_for_without_asking_again(s3, tmp_path):
    (tmp_path / "a.jpg").write_bytes(picture("blue"))
    with server(colour_bundle()) as running:
        words = (tmp_path, "-o", "s3://later/out", "--url", running.url)
        failed = kennel(s3, *words)
        assert failed.returncode == 1
        assert "cannot be uploaded to s3://later/out/predictions.csv" in failed.stderr
    s3.client.create_bucket(Bucket="later")
    done = kennel(s3, *words)  # nobody answers at that address any more
    assert done.returncode == 0, done.stderr
    body = s3.client.get_object(Bucket="later", Key="out/predictions.csv")["Body"].read()
    assert [row["label"] for row in rows(body)] == ["blue"]


@pytest.mark.parametrize(
    ("words", "changes", "code", "says"),
    [
        (("s3://photos/nothing", "-o", "out"), {}, 2, "s3://photos/nothing holds no picture"),
        (("s3://nobodys/in/", "-o", "out"), {}, 1, "AWS says NoSuchBucket"),
        (("s3://Photos!/in/", "-o", "out"), {}, 2, "a bucket's name has letters"),
        (
            ("s3://photos/in/", "-o", "out"),
            {
                "AWS_ACCESS_KEY_ID": "",
                "AWS_SECRET_ACCESS_KEY": "",
                "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            },
            2,
            "Unable to locate credentials",
        ),
    ],
)
def test_what_s3_refuses_is_one_line(s3, tmp_path, words, changes, code, says):
    source, flag, out = words
    done = kennel(s3, source, flag, tmp_path / out, **changes)
    assert done.returncode == code
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
