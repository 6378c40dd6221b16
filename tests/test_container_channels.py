"""Channels as the platform mounts them in the train image: read-only, streamed, for any user."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from containers import HARDENED, build_images, mount, open_to_all, run
from training import TINY

pytestmark = pytest.mark.container


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    build_images()


def lay_out(folder: Path, data: Path) -> tuple[str, ...]:
    """A job with channels in FastFile mode; options of `docker run`, the data mounted read-only."""
    for name in ("input/config", "model", "output"):
        (folder / name).mkdir(parents=True)
    channels = sorted(path.name for path in data.iterdir())
    configuration = {
        "hyperparameters": {**TINY, "epochs": "1"},
        "inputdataconfig": {name: {"TrainingInputMode": "FastFile"} for name in channels},
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"]},
    }
    for name, value in configuration.items():
        (folder / "input" / "config" / f"{name}.json").write_text(json.dumps(value))
    places = [mount(data / name, f"/opt/ml/input/data/{name}", "ro") for name in channels]
    return (*HARDENED, mount(open_to_all(folder), "/opt/ml"), *places)


@pytest.fixture
def data(pictures: Path, tmp_path: Path) -> Path:
    """train and validation, readable by everybody and writable by nobody."""
    folder = tmp_path / "data"
    for channel in ("train", "validation"):
        shutil.copytree(pictures / channel, folder / channel)
    return close_to_all(folder)


def close_to_all(folder: Path) -> Path:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


def test_fast_file_channels_are_only_read(data, tmp_path):
    options = lay_out(tmp_path / "ml", data)
    done = run("docker", "run", "--rm", *options, "kennel-train")
    assert "data   36 train, 15 validation pictures" in done.stdout
    assert (tmp_path / "ml" / "model" / "bundle.json").is_file()


def test_an_archive_in_a_fast_file_channel_is_unpacked_elsewhere(pictures, tmp_path):
    for channel in ("train", "validation"):
        (tmp_path / "data" / channel).mkdir(parents=True)
        with zipfile.ZipFile(tmp_path / "data" / channel / "pets.zip", "w") as archive:
            for path in sorted((pictures / channel).glob("*/*")):
                archive.write(path, path.relative_to(pictures / channel))
    options = lay_out(tmp_path / "ml", close_to_all(tmp_path / "data"))
    done = run("docker", "run", "--rm", *options, "kennel-train")
    assert "data   36 train, 15 validation pictures" in done.stdout


@pytest.mark.parametrize("how", ["of another user", "mounted read-only"])
def test_a_model_folder_that_cannot_be_written_is_one_line(data, tmp_path, how):
    options = lay_out(tmp_path / "ml", data)
    model = tmp_path / "ml" / "model"
    model.chmod(0o555)
    mode = "ro" if how == "mounted read-only" else "rw"
    options = (*options, mount(model, "/opt/ml/model", mode))
    done = run("docker", "run", "--rm", *options, "kennel-train", check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout
    reason = (tmp_path / "ml" / "output" / "failure").read_text()
    what = "Read-only file system" if mode == "ro" else "Permission denied"
    assert reason.startswith(f"cannot write /opt/ml/model: {what}; make it writable for user ")
    assert f"failed: {reason}\n" in done.stdout
    assert "epoch" not in done.stdout  # found out before the work
