"""`kennel data push`: a folder into S3, over HTTP against moto, looked at by another client."""

import hashlib
import json
import os

import pytest
from aws_front import Aws
from plans import check_plan

from control.cli import main

BUCKET = "pets-123"
MANIFEST = ".kennel-manifest.json"


@pytest.fixture
def pets(tmp_path):
    """Two splits of two classes, and what else lies in folders."""
    folder = tmp_path / "pets"
    for split, count in (("train", 5), ("valid", 2)):
        for label in ("cat", "dog"):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                (folder / split / label / f"{number}.jpg").write_bytes(os.urandom(900 + number))
    (folder / "notes.txt").write_text("odd")
    (folder / ".DS_Store").touch()
    (folder / "train" / "cat" / ".hidden.jpg").touch()
    return folder


@pytest.fixture
def bucket(aws_here: Aws):
    aws_here.client("s3").create_bucket(Bucket=BUCKET)
    aws_here.forget()
    return aws_here


def contents(aws: Aws, prefix: str = "") -> dict[str, bytes]:
    s3 = aws.client("s3")
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    keys = [item["Key"] for item in listed]
    return {
        key.removeprefix(prefix): s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        for key in keys
    }


def files(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def push(pets, *words: str, to: str = f"s3://{BUCKET}/dogs") -> int:
    return main(["data", "push", str(pets), to, *words])


def pushed(capsys, pets, *words: str) -> dict:
    assert push(pets, "-o", "json", *words) == 0
    return json.loads(capsys.readouterr().out)


def test_a_folder_is_there_bit_for_bit_with_its_counts_beside_it(bucket, pets, capsys):
    assert push(pets) == 0
    found = contents(bucket, "dogs/")
    manifest = json.loads(found.pop(MANIFEST))
    assert found == files(pets)
    assert manifest["channels"]["train"] == {
        "uri": f"s3://{BUCKET}/dogs/train/",
        "pictures": 10,
        "classes": {"cat": 5, "dog": 5},
    }
    assert manifest["channels"]["validation"]["pictures"] == 4
    assert manifest["other_files"] == {".txt": 1}
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "[aws.channels]",
        f'train = "s3://{BUCKET}/dogs/train/"',
        f'validation = "s3://{BUCKET}/dogs/valid/"',
    ]
    assert any("15 files" in line and "are listed" in line for line in lines)


def test_training_does_not_see_the_manifest(bucket, pets, tmp_path):
    """Even where it lies in the channel itself: it has no splits."""
    from test_control_data_layout import as_training_sees

    assert push(pets / "train", to=f"s3://{BUCKET}/flat") == 0
    for name, data in contents(bucket, "flat/").items():
        path = tmp_path / "channel" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    assert (tmp_path / "channel" / MANIFEST).exists()
    found = as_training_sees(tmp_path / "channel", tmp_path / "work")
    assert {name for _, _, name in found} == set(files(pets / "train"))


def test_the_same_push_again_sends_nothing(bucket, pets, capsys):
    push(pets)
    bucket.forget()
    capsys.readouterr()
    told = pushed(capsys, pets)
    assert (told["sent"], told["there_already"]) == (0, 15)
    assert {one.operation for one in bucket.seen} == {"ListObjectsV2"}


def test_every_object_carries_the_sha256_of_its_content(bucket, pets):
    push(pets)
    about = bucket.client("s3").head_object(Bucket=BUCKET, Key="dogs/train/cat/1.jpg")
    data = (pets / "train/cat/1.jpg").read_bytes()
    assert about["Metadata"] == {"kennel-sha256": hashlib.sha256(data).hexdigest()}


def test_a_push_that_failed_in_the_middle_goes_on(bucket, pets, capsys):
    s3 = bucket.client("s3")
    done = sorted(files(pets))[:6]
    for name in done:  # as another tool leaves them: without our metadata
        s3.put_object(Bucket=BUCKET, Key=f"dogs/{name}", Body=files(pets)[name])
    bucket.forget()
    told = pushed(capsys, pets)
    assert (told["sent"], told["there_already"], told["replaced"]) == (9, 6, 0)
    assert sum(one.operation == "PutObject" for one in bucket.seen) == 9 + 1
    found = contents(bucket, "dogs/")
    del found[MANIFEST]
    assert found == files(pets)


def test_other_things_below_the_prefix_are_not_mixed_with_ours(bucket, pets, capsys):
    s3 = bucket.client("s3")
    s3.put_object(Bucket=BUCKET, Key="dogs/wolf/1.jpg", Body=b"wolf")
    s3.put_object(Bucket=BUCKET, Key="dogs/train/cat/0.jpg", Body=b"another")
    s3.put_object(Bucket=BUCKET, Key="dogs2/1.jpg", Body=b"not below it")
    before = contents(bucket)
    assert push(pets) == 2
    said = capsys.readouterr().err
    assert "1 other objects (wolf/1.jpg) and 1 with another content (train/cat/0.jpg)" in said
    assert "--merge" in said
    assert "--delete" in said
    assert contents(bucket) == before


def test_merge_replaces_what_differs_and_keeps_the_rest(bucket, pets, capsys):
    s3 = bucket.client("s3")
    s3.put_object(Bucket=BUCKET, Key="dogs/wolf/1.jpg", Body=b"wolf")
    same_size = b"x" * (pets / "train/cat/0.jpg").stat().st_size
    s3.put_object(Bucket=BUCKET, Key="dogs/train/cat/0.jpg", Body=same_size)
    told = pushed(capsys, pets, "--merge")
    assert (told["replaced"], told["kept"], told["deleted"]) == (1, 1, 0)
    found = contents(bucket, "dogs/")
    del found[MANIFEST]
    assert found == {**files(pets), "wolf/1.jpg": b"wolf"}


def test_delete_asks_and_then_leaves_exactly_the_folder(bucket, pets, capsys):
    s3 = bucket.client("s3")
    s3.put_object(Bucket=BUCKET, Key="dogs/wolf/1.jpg", Body=b"wolf")
    s3.put_object(Bucket=BUCKET, Key="dogs2/1.jpg", Body=b"not below it")
    assert push(pets, "--delete") == 2
    assert "add --yes" in capsys.readouterr().err
    assert set(contents(bucket)) == {"dogs/wolf/1.jpg", "dogs2/1.jpg"}
    told = pushed(capsys, pets, "--delete", "--yes")
    assert told["deleted"] == 1
    assert set(contents(bucket)) == {"dogs2/1.jpg"} | {
        f"dogs/{name}" for name in (*files(pets), MANIFEST)
    }


def test_a_missing_bucket_is_named_and_made_on_demand(aws_here, pets, capsys):
    assert push(pets) == 2
    assert f"the bucket {BUCKET} does not exist" in capsys.readouterr().err
    assert main(["data", "push", str(pets), "s3://Bad_B/dogs"]) == 2
    assert "there is no bucket Bad_B: expected 3 to 63 lower-case" in capsys.readouterr().err
    assert push(pets, "--create-bucket") == 0
    s3 = aws_here.client("s3")
    blocked = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert all(blocked.values())
    assert len(blocked) == 4
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"]}
    assert tags["kennel:name"] == BUCKET
    aws_here.forget()
    assert push(pets, "--create-bucket") == 0
    assert {one.operation for one in aws_here.seen} == {"HeadBucket", "ListObjectsV2"}


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_bucket_is_made_in_the_region_that_is_configured(aws_here, pets, region, monkeypatch):
    """S3 refuses us-east-1 as a LocationConstraint, and its absence anywhere else."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    assert push(pets, "--create-bucket") == 0
    place = aws_here.client("s3").get_bucket_location(Bucket=BUCKET)["LocationConstraint"]
    assert place == (None if region == "us-east-1" else region)


def test_a_key_of_kms_encrypts_all_and_replaces_what_it_did_not(bucket, pets, capsys):
    push(pets)
    capsys.readouterr()
    key = bucket.client("kms").create_key()["KeyMetadata"]
    assert push(pets, "--kms-key", key["KeyId"]) == 2  # they are there without it
    assert "15 with another content" in capsys.readouterr().err
    assert pushed(capsys, pets, "--kms-key", key["KeyId"], "--merge")["sent"] == 15
    about = bucket.client("s3").head_object(Bucket=BUCKET, Key="dogs/train/cat/1.jpg")
    assert about["ServerSideEncryption"] == "aws:kms"
    assert about["SSEKMSKeyId"].endswith(key["KeyId"])
    bucket.forget()
    assert pushed(capsys, pets, "--kms-key", key["KeyId"])["sent"] == 0


def test_shards_are_made_and_sent_on_the_way(bucket, pets, capsys, tmp_path):
    told = pushed(capsys, pets, "--pack", "--shard-bytes", "4KB")
    assert told["packed"] is True
    assert told["pictures"] == {
        "train": {"cat": 5, "dog": 5},
        "validation": {"cat": 2, "dog": 2},
    }
    names = set(contents(bucket, "dogs/")) - {MANIFEST}
    assert main(["data", "pack", str(pets), str(tmp_path / "out"), "--shard-bytes", "4KB"]) == 0
    assert names == set(files(tmp_path / "out"))
    assert all(name.endswith(".tar") for name in names)
    capsys.readouterr()
    assert pushed(capsys, pets, "--pack", "--shard-bytes", "4KB")["sent"] == 0


def test_show_asks_nobody_and_prints_what_would_be_sent(aws_here, pets, capsys):
    words = ("--show", "-o", "json", "--create-bucket", "--kms-key", "alias/pets")
    (pets / "train/cat/0.jpg").write_bytes(bytes(901))
    told = pushed(capsys, pets, *words)
    assert aws_here.seen == []
    assert (told["files"], told["requests"]) == (15, 16)
    assert told["bytes"] == sum(map(len, files(pets).values()))
    check_plan("data-push", told["calls"])
    assert push(pets, "--show") == 0
    shown = capsys.readouterr().out
    assert "train:   10 pictures of 2 classes: cat, dog" in shown
    assert "less than $0.01 a month" in shown


def test_a_name_that_no_key_can_have_is_refused_before_anything_is_sent(bucket, pets, capsys):
    try:
        (pets / "train" / "cat" / "\udcff.jpg").touch()
    except (OSError, UnicodeEncodeError):
        pytest.skip("this disk does not take such a name")
    assert push(pets) == 2
    assert "is not UTF-8" in capsys.readouterr().err
    assert contents(bucket) == {}


def test_links_that_leave_the_folder_are_refused(bucket, pets, tmp_path, capsys):
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (pets / "train" / "cat" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert push(pets) == 2
    assert "leaves the folder" in capsys.readouterr().err


def test_what_aws_refuses_is_one_line_with_the_policy_that_is_missing(bucket, pets, capsys):
    sentence = (
        "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: s3:PutObject on "
        f"resource: arn:aws:s3:::{BUCKET}/dogs/notes.txt"
    )
    bucket.fail("PutObject", "AccessDenied", sentence, status=403, times=40)
    assert push(pets) == 1
    said = capsys.readouterr().err
    assert '"s3:PutObject"' in said
    assert said.strip().splitlines()[-1].startswith("kennel: ")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["push", "pets"], "where to is missing"),
        (["push", "pets", "dogs"], "expected s3://BUCKET/PREFIX"),
        (["push", "pets", "s3://b/p", "--merge", "--delete"], "give one of them"),
        (["push", "pets", "s3://Bad_B/p", "--create-bucket"], "Bad_B: expected 3 to 63 lower-case"),
        (["push", "pets", "s3://b/p", "--restart"], "takes no --restart"),
        (["pack", "pets", "out", "--merge"], "takes no --merge"),
        (["check", "pets", "out"], "takes one folder"),
        (["pusch", "pets"], "did you mean `kennel data push`"),
    ],
)
def test_impossible_command_lines_say_what_is_wrong(words, line, pets, capsys, monkeypatch):
    monkeypatch.chdir(pets.parent)
    assert main(["data", *words]) == 2
    assert line in capsys.readouterr().err
