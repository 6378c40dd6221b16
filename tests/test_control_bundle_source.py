"""A bundle is found in its folder, in a run's folder, or in SageMaker's archive."""

import contextlib
import io
import tarfile
from pathlib import Path

import pytest

from contract.errors import BundleError, UsageError
from contract.files import write_json
from contract.manifest import Manifest, Preprocess, Probe
from control.bundle_source import opened_bundle
from control.runs import Run, make_run_folder, write_run


@pytest.fixture
def run_folder(tmp_path):
    """A run with a bundle of one file, the manifest."""
    folder = make_run_folder(tmp_path / "runs", "dogs")
    write_run(Run(name="dogs", folder=folder))
    manifest = Manifest(
        arch="resnet18",
        labels=("a", "b"),
        preprocess=Preprocess(resize_px=32, crop_px=32),
        probe=Probe(probabilities=(0.5, 0.5)),
        files={},
    )
    write_json(folder / "model" / "bundle.json", manifest.to_json())
    return folder


@pytest.fixture
def archive(run_folder):
    """The same bundle as SageMaker packs it."""
    path = run_folder / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(run_folder / "model" / "bundle.json", "bundle.json")
    return path


def test_a_run_folder_and_its_model_folder_are_the_same_bundle(run_folder):
    for source in (run_folder, run_folder / "model"):
        with opened_bundle(source) as bundle:
            assert bundle == run_folder / "model"


def test_a_run_is_found_by_its_number(run_folder, tmp_path):
    with contextlib.chdir(tmp_path), opened_bundle(Path("1")) as bundle:
        assert bundle.resolve() == run_folder / "model"


def test_an_archive_is_unpacked_only_while_it_is_used(archive):
    with opened_bundle(archive) as bundle:
        assert (bundle / "bundle.json").is_file()
    assert not bundle.exists()


def test_an_archive_that_reaches_out_of_its_folder_is_refused(tmp_path):
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("../escaped.txt")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"hi"))
    with pytest.raises(BundleError, match="leads out of the archive"), opened_bundle(path):
        pass


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_an_archive_with_links_or_pipes_is_refused(tmp_path, kind):
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("bundle.json")
        member.type, member.linkname = kind, "/etc/hostname"
        tar.addfile(member)
    with pytest.raises(BundleError, match=r"bundle\.json"), opened_bundle(path):
        pass


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.tar\.gz") as caught, opened_bundle(path):
        pass
    assert "Error" not in str(caught.value)  # tarfile's own, one for each way of packing


def test_a_folder_without_a_bundle_says_what_is_missing(tmp_path):
    with pytest.raises(BundleError, match=r"holds no bundle\.json"), opened_bundle(tmp_path):
        pass


def test_a_path_to_nothing_is_refused(tmp_path):
    with (
        contextlib.chdir(tmp_path),
        pytest.raises(UsageError, match="give a bundle"),
        opened_bundle(tmp_path / "nowhere"),
    ):
        pass
