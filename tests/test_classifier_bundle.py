import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from serving import colour_bundle, expected_probabilities
from training import REPOSITORY, WAIT_SECONDS, manifest_for

from classifier.bundle import probe_picture, probe_pixels, read_bundle, write_bundle
from classifier.classifier import Classifier
from classifier.engine import load_engine
from contract.errors import BundleError, HostError, ProbeError
from contract.manifest import Preprocess

FILES = ("model.safetensors", "model.xml", "model.bin", "probe.png")
ENDLESS_EXPORT = """
import sys
from dataclasses import replace
from pathlib import Path
from classifier.bundle import write_bundle
from contract.manifest import Manifest, Preprocess, Probe
folder = Path(sys.argv[1])
manifest = Manifest(arch="a", labels=("x",), preprocess=Preprocess(resize_px=8, crop_px=8),
                    probe=Probe(probabilities=(1.0,)), files={})
for turn in range(10**9):
    sources = {}
    for name in ("model.safetensors", "model.xml", "model.bin"):
        sources[name] = folder.parent / name
        sources[name].write_bytes(bytes([turn % 251]) * 200_000)
    write_bundle(folder, replace(manifest, provenance={"turn": turn % 251}), sources)
"""


@pytest.fixture
def bundle(tmp_path):
    """A copy of a real bundle that a test may break."""
    return shutil.copytree(colour_bundle(), tmp_path / "bundle")


def edit(folder, **changes):
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(folder, kind=BundleError):
    with pytest.raises(kind) as caught:
        Classifier.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_bundle_is_read_back_and_answers(bundle):
    classifier = Classifier.load(bundle)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    for row, picture in zip(classifier.probabilities(pixels), pixels, strict=True):
        assert np.abs(row - expected_probabilities(picture)).max() < 1e-5
    assert classifier.predict(pixels)[0].labels == ("blue", "green", "red")


@pytest.mark.parametrize("name", FILES)
def test_one_altered_byte_is_noticed(bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    assert f"{name} is not the file that training wrote (sha256 differs)" in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    assert f"{name} is missing; copy or unpack the whole bundle" in refusal(bundle)


def test_a_folder_without_manifest_is_no_bundle(bundle):
    (bundle / "bundle.json").unlink()
    assert "holds no bundle.json" in refusal(bundle)


def test_an_unknown_key_and_another_format_are_refused(bundle):
    edit(bundle, colour="red")
    assert "colour" in refusal(bundle)
    edit(bundle, format_version=99)
    assert "format_version 99; this Kennel reads 1 and 2" in refusal(bundle)


def test_a_manifest_may_not_point_out_of_its_folder(bundle, tmp_path):
    (tmp_path / "secret").write_text("")
    files = json.loads((bundle / "bundle.json").read_text())["files"]
    edit(bundle, files={**files, "../secret": "00"})
    assert "../secret is missing" in refusal(bundle)


def test_a_manifest_must_name_the_probe(bundle):
    files = json.loads((bundle / "bundle.json").read_text())["files"]
    del files["probe.png"]
    edit(bundle, files=files)
    assert "names no probe.png" in refusal(bundle)


@pytest.mark.parametrize("first", [0.9, 0.3])
def test_a_network_that_answers_its_probe_differently_is_refused(bundle, first):
    edit(bundle, probe={"probabilities": [first, 0.4, 0.3], "tolerance": 1e-3})
    assert "does not answer its probe picture as training did" in refusal(bundle, ProbeError)


def test_an_answer_of_nan_is_refused(bundle):
    text = (bundle / "bundle.json").read_text()
    start = text.index('"probabilities": [') + len('"probabilities": [')
    (bundle / "bundle.json").write_text(text[:start] + "NaN, " + text[text.index(",", start) + 1 :])
    assert "differs by nan" in refusal(bundle, ProbeError)


def test_an_engine_that_is_unknown_or_has_no_graph_is_refused(bundle):
    with pytest.raises(BundleError, match=r"expected one of auto \| openvino \| torch"):
        load_engine(read_bundle(bundle), "tensorrt")
    files = json.loads((bundle / "bundle.json").read_text())["files"]
    edit(bundle, files={name: files[name] for name in files if not name.startswith("model.xml")})
    with pytest.raises(BundleError, match=r"the bundle has no model\.xml"):
        load_engine(read_bundle(bundle), "openvino")


def test_a_graph_that_is_no_graph_is_refused_in_one_line(bundle):
    (bundle / "model.xml").write_text("<not a graph>")
    with pytest.raises(BundleError, match="cannot be compiled") as caught:
        load_engine(read_bundle(bundle, verify=False), "openvino")
    assert "\n" not in str(caught.value)


def test_the_probe_picture_never_changes_and_shows_a_swapped_axis():
    pixels = probe_pixels(Preprocess(resize_px=64, crop_px=64))[0]
    assert probe_picture() == probe_picture()
    assert np.abs(pixels - pixels.swapaxes(0, 1).astype(float)).mean() > 10
    assert np.abs(pixels - pixels[..., ::-1].astype(float)).mean() > 10


def test_a_new_bundle_replaces_the_old_one_and_nothing_else(bundle, tmp_path):
    (bundle / "notes.txt").write_text("mine")
    (tmp_path / "model.safetensors").write_bytes(b"new")
    manifest = read_bundle(bundle).manifest
    sources = {"model.safetensors": tmp_path / "model.safetensors"}
    write_bundle(bundle, manifest, sources)
    assert set(read_bundle(bundle).manifest.files) == {"model.safetensors", "probe.png"}
    assert (bundle / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "model.safetensors").exists()


def test_a_folder_below_a_file_is_the_hosts_error(tmp_path):
    (tmp_path / "file").write_text("")
    manifest = manifest_for("a", ("x",), Preprocess(resize_px=8, crop_px=8))
    with pytest.raises(HostError, match=r"cannot write .*model: Not a directory; check the path"):
        write_bundle(tmp_path / "file" / "model", manifest, {})


@pytest.mark.parametrize("milliseconds", [15, 40, 70, 110])
def test_a_killed_writer_leaves_a_whole_bundle(tmp_path, milliseconds):
    folder = tmp_path / "model"
    command = [sys.executable, "-c", ENDLESS_EXPORT, str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY) as writer:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (folder / "bundle.json").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(milliseconds / 1000)
        writer.kill()
    bundle = read_bundle(folder)
    for name in ("model.safetensors", "model.xml", "model.bin"):
        turn = bundle.manifest.provenance["turn"]
        assert (bundle.folder / name).read_bytes() == bytes([turn]) * 200_000
