"""`kennel deploy` of a batch transform, from the listing to the table. AWS is moto; SageMaker's
part, asking the server about each object, is played by tests/batch_player.py with a real server.
"""

import csv
import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from batch_player import Player
from serving import COLOURS, REPOSITORY, colour_bundle, picture, server

from control.cli import main

ODD = ["a b.jpg", "c+d&e?f#g%20.png", 'h"i,j.jpg', "\u72ac/\u00fc.jpg", "z: y.jpg"]
WAIT_SECONDS = 60
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


@pytest.fixture(scope="module")
def url():
    with server(colour_bundle()) as running:
        yield running.url


@pytest.fixture
def bucket(aws):
    """A client of S3 with pictures whose colours take turns below in/."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="photos")
    colours = list(COLOURS)
    for number, name in enumerate(ODD):
        put(s3, f"in/{name}", picture(colours[number % 3], "JPEG"))
    aws.forget()
    return s3


def put(s3, key, data):
    s3.put_object(Bucket="photos", Key=key, Body=data)


def file_of(folder, more=""):
    path = folder / "dogs.toml"
    path.write_text(FILE.format(bundle=colour_bundle(), more=more))
    return path


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def models_of(aws):
    return aws.client("sagemaker").list_models()["Models"]


def test_the_table_is_the_one_that_a_local_transform_makes(aws, bucket, url, tmp_path, capsys):
    player = Player(aws=aws, url=url)
    aws.after("CreateTransformJob", player)
    done = aws.kennel("deploy", file_of(tmp_path), "--yes")
    assert done.returncode == 0, done.stderr + done.stdout
    for name in ODD:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bucket.get_object(Bucket="photos", Key=f"in/{name}")["Body"].read())
    here = ["transform", str(tmp_path / "in"), "-o", str(tmp_path / "here"), "--url", url]
    assert main(here) == 0
    in_aws, local = (
        rows(tmp_path / "answers" / "predictions.csv"),
        rows(tmp_path / "here" / "predictions.csv"),
    )
    key = json.dumps
    assert sorted(in_aws, key=key) == sorted(local, key=key)
    assert {one["Content-Type"] for one in player.sent.values()} == {"application/x-image"}
    assert "cost:" in done.stdout
    assert f"table:   {tmp_path / 'answers' / 'predictions.csv'}" in done.stdout
    assert models_of(aws) == []  # the model was for this job alone

    aws.forget()
    again = aws.kennel("deploy", file_of(tmp_path), "--yes", "-o", "json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["answered"] == len(ODD)
    assert aws.calls("CreateTransformJob") == []


def test_what_is_shown_is_what_is_sent(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    shown = json.loads(aws.kennel("deploy", file_of(tmp_path), "--show").stdout)
    assert not aws.seen
    assert aws.kennel("deploy", file_of(tmp_path), "--yes").returncode == 0
    for operation in ("CreateModel", "CreateTransformJob"):
        (sent,) = aws.calls(operation)
        (printed,) = (one["parameters"] for one in shown if one["operation"] == operation)
        name = sent["ModelName"]
        assert json.loads(json.dumps(sent).replace(name, "NAME")) == json.loads(
            json.dumps(printed).replace(printed["ModelName"], "NAME")
        )


def test_objects_without_an_answer_are_listed_with_the_servers_reason(aws, bucket, url, tmp_path):
    put(bucket, "in/bad: one.jpg", b"noise")
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    done = aws.kennel("deploy", file_of(tmp_path), "--yes", "-o", "json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["answered"], told["refused"]) == ("Failed", len(ODD), 1)
    assert told["reason"].startswith("AlgorithmError")
    (refusal,) = rows(tmp_path / "answers" / "refused.csv")
    assert (refusal["picture"], refusal["status"]) == ("bad: one.jpg", "400")
    assert "expected a picture" in refusal["reason"]
    assert models_of(aws) == []


def test_what_would_fail_the_job_is_refused_before_it_costs(aws, bucket, url, tmp_path):
    put(bucket, "in/notes.txt", b"")
    put(bucket, "in/.DS_Store", b"")
    put(bucket, "in/", b"")  # what consoles make: no object of anybody's
    done = aws.kennel("deploy", file_of(tmp_path), "--yes")
    assert done.returncode == 2
    assert "2 objects that are no pictures by name (.txt, hidden)" in done.stderr
    large = aws.kennel("deploy", file_of(tmp_path, "only_pictures = true\nmax_payload_mb = 1"))
    assert "this costs money" in large.stderr  # the pictures themselves are small enough
    put(bucket, "in/large.png", b"x" * (1 << 20 | 1))
    large = aws.kennel("deploy", file_of(tmp_path, "only_pictures = true\nmax_payload_mb = 1"))
    assert (large.returncode, "set it to 2" in large.stderr) == (2, True)
    assert aws.calls("CreateTransformJob") == aws.calls("CreateModel") == []


def test_only_pictures_leaves_the_others_out(aws, bucket, url, tmp_path):
    put(bucket, "in/notes.txt", b"")
    put(bucket, "in/.hidden.jpg", b"")
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    done = aws.kennel("deploy", file_of(tmp_path, "only_pictures = true"), "--yes")
    assert done.returncode == 0, done.stderr
    found = {row["picture"] for row in rows(tmp_path / "answers" / "predictions.csv")}
    assert found == set(ODD)


def test_the_folder_that_the_api_reference_names_is_found_too(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url, base="in/"))
    assert aws.kennel("deploy", file_of(tmp_path), "--yes").returncode == 0
    assert len(rows(tmp_path / "answers" / "predictions.csv")) == len(ODD)


def test_files_of_records_are_answered_a_line_each(aws, bucket, url, tmp_path):
    import base64

    records = [json.dumps({"image": base64.b64encode(picture(name)).decode()}) for name in COLOURS]
    put(bucket, "records/a.jsonl", "".join(f"{line}\n" for line in records).encode())
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    path = file_of(tmp_path, 'content_type = "application/jsonlines"\nsplit = "Line"')
    path.write_text(path.read_text().replace("photos/in/", "photos/records/"))
    done = aws.kennel("deploy", path, "--yes")
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "answers" / "predictions.csv")
    assert [row["picture"] for row in found] == ["a.jsonl#1", "a.jsonl#2", "a.jsonl#3"]
    assert [row["label"] for row in found] == list(COLOURS)


def test_a_job_that_answers_nothing_says_why_and_leaves_nothing_behind(aws, bucket, tmp_path):
    reason = "ClientError: Failed to download model data"
    aws.stages("DescribeTransformJob", {"TransformJobStatus": "Failed", "FailureReason": reason})
    done = aws.kennel("deploy", file_of(tmp_path), "--yes")
    assert done.returncode == 1
    assert f"reason:  {reason}" in done.stdout
    assert "kennel iam show" in done.stdout  # what to do about it
    assert models_of(aws) == []
    assert list((tmp_path / "answers").rglob("*.csv")) == []
    first = len(aws.calls("CreateTransformJob"))
    aws.kennel("deploy", file_of(tmp_path), "--yes")  # the same command begins anew
    assert len(aws.calls("CreateTransformJob")) == first + 1


@pytest.mark.parametrize("operation", ["CreateModel", "CreateTransformJob"])
def test_a_refusal_leaves_no_model_and_no_job(aws, bucket, tmp_path, operation):
    limit = "The account-level service limit 'ml.c5.xlarge for transform job usage' is 0 Instances"
    aws.fail(
        operation, "ResourceLimitExceeded", f"{limit}, with current utilization of 0 Instances"
    )
    done = aws.kennel("deploy", file_of(tmp_path), "--yes")
    assert done.returncode == 1
    assert "ml.c5.xlarge for transform job usage" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert models_of(aws) == []


def test_a_model_that_sagemaker_does_not_find_yet_is_waited_for(aws, bucket, url, tmp_path):
    aws.fail("CreateTransformJob", "ValidationException", 'Could not find model "dogs".', times=2)
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    assert aws.kennel("deploy", file_of(tmp_path), "--yes").returncode == 0
    assert len(aws.calls("CreateTransformJob")) == 3


def test_after_ctrl_c_the_job_goes_on_and_the_same_command_gets_its_answers(
    aws, bucket, url, tmp_path
):
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    aws.stages("DescribeTransformJob", {"TransformJobStatus": "InProgress"})
    words = ["deploy", str(file_of(tmp_path)), "--yes"]
    process = subprocess.Popen(
        [sys.executable, "-m", "control", *words],
        env={**aws.environment, "KENNEL_POLL_SECONDS": "0.05"},
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(aws.calls("DescribeTransformJob")) > 3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130, said
    assert "goes on in AWS" in said
    assert f"`kennel {' '.join(words[:2])}` looks again" in said
    assert "`kennel cleanup dogs` stops it" in said
    assert len(models_of(aws)) == 1  # the job still needs it
    aws.stages("DescribeTransformJob", {"TransformJobStatus": "Completed"})
    done = aws.kennel(*words)
    assert done.returncode == 0, done.stderr
    assert len(aws.calls("CreateTransformJob")) == 1
    assert len(rows(tmp_path / "answers" / "predictions.csv")) == len(ODD)
    assert models_of(aws) == []


def test_a_job_over_its_time_is_stopped_and_its_answers_are_kept(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url, left=("a b.jpg",)))
    began = (datetime.now(UTC) - timedelta(minutes=5)).timestamp()
    running = {"TransformJobStatus": "InProgress", "TransformStartTime": began}
    aws.stages("DescribeTransformJob", running)

    def stop(_):
        aws.stages("DescribeTransformJob", {**running, "TransformJobStatus": "Stopped"})
        return {}

    aws.answer("StopTransformJob", stop)
    done = aws.kennel("deploy", file_of(tmp_path, "max_run_seconds = 60"), "--yes")
    assert done.returncode == 1
    assert "it has run for its max_run_seconds, 1 min 00 s" in done.stdout
    assert len(aws.calls("StopTransformJob")) == 1
    (refusal,) = rows(tmp_path / "answers" / "refused.csv")
    assert refusal["reason"] == "the job was stopped before its turn"
    assert len(rows(tmp_path / "answers" / "predictions.csv")) == len(ODD) - 1


def test_answers_of_another_model_are_never_mixed_in(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    path = file_of(tmp_path)
    assert aws.kennel("deploy", path, "--yes").returncode == 0
    other = aws.kennel("deploy", path, "--yes", "--bundle", "s3://photos/models/other.tar.gz")
    assert other.returncode == 2
    assert "name another folder, results in [transform]" in other.stderr


def wait_for(condition):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
