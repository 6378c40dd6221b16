"""`kennel deploy` of a batch transform, from the listing to the table. AWS is moto; SageMaker's
part, asking the server about each object, is played by tests/batch_player.py with a real server.
"""

import json
import shutil
import time

import pytest
from aws_front import Aws, Refusal
from batch_player import GROUP, ODD, Player, file_of, fill, models_of, put, rows
from serving import COLOURS, colour_bundle, picture, server

from control.cli import main


@pytest.fixture(scope="module")
def url():
    with server(colour_bundle()) as running:
        yield running.url


@pytest.fixture
def bucket(aws):
    return fill(aws)


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


def test_what_was_refused_can_be_put_right_as_the_last_line_says(aws, bucket, url, tmp_path):
    put(bucket, "in/bad: one.jpg", b"noise")
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    file = file_of(tmp_path)
    done = aws.kennel("deploy", file, "--yes")
    assert done.returncode == 1, done.stderr
    *_, following, command = done.stdout.splitlines()
    assert following.startswith("next:    put right what it names, or take it away; then")
    remove, again = command.strip().split(" && ")
    folder = tmp_path / "answers"
    assert (remove, again) == (f"rm -r {folder}", f"kennel deploy {file}")
    put(bucket, "in/bad: one.jpg", picture("red", "JPEG"))
    aws.stages("DescribeTransformJob", {})
    shutil.rmtree(folder)
    done = aws.kennel(*again.split()[1:], "--yes")
    assert done.returncode == 0, done.stderr
    assert len(rows(folder / "predictions.csv")) == len(ODD) + 1


def test_a_batch_without_any_answer_says_where_the_reasons_are(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url, left=tuple(ODD)))
    for _ in range(2):  # the second one finds it done
        done = aws.kennel("deploy", file_of(tmp_path), "--yes")
        assert done.returncode == 1, done.stderr
        refusals = tmp_path / "answers" / "refused.csv"
        assert f"refused: all {len(ODD)}, {refusals} says why" in done.stdout
        assert f"rm -r {refusals.parent} && kennel deploy " in done.stdout
    assert len(rows(refusals)) == len(ODD)


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


def test_a_folder_may_have_a_dot_and_an_object_that_is_taken_for_one_is_named(
    aws, bucket, url, tmp_path
):
    put(bucket, "in.v2/a.jpg", picture("red", "JPEG"))
    put(bucket, "in.v20/b.jpg", picture("red", "JPEG"))
    put(bucket, "odd.xyz", picture("red", "JPEG"))
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    path = file_of(tmp_path)
    text = path.read_text()
    path.write_text(text.replace("photos/in/", "photos/odd.xyz"))
    refused = aws.kennel("deploy", path, "--yes")
    assert refused.returncode == 2
    assert "s3://photos/odd.xyz is one object" in refused.stderr
    path.write_text(text.replace("photos/in/", "photos/in.v2"))
    done = aws.kennel("deploy", path, "--yes")
    assert done.returncode == 0, done.stderr
    (job,) = aws.calls("CreateTransformJob")
    source = job["TransformInput"]["DataSource"]["S3DataSource"]
    assert source["S3Uri"] == "s3://photos/in.v2/"
    assert [row["picture"] for row in rows(tmp_path / "answers" / "predictions.csv")] == ["a.jpg"]


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

    def write_log(request):
        stream = f"{request['TransformJobName']}/i-1"
        logs = aws.client("logs")
        logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        event = {"timestamp": int(time.time() * 1000), "message": "no bundle.json"}
        logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=[event])
        aws.after("CreateTransformJob", lambda _: None)

    aws.after("CreateTransformJob", write_log)
    done = aws.kennel("deploy", file_of(tmp_path), "--yes")
    assert done.returncode == 1
    assert f"reason:  {reason}" in done.stdout
    assert "         no bundle.json" in done.stdout.splitlines()
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


@pytest.mark.parametrize("operation", ["CreateModel", "CreateTransformJob"])
def test_a_lost_answer_makes_no_second_job(aws, bucket, url, tmp_path, moto_url, operation):
    """AWS did it, the connection broke, and the call that is sent again finds it done."""
    real = Aws(url=moto_url, environment={}).client("sagemaker")
    player = Player(aws=aws, url=url)
    aws.after("CreateTransformJob", player)

    def lose(request):
        if operation == "CreateModel":
            real.create_model(**request)
        else:
            real.create_transform_job(**request)
            player(request)
        raise Refusal("ResourceInUse", f"{request['ModelName']} exists already")

    aws.answer(operation, lose)
    done = aws.kennel("deploy", file_of(tmp_path), "--yes")
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "answers" / "predictions.csv")) == len(ODD)
    assert models_of(aws) == []


def test_a_model_that_sagemaker_does_not_find_yet_is_waited_for(aws, bucket, url, tmp_path):
    aws.fail("CreateTransformJob", "ValidationException", 'Could not find model "dogs".', times=2)
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    assert aws.kennel("deploy", file_of(tmp_path), "--yes").returncode == 0
    assert len(aws.calls("CreateTransformJob")) == 3


def test_the_table_may_go_to_s3(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    path = file_of(tmp_path)
    text = path.read_text().replace('"answers"', '"s3://photos/tables"')
    path.write_text(text + 'format = "jsonl"\n')
    done = aws.kennel("deploy", path, "--yes", "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["predictions"] == "s3://photos/tables/predictions.jsonl"
    table = bucket.get_object(Bucket="photos", Key="tables/predictions.jsonl")["Body"].read()
    found = [json.loads(line)["picture"] for line in table.decode().splitlines()]
    assert sorted(found) == sorted(ODD)


def test_answers_that_are_no_table_stay_where_sagemaker_wrote_them(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    done = aws.kennel("deploy", file_of(tmp_path, 'accept = "application/json"'), "--yes")
    assert done.returncode == 0, done.stderr
    assert "next:    aws s3 cp --recursive s3://photos/out/dogs-" in done.stdout
    assert "answers: 5 of 5 objects" in done.stdout


def test_answers_of_another_model_are_never_mixed_in(aws, bucket, url, tmp_path):
    aws.after("CreateTransformJob", Player(aws=aws, url=url))
    path = file_of(tmp_path)
    assert aws.kennel("deploy", path, "--yes").returncode == 0
    other = aws.kennel("deploy", path, "--yes", "--bundle", "s3://photos/models/other.tar.gz")
    assert other.returncode == 2
    assert "name another folder, results in [transform]" in other.stderr
