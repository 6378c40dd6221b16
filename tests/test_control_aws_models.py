"""Multi-model endpoints: models are published, listed, asked and removed. AWS is moto; SageMaker's
part, loading a model that somebody asks for, is played with the real multi-model server.
"""

import base64
import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from multi_model import MULTI, load
from plans import check_plan, validate
from serving import colour_bundle, picture, server

from contract.errors import SpecError, UsageError
from contract.targets import find_targets
from control.aws.account import Account
from control.aws.endpoint.deployment import read_deployment
from control.aws.endpoint.multi_spec import model_name, next_name, target_of
from control.aws.endpoint.plan import plan_endpoint

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLE = REPOSITORY / "jobs" / "dogs_multi_model.toml"
FILE = """
name = "multi"
kind = "multi-model"
ttl_hours = {hours}
[aws]
image = "1.dkr.ecr.us-east-1.amazonaws.com/kennel-serve-cpu:1"
role = "arn:aws:iam::123456789012:role/kennel-endpoint"
expiry_role = "arn:aws:iam::123456789012:role/kennel-expiry"
instance_type = "{machine}"
[multi_model]
prefix = "s3://models/multi"
{more}
"""


def file_of(folder, more="", machine="ml.m5.large", hours=0):
    path = folder / "multi.toml"
    path.write_text(FILE.format(more=more, machine=machine, hours=hours))
    return path


@pytest.fixture
def bucket(aws):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="models")
    aws.forget()
    return s3


def other_bundle(folder):
    """The same network with a file of its owner's beside it: another model."""
    if not (folder / "other").exists():
        shutil.copytree(colour_bundle(), folder / "other")
        (folder / "other" / "notes.txt").write_text("second try")
    return folder / "other"


def keys(s3):
    return [one["Key"] for one in s3.list_objects_v2(Bucket="models").get("Contents", [])]


def body(s3, key):
    return s3.get_object(Bucket="models", Key=key)["Body"].read()


def unpacked(s3, target, folder):
    """As SageMaker lays a model out for the container."""
    archive = folder / "archive"
    archive.write_bytes(body(s3, f"multi/{target}"))
    inside = folder / hashlib.sha256(target.encode()).hexdigest() / "model"
    with tarfile.open(archive) as tar:
        tar.extractall(inside, filter="data")
    return inside


def test_the_example_is_the_plan_that_was_reviewed():
    plan = plan_endpoint(read_deployment(EXAMPLE), Account())
    check_plan("deploy_dogs_multi_model", plan.calls())


def test_an_endpoint_of_many_models_answers_for_the_one_that_is_named(aws, bucket, tmp_path):
    models = f'models = {{ "dogs/v1" = "{colour_bundle()}", other = "{other_bundle(tmp_path)}" }}'
    done = aws.kennel("deploy", file_of(tmp_path, models), "--yes")
    assert done.returncode == 0, done.stderr
    assert keys(bucket) == ["multi/dogs/v1.tar.gz", "multi/other.tar.gz"]
    (made,) = aws.calls("CreateModel")
    assert made["PrimaryContainer"]["Mode"] == "MultiModel"
    assert made["PrimaryContainer"]["ModelDataUrl"] == "s3://models/multi/"
    assert made["PrimaryContainer"]["MultiModelConfig"] == {"ModelCacheSetting": "Enabled"}
    photo = tmp_path / "green.png"
    photo.write_bytes(picture("green"))
    with server(None, MULTI) as running:
        aws.serve_endpoints(running.url)
        load(running, "dogs/v1.tar.gz", unpacked(bucket, "dogs/v1.tar.gz", tmp_path))
        words = ("predict", photo, "--endpoint", "multi", "-o", "json", "--target-model")
        asked = aws.kennel(*words, "dogs/v1.tar.gz")
        assert asked.returncode == 0, asked.stderr
        (told,) = json.loads(asked.stdout)["predictions"]
        assert told["label"] == "green"


def test_the_same_deployment_again_publishes_what_is_new_and_leaves_the_endpoint(
    aws, bucket, tmp_path
):
    first = f'models = {{ "dogs/v1" = "{colour_bundle()}" }}'
    assert aws.kennel("deploy", file_of(tmp_path, first), "--yes").returncode == 0
    aws.forget()
    second = first.replace("}", f', "dogs/v2" = "{other_bundle(tmp_path)}" }}')
    done = aws.kennel("deploy", file_of(tmp_path, second), "--yes")
    assert done.returncode == 0, done.stderr
    assert "dogs/v1.tar.gz is there already" in done.stdout
    assert "endpoint multi is as the file says now" in done.stdout
    assert keys(bucket) == ["multi/dogs/v1.tar.gz", "multi/dogs/v2.tar.gz"]
    for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"):
        assert aws.calls(operation) == []


def test_no_model_is_published_before_somebody_agrees_to_what_it_costs(aws, bucket, tmp_path):
    first = f'models = {{ "dogs/v1" = "{colour_bundle()}" }}'
    assert aws.kennel("deploy", file_of(tmp_path, first), "--yes").returncode == 0
    second = first.replace("}", f', "dogs/v2" = "{other_bundle(tmp_path)}" }}')
    refused = aws.kennel("deploy", file_of(tmp_path, second, hours=9))
    assert refused.returncode == 2
    assert "add --yes" in refused.stderr
    assert keys(bucket) == ["multi/dogs/v1.tar.gz"]


def test_a_name_is_never_given_to_another_model(aws, bucket, tmp_path):
    path = file_of(tmp_path)
    assert aws.kennel("models", path, "add", "dogs/v1", colour_bundle()).returncode == 0
    before = body(bucket, "multi/dogs/v1.tar.gz")
    aws.forget()
    done = aws.kennel("models", path, "add", "dogs/v1", other_bundle(tmp_path))
    assert done.returncode == 2
    assert "under a new name, e.g. dogs/v2" in done.stderr
    assert aws.calls("PutObject") == []
    assert [one.operation for one in aws.seen].count("PutObject") == 0
    assert body(bucket, "multi/dogs/v1.tar.gz") == before
    same = aws.kennel("models", path, "add", "dogs/v1", colour_bundle())
    assert (same.returncode, "is there already" in same.stdout) == (0, True)


def test_somebody_who_is_quicker_is_not_overwritten(aws, bucket, tmp_path):
    """Between our look and our upload: S3 itself refuses, because the request says so."""
    aws.fail("HeadObject", "404", "Not Found", status=404)
    bucket.put_object(Bucket="models", Key="multi/dogs/v1.tar.gz", Body=b"theirs")
    done = aws.kennel("models", file_of(tmp_path), "add", "dogs/v1", colour_bundle())
    assert done.returncode == 2, done.stdout
    assert "dogs/v2" in done.stderr
    assert body(bucket, "multi/dogs/v1.tar.gz") == b"theirs"


def test_an_upload_whose_answer_was_lost_is_no_other_model(aws, bucket, tmp_path):
    path = file_of(tmp_path)
    assert aws.kennel("models", path, "add", "a", colour_bundle()).returncode == 0
    aws.fail("HeadObject", "404", "Not Found", status=404)  # the second try of one call
    again = aws.kennel("models", path, "add", "a", colour_bundle())
    assert again.returncode == 0, again.stderr
    assert len([one for one in aws.seen if one.operation == "PutObject"]) == 2


def test_what_s3_has_afterwards_is_compared_with_what_was_sent(aws, bucket, tmp_path):
    def spoil(_):
        aws.after("PutObject", lambda _: None)
        bucket.put_object(Bucket="models", Key="multi/a.tar.gz", Body=b"torn")

    aws.after("PutObject", spoil)
    done = aws.kennel("models", file_of(tmp_path), "add", "a", colour_bundle())
    assert done.returncode == 1
    assert "is not what was sent: 4 bytes" in done.stderr


def test_an_archive_and_its_folder_are_one_model(aws, bucket, tmp_path):
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(colour_bundle(), ".")
    path = file_of(tmp_path)
    assert aws.kennel("models", path, "add", "a", archive).returncode == 0
    again = aws.kennel("models", path, "add", "a", colour_bundle(), "-o", "json")
    assert json.loads(again.stdout)["is_new"] is False
    # What S3 has is what was sent, by its own SHA-256.
    head = bucket.head_object(Bucket="models", Key="multi/a.tar.gz", ChecksumMode="ENABLED")
    digest = hashlib.sha256(archive.read_bytes()).digest()
    assert head["ChecksumSHA256"] == base64.b64encode(digest).decode()
    copied = aws.kennel("models", path, "add", "b", "s3://models/multi/a.tar.gz")
    assert copied.returncode == 0, copied.stderr
    assert body(bucket, "multi/b.tar.gz") == archive.read_bytes()


def test_a_list_says_what_there_is_and_where_it_came_from(aws, bucket, tmp_path):
    path = file_of(tmp_path)
    assert "no model below s3://models/multi/" in aws.kennel("models", path).stdout
    odd = tmp_path / "b\u00fcndel 1"
    shutil.copytree(colour_bundle(), odd)
    assert aws.kennel("models", path, "add", "dogs/v1", odd).returncode == 0
    bucket.put_object(Bucket="models", Key="multi/theirs.tar.gz", Body=b"x")
    bucket.put_object(Bucket="models", Key="multi/README.md", Body=b"x")
    bucket.put_object(Bucket="models", Key="multi2/other.tar.gz", Body=b"x")
    found = json.loads(aws.kennel("models", path, "list", "-o", "json").stdout)
    assert [one["target"] for one in found] == ["dogs/v1.tar.gz", "theirs.tar.gz"]
    assert [one["from"] for one in found] == [str(odd), None]
    assert found[0]["bytes"] == len(body(bucket, "multi/dogs/v1.tar.gz"))
    assert "dogs/v1.tar.gz" in aws.kennel("models", path).stdout


def test_an_endpoint_knows_where_its_models_are(aws, bucket, tmp_path):
    models = f'models = {{ "dogs/v1" = "{colour_bundle()}" }}'
    assert aws.kennel("deploy", file_of(tmp_path, models), "--yes").returncode == 0
    found = json.loads(aws.kennel("models", "multi", "list", "-o", "json").stdout)
    assert [one["name"] for one in found] == ["dogs/v1"]
    refused = aws.kennel("models", "multi", "remove", "dogs/v1.tar.gz")
    assert refused.returncode == 2
    assert "model:   s3://models/multi/dogs/v1.tar.gz, " in refused.stdout
    assert "model dogs/v1 would go and nobody is here to agree: add --yes" in refused.stderr
    assert keys(bucket) == ["multi/dogs/v1.tar.gz"]
    removed = aws.kennel("models", "multi", "remove", "dogs/v1.tar.gz", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert "go on answering for it until they need its room" in removed.stdout
    assert keys(bucket) == []
    nobody = aws.kennel("models", "nobody")
    assert nobody.returncode == 2
    assert "there is no endpoint nobody in us-east-1" in nobody.stderr
    gone = aws.kennel("models", "multi", "remove", "dogs/v1")
    assert (gone.returncode, "there is none at all" in gone.stderr) == (2, True)


def test_a_slip_in_a_name_is_answered_with_the_nearest(aws, bucket, tmp_path):
    path = file_of(tmp_path)
    assert aws.kennel("models", path, "add", "dogs/v1", colour_bundle()).returncode == 0
    done = aws.kennel("models", path, "remove", "dog/v1")
    assert (done.returncode, "did you mean 'dogs/v1'?" in done.stderr) == (2, True)
    assert aws.kennel("models", path, "add", "dogs/v1").returncode == 2
    assert "expected NAME and BUNDLE" in aws.kennel("models", path, "add").stderr


def test_shown_requests_are_valid_and_nothing_is_sent(aws, tmp_path):
    path = file_of(tmp_path)
    for words in (("add", "a", colour_bundle()), ("remove", "a"), ("list",)):
        shown = json.loads(aws.kennel("models", path, *words, "--show").stdout)
        for one in shown:
            validate(one["service"], one["operation"], one["parameters"])
    assert aws.seen == []


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a//b", ".hidden", "a b", "", "a/" * 9 + "a", "x" * 201]
)
def test_names_that_are_no_targets_are_refused(name):
    with pytest.raises(UsageError, match="expected a name such as dogs/v1"):
        model_name(name)


def test_targets_are_those_of_a_local_server_of_the_same_models(tmp_path):
    archive = tmp_path / target_of("dogs/v1")
    archive.parent.mkdir()
    archive.write_bytes(b"")
    assert list(find_targets(tmp_path)) == ["dogs/v1.tar.gz"]
    assert target_of("dogs/v1.tar.gz") == "dogs/v1.tar.gz"


@pytest.mark.parametrize(
    ("name", "taken", "free"),
    [
        ("dogs/v1", [], "dogs/v2"),
        ("dogs/v9", ["dogs/v9", "dogs/v10"], "dogs/v11"),
        ("dogs", ["dogs"], "dogs-v2"),
        ("dogs", ["dogs", "dogs-v2"], "dogs-v3"),
    ],
)
def test_the_name_that_is_suggested_is_free(name, taken, free):
    assert next_name(name, taken) == free


@pytest.mark.parametrize(
    ("more", "machine", "says"),
    [
        ("", "ml.g5.xlarge", "say gpu = true in [multi_model]"),
        ('models = { "a b" = "x" }', "ml.m5.large", "expected a name such as dogs/v1"),
        ('models = { a = "x", "a.tar.gz" = "y" }', "ml.m5.large", "two models are called 'a'"),
        ('models = { a = "s3://b/folder/" }', "ml.m5.large", "expected a model.tar.gz in S3"),
        ('models = { a = "s3://Bad_B/m.tar.gz" }', "ml.m5.large", "Bad_B: expected 3 to 63"),
        ("modles = {}", "ml.m5.large", "did you mean 'models'?"),
        ('cache = "yes"', "ml.m5.large", "true or false"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path, more, machine, says):
    with pytest.raises(SpecError) as caught:
        read_deployment(file_of(tmp_path, more, machine))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
