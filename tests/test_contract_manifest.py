import json

import pytest

from contract.errors import BundleError, DataError
from contract.files import write_json
from contract.manifest import Manifest, Preprocess, Probe, read_manifest


def manifest(**changes):
    known = {
        "arch": "resnet18",
        "labels": ("cat", "dog"),
        "preprocess": Preprocess(resize_px=256, crop_px=224),
        "probe": Probe(probabilities=(0.25, 0.75)),
        "files": {"model.safetensors": "00"},
        "metrics": {"test:accuracy": 0.5},
        "provenance": {"seed": 0},
    }
    return Manifest(**{**known, **changes})


def test_a_manifest_survives_json():
    text = json.dumps(manifest().to_json())
    assert Manifest.from_json(json.loads(text)) == manifest()


@pytest.mark.parametrize("version", [0, 99, "1", None])
def test_another_format_version_is_refused(version):
    with pytest.raises(BundleError, match=f"format_version {version!r}; this Kennel reads 1 and 2"):
        Manifest.from_json({**manifest().to_json(), "format_version": version})


@pytest.mark.parametrize("data", [None, [], "x", {}, 3])
def test_what_is_no_manifest_is_refused(data):
    with pytest.raises(BundleError):
        Manifest.from_json(data)


@pytest.mark.parametrize("name", ["arch", "labels", "preprocess", "probe", "files"])
def test_a_missing_name_is_refused(name):
    data = manifest().to_json()
    del data[name]
    with pytest.raises(BundleError, match=name):
        Manifest.from_json(data)


@pytest.mark.parametrize("place", [(), ("preprocess",), ("probe",)])
def test_an_unknown_name_is_refused_at_any_depth(place):
    data = manifest().to_json()
    inner = data
    for name in place:
        inner = inner[name]
    inner["colour"] = "red"
    with pytest.raises(BundleError, match="colour"):
        Manifest.from_json(data)


def test_labels_and_probe_must_be_as_many():
    with pytest.raises(BundleError, match="3 labels but 2 probe probabilities"):
        manifest(labels=("a", "b", "c"))
    with pytest.raises(DataError):
        manifest(labels=("a", "a"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"resize_px": 10, "crop_px": 11},
        {"resize_px": 10, "crop_px": 0},
        {"resize_px": 9000, "crop_px": 10},
        {"resize_px": 10, "crop_px": 10, "interpolation": "nearest"},
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(BundleError):
        Preprocess(**wrong)


def test_a_folder_without_manifest_says_what_to_do(tmp_path):
    with pytest.raises(BundleError, match=r"holds no bundle.json: .* train again or point"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff"])
def test_a_damaged_manifest_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "bundle.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError) as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_manifest_on_disk_is_read_back(tmp_path):
    write_json(tmp_path / "bundle.json", manifest().to_json())
    assert read_manifest(tmp_path) == manifest()
