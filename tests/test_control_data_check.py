"""`kennel data check`: everything that was planted is found, and nothing else."""

import io
import json
import shutil

import numpy as np
import pytest
from kinds import encode, rotated, scene
from PIL import Image
from test_control_data_layout import as_training_sees

from contract.errors import ChannelError
from control.cli import main

LABELS = ("beagle", "husky", "poodle")
PER_CLASS = {"train": 12, "valid": 4, "test": 4}


def photo(seed: int, width: int = 240, height: int = 180) -> Image.Image:
    """A picture of its own: soft blobs of colour on a gradient, as unlike others as photos are."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    x, y = x / width, y / height
    pixels = np.zeros((height, width, 3))
    for _ in range(12):
        cx, cy, size = (
            generator.uniform(0, 1),
            generator.uniform(0, 1),
            generator.uniform(0.05, 0.3),
        )
        blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * size**2))
        pixels += blob[..., None] * generator.uniform(-160, 160, 3)
    pixels = np.clip(pixels + 128 + generator.normal(0, 4, pixels.shape), 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Three splits of three classes. Do not write."""
    folder, seed = tmp_path_factory.mktemp("clean") / "dogs", 0
    for split, count in PER_CLASS.items():
        for label in LABELS:
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                photo(seed).save(folder / split / label / f"{number}.jpg", quality=90)
                seed += 1
    return folder


@pytest.fixture
def dogs(clean, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(clean, tmp_path / "dogs")


def checked(capsys, folder, *words: str) -> tuple[int, dict]:
    code = main(["data", "check", str(folder), "-o", "json", *words])
    return code, json.loads(capsys.readouterr().out)


def found(told: dict) -> dict[str, dict]:
    kinds = [one["kind"] for one in told["findings"]]
    assert len(kinds) == len(set(kinds))
    return {one["kind"]: one for one in told["findings"]}


def test_a_clean_set_has_no_finding_and_its_counts_are_those_of_the_disk(clean, capsys):
    code, told = checked(capsys, clean)
    assert (code, told["findings"], told["is_fine"]) == (0, [], True)
    for split, folder in (("train", "train"), ("validation", "valid"), ("test", "test")):
        assert told["splits"][split]["classes"] == {
            label: len(list((clean / folder / label).iterdir())) for label in LABELS
        }
        assert told["splits"][split]["effective_classes"] == 3.0
    assert told["formats"] == {"JPEG": 60}
    assert told["bytes"] == sum(path.stat().st_size for path in clean.rglob("*.jpg"))


def resized(path):
    return Image.open(path).resize((120, 90))


COPIES = {
    "the same file": lambda path: path.read_bytes(),
    "saved anew": lambda path: encode(Image.open(path), "JPEG", quality=60),
    "half as large": lambda path: encode(resized(path), "JPEG", quality=85),
    "twice as large": lambda path: encode(Image.open(path).resize((480, 360)), "JPEG"),
    "as a PNG": lambda path: encode(Image.open(path), "PNG"),
    "as a WebP": lambda path: encode(Image.open(path), "WEBP", quality=80),
    "with other tags": lambda path: encode(Image.open(path), "JPEG", quality=90, comment=b"x"),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_in_another_split_is_a_leak_however_it_was_saved(copy, dogs, capsys):
    path = dogs / "train/husky/3.jpg"
    (dogs / "test/husky/copy.jpg").write_bytes(copy(path))
    code, told = checked(capsys, dogs)
    (leak,) = told["findings"]
    assert code == 1
    assert leak["groups"] == [["test/husky/copy.jpg", "train/husky/3.jpg"]]
    assert leak["text"] == "1 of 13 test pictures are in train"
    assert checked(capsys, dogs, "--allow", "leak")[0] == 0


def test_a_copy_that_exif_turns_upright_is_found(dogs, capsys):
    (dogs / "train/husky/up.jpg").write_bytes(encode(Image.fromarray(scene()), "JPEG", quality=95))
    (dogs / "valid/husky/turned.jpg").write_bytes(rotated(6))
    _, told = checked(capsys, dogs)
    assert found(told)["leak"]["groups"] == [["train/husky/up.jpg", "valid/husky/turned.jpg"]]
    assert found(told)["turned"]["names"] == ["valid/husky/turned.jpg"]


def test_the_same_picture_under_two_labels_is_a_conflict(dogs, capsys):
    shutil.copy(dogs / "train/husky/3.jpg", dogs / "train/poodle/x.jpg")
    shutil.copy(dogs / "train/husky/4.jpg", dogs / "train/husky/y.jpg")
    code, told = checked(capsys, dogs)
    assert code == 1
    assert found(told)["conflict"]["groups"] == [["train/husky/3.jpg", "train/poodle/x.jpg"]]
    assert found(told)["duplicate"]["groups"] == [["train/husky/4.jpg", "train/husky/y.jpg"]]
    assert set(found(told)) == {"conflict", "duplicate"}


def test_copies_are_said_to_leak_where_validation_would_be_held_out(dogs, capsys):
    shutil.copy(dogs / "train/husky/4.jpg", dogs / "train/husky/y.jpg")
    assert "held out" not in found(checked(capsys, dogs)[1])["duplicate"]["text"]
    assert "held out" in found(checked(capsys, dogs / "train")[1])["duplicate"]["text"]


def test_what_cannot_be_read_is_named_with_the_reason(dogs, capsys):
    whole = (dogs / "train/husky/3.jpg").read_bytes()
    planted = {
        "train/husky/cut.jpg": whole[: len(whole) // 2],
        "train/husky/empty.jpg": b"",
        "train/husky/page.jpg": b"<!doctype html><html>not found</html>",
        "train/husky/cut.png": encode(photo(99), "PNG")[:-3000],
        "train/husky/wide.png": encode(Image.new("1", (70_000, 1)), "PNG"),
    }
    for name, data in planted.items():
        (dogs / name).write_bytes(data)
    code, told = checked(capsys, dogs)
    assert code == 1
    assert sorted(found(told)["corrupt"]["names"]) == sorted(planted)
    assert "truncated" in told["problems"]["train/husky/cut.jpg"]
    assert told["problems"]["train/husky/empty.jpg"] == "is empty"
    assert "3c 21 64 6f" in told["problems"]["train/husky/page.jpg"]
    assert "65,535" in told["problems"]["train/husky/wide.png"]


def test_classes_are_compared_with_those_of_train(dogs, capsys):
    shutil.rmtree(dogs / "test/poodle")
    (dogs / "valid/wolf").mkdir()
    photo(500).save(dogs / "valid/wolf/1.jpg")
    (dogs / "train/akita").mkdir()
    (dogs / "train/boxer").mkdir()
    (dogs / "train/boxer/1.jpg").write_bytes(b"no picture")
    code, told = checked(capsys, dogs, "--allow", "corrupt")
    kinds = found({"findings": [one for one in told["findings"] if one["kind"] != "missing"]})
    assert code == 1
    assert kinds["unknown"]["names"] == ["wolf"]
    assert kinds["empty"]["names"] == ["train/akita", "train/boxer"]
    missing = [one["names"] for one in told["findings"] if one["kind"] == "missing"]
    assert sorted(missing) == [["boxer"], ["boxer", "poodle"]]


def test_uneven_and_small_classes_are_measured(dogs, capsys):
    for number in range(2, 12):
        (dogs / f"train/poodle/{number}.jpg").unlink()
    _, told = checked(capsys, dogs, "--most-ratio", "5")
    sizes = np.array([12, 12, 2]) / 26
    effective = float(np.exp(-(sizes * np.log(sizes)).sum()))
    assert told["splits"]["train"]["effective_classes"] == pytest.approx(effective, abs=0.006)
    assert told["splits"]["train"]["ratio"] == 6.0
    assert set(found(told)) == {"tiny", "imbalance"}
    assert found(told)["tiny"]["names"] == ["poodle"]
    code, told = checked(capsys, dogs, "--least", "2")
    assert (code, told["findings"]) == (0, [])


def test_odd_pictures_are_counted_and_are_no_errors(dogs, capsys):
    deep = Image.fromarray(np.asarray(photo(700).convert("L")).astype(np.uint16) * 257)
    (dogs / "train/husky/deep.png").write_bytes(encode(deep, "PNG"))
    (dogs / "train/husky/cmyk.jpg").write_bytes(encode(photo(701).convert("CMYK"), "JPEG"))
    (dogs / "train/husky/small.png").write_bytes(encode(photo(702, 20, 15), "PNG"))
    frames = [photo(703), photo(704)]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    (dogs / "train/husky/moving.gif").write_bytes(moving.getvalue())
    (dogs / "train/husky/notes.txt").touch()
    (dogs / "sketches").mkdir()
    photo(705).save(dogs / "sketches/1.jpg")
    photo(706).save(dogs / "train/husky/a#b.jpg")
    photo(707).save(dogs / "train/husky/A#b.jpg")
    code, told = checked(capsys, dogs)
    kinds = found(told)
    assert code == 0
    assert set(kinds) == {"small", "mode", "animated", "outside", "other", "name"}
    assert kinds["small"]["names"] == ["train/husky/small.png"]
    assert set(kinds["mode"]["names"]) >= {"train/husky/cmyk.jpg", "train/husky/deep.png"}
    assert kinds["animated"]["names"] == ["train/husky/moving.gif"]
    assert kinds["outside"]["names"] == ["sketches/1.jpg"]
    assert set(kinds["name"]["names"]) == {"train/husky/a#b.jpg", "train/husky/A#b.jpg"}


@pytest.mark.parametrize("split", ["train", "valid"])
def test_pictures_right_in_a_split_are_an_error_as_training_drops_the_split(split, dogs, capsys):
    photo(705).save(dogs / split / "stray.jpg")
    code, told = checked(capsys, dogs)
    assert (code, set(found(told))) == (1, {"stray"})
    assert found(told)["stray"]["names"] == [f"{split}/stray.jpg"]
    assert told["splits"]["train"]["pictures"] == 36
    try:
        seen = {split for split, _, _ in as_training_sees(dogs, dogs.parent / "work")}
    except ChannelError:
        seen = set()
    assert seen != {"train", "validation", "test"}


def test_pictures_in_shards_are_read_in_place(dogs, tmp_path, capsys):
    shutil.copy(dogs / "train/husky/3.jpg", dogs / "test/husky/copy.jpg")
    assert main(["data", "pack", str(dogs), str(tmp_path / "out"), "--shard-bytes", "100KB"]) == 0
    capsys.readouterr()
    code, told = checked(capsys, tmp_path / "out")
    assert code == 1
    assert told["pictures"] == 61
    assert found(told)["leak"]["groups"] == [["test/husky/copy.jpg", "train/husky/3.jpg"]]


def test_several_processes_find_what_one_does(dogs, capsys):
    shutil.copy(dogs / "train/husky/3.jpg", dogs / "test/husky/copy.jpg")
    (dogs / "train/husky/bad.jpg").write_bytes(b"bad")
    one = checked(capsys, dogs, "--processes", "1")
    two = checked(capsys, dogs, "--processes", "2")
    assert one[0] == two[0] == 1
    assert {**one[1], "seconds": 0} == {**two[1], "seconds": 0}


def test_the_text_says_the_leak_first_and_the_next_command_last(dogs, capsys):
    shutil.copy(dogs / "train/husky/3.jpg", dogs / "test/husky/copy.jpg")
    assert main(["data", "check", str(dogs)]) == 1
    lines = capsys.readouterr().out.splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    assert errors == ["ERROR: leak: 1 of 13 test pictures are in train"]
    assert lines[-1] == "next:    --page check.html shows the pictures; -o json names all of them"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "is not a folder"),
        (["dogs", "--near", "99"], "--near: expected bits from 0 to 32"),
        (["dogs", "--allow", "leek"], "did you mean 'leak'"),
    ],
)
def test_impossible_checks_are_refused_in_one_line(words, line, dogs, capsys, monkeypatch):
    monkeypatch.chdir(dogs.parent)
    assert main(["data", "check", *words]) == 2
    assert line in capsys.readouterr().err


def test_a_prefix_in_s3_is_downloaded_and_checked(aws_here, dogs, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copy(dogs / "train/husky/3.jpg", dogs / "test/husky/copy.jpg")
    assert main(["data", "push", str(dogs), "s3://pets-1/d", "--create-bucket"]) == 0
    capsys.readouterr()
    code = main(["data", "check", "s3://pets-1/d", "-o", "json"])
    told = json.loads(capsys.readouterr().out)
    assert (code, told["pictures"], told["folder"]) == (1, 61, "s3://pets-1/d")
    assert found(told)["leak"]["groups"] == [["test/husky/copy.jpg", "train/husky/3.jpg"]]
    assert "other" not in found(told)  # the manifest of the push is none
