import json
from pathlib import Path

import pytest

from contract.errors import ChannelError, DataError
from train.augmented_manifest import is_augmented_manifest, read_augmented_manifest
from train.folders import Tree


def put(root: Path, lines: list[object], *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    path = root / "output.manifest"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    root = path.parent.resolve()
    named, notes = read_augmented_manifest(path, Tree(channel="train", root=root))
    return [(label, file.relative_to(root).as_posix()) for label, file in named], notes


def ground_truth(name: str, label: object, **metadata: object) -> dict[str, object]:
    return {
        "source-ref": f"s3://bucket/pets/{name}",
        "id": 17,
        "pets-job": label,
        "pets-job-metadata": {
            "confidence": 0.95,
            "human-annotated": "yes",
            "type": "groundtruth/image-classification",
            **metadata,
        },
    }


def test_the_class_name_of_ground_truth_is_the_label(tmp_path):
    lines = [
        ground_truth("a.jpg", 0, **{"class-name": "cat"}),
        ground_truth("b.jpg", 1, **{"class-name": "dog"}),
    ]
    assert read(put(tmp_path, lines, "a.jpg", "b.jpg"))[0] == [("cat", "a.jpg"), ("dog", "b.jpg")]


def test_a_class_map_names_a_single_multilabel(tmp_path):
    lines = [ground_truth("a.jpg", [1], **{"class-map": {"1": "dog"}})]
    assert read(put(tmp_path, lines, "a.jpg"))[0] == [("dog", "a.jpg")]
    with pytest.raises(DataError, match="line 1: expected one label, got 2"):
        read(put(tmp_path, [ground_truth("a.jpg", [0, 1])], "a.jpg"))


@pytest.mark.parametrize(("value", "label"), [(3, "3"), ("tabby", "tabby"), ("7", "7")])
def test_plain_labels_need_no_metadata(tmp_path, value, label):
    lines = [{"source-ref": "s3://b/a.jpg", "class": value}]
    assert read(put(tmp_path, lines, "a.jpg"))[0] == [(label, "a.jpg")]


def test_the_longest_shared_path_end_wins(tmp_path):
    lines = [
        {"source-ref": "s3://bucket/v1/cats/1.jpg", "class": "cat"},
        {"source-ref": "s3://bucket/v1/dogs/1.jpg", "class": "dog"},
        {"source-ref": "s3://bucket/elsewhere/only.jpg", "class": "dog"},
    ]
    path = put(tmp_path, lines, "dogs/1.jpg", "cats/1.jpg", "old/cats/1.jpg", "deep/er/only.jpg")
    assert read(path)[0] == [
        ("cat", "cats/1.jpg"),
        ("dog", "deep/er/only.jpg"),
        ("dog", "dogs/1.jpg"),
    ]


def test_an_ambiguous_reference_is_refused(tmp_path):
    path = put(tmp_path, [{"source-ref": "s3://b/1.jpg", "class": 0}], "x/1.jpg", "y/1.jpg")
    with pytest.raises(DataError, match=r"line 1: s3://b/1\.jpg could be .*x/1\.jpg or .*y/1\.jpg"):
        read(path)


def test_missing_files_are_named_and_counted(tmp_path):
    lines = [{"source-ref": f"s3://b/{i}.jpg", "class": 0} for i in range(8)]
    with pytest.raises(
        DataError, match=r"7 pictures .*: s3://b/1\.jpg, .*s3://b/5\.jpg and 2 more"
    ):
        read(put(tmp_path, lines, "0.jpg"))


def test_a_reference_cannot_point_out_of_the_channel(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(b"x")
    path = put(tmp_path / "in", [{"source-ref": "../secret.jpg", "class": 0}], "a.jpg")
    with pytest.raises(DataError, match="listed but not below"):
        read(path)


def test_lines_that_nobody_labelled_are_passed_over_with_a_note(tmp_path):
    failed = {"source-ref": "s3://b/b.jpg", "pets-job-metadata": {"failure-reason": "expired"}}
    lines = [ground_truth("a.jpg", 0, **{"class-name": "cat"}), failed]
    named, notes = read(put(tmp_path, lines, "a.jpg", "b.jpg"))
    assert named == [("cat", "a.jpg")]
    assert notes == ["output.manifest: 1 lines without a label passed over"]


def test_one_picture_with_two_labels_is_refused_and_with_one_counts_once(tmp_path):
    line = {"source-ref": "s3://b/a.jpg", "class": "cat"}
    assert read(put(tmp_path, [line, line], "a.jpg"))[0] == [("cat", "a.jpg")]
    with pytest.raises(DataError, match=r"line 2: .* is 'dog' here and 'cat' before"):
        read(put(tmp_path, [line, {**line, "class": "dog"}], "a.jpg"))


def test_two_possible_labels_are_refused_with_their_names(tmp_path):
    lines = [{"source-ref": "s3://b/a.jpg", "breed": 1, "colour": 2}]
    with pytest.raises(DataError, match="got breed, colour: leave only the label in"):
        read(put(tmp_path, lines, "a.jpg"))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", DataError, "line 1: not JSON"),
        ('{"source-ref": "s3://b/a.jpg", "class": 1}\n\n[1]', DataError, "line 3: expected an obj"),
        ('{"class": 1}', DataError, "line 1: expected source-ref"),
        ("\n", ChannelError, "is empty"),
        (
            '{"source-ref": "s3://b/a.jpg", "class": true}',
            DataError,
            "text or an integer, got True",
        ),
    ],
)
def test_a_malformed_manifest_names_the_line(tmp_path, text, error, message):
    path = put(tmp_path, [], "a.jpg")
    path.write_text(text)
    with pytest.raises(error, match=message):
        read(path)


def test_json_lines_of_other_tools_are_not_manifests(tmp_path):
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "metadata.jsonl"
    ours.write_text('\ufeff{"source-ref": "s3://b/a.jpg", "label": 1}\n')
    theirs.write_text('{"file_name": "a.jpg", "text": "a cat"}\n')
    assert is_augmented_manifest(ours)
    assert not is_augmented_manifest(theirs)
    assert not is_augmented_manifest(tmp_path / "train-manifest")
