"""`kennel serve --multi` with the real server: many models behind one address."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from random_bundles import random_bundle
from serving import WAIT_SECONDS, colour_bundle, picture

from control.cli import main
from control.client import is_ready
from control.multi_server import HEADER
from control.server import free_port

ROOT = Path(__file__).resolve().parents[1]
ARCHES = ("resnet50", "mobilenet_v3_large")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder as people have them: a bundle, a run, an archive."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(random_bundle("resnet50"), folder / "resnet50")
    shutil.copytree(random_bundle("mobilenet_v3_large"), folder / "runs" / "0001-mobile" / "model")
    with tarfile.open(folder / "colours.tar.gz", "w:gz") as tar:
        tar.add(colour_bundle(), ".")
    return folder


@contextmanager
def kennel_serve(*words):
    """The command, ready; yields its url and what it said."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "control", "serve", *map(str, words), "--port", str(port)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process.stdout:
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("next: "):
                    break
            yield f"http://127.0.0.1:{port}", "".join(said)
        finally:
            process.send_signal(signal.SIGINT)
            process.stdout.read()
    assert process.wait(WAIT_SECONDS) == 0
    assert not is_ready(f"http://127.0.0.1:{port}")


def ask(url, target, data):
    headers = {HEADER: target, "Content-Type": "image/png"}
    request = urllib.request.Request(f"{url}/invocations", data, headers)
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:
        return json.load(reply)["predictions"][0]


def test_a_resnet50_and_a_mobilenet_answer_behind_one_address_by_target_model(models):
    with kennel_serve("--multi", models) as (url, said):
        assert "  colours.tar.gz\n  resnet50\n  runs/0001-mobile\n" in said
        for _ in range(2):
            assert ask(url, "resnet50", picture())["label"].startswith("resnet50-")
            mobile = ask(url, "runs/0001-mobile", picture())["label"]
            assert mobile.startswith("mobilenet_v3_large-")
            assert ask(url, "colours.tar.gz", picture("green"))["label"] == "green"


def test_the_shown_curl_command_works(models, tmp_path):
    (tmp_path / "PICTURE").write_bytes(picture("blue"))
    with kennel_serve("--multi", models) as (_, said):
        command = said.partition("next: ")[2]
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=WAIT_SECONDS
        )
    assert json.loads(done.stdout)["predictions"][0]["label"] == "blue"


def test_show_prints_a_command_that_can_be_typed(models, capsys):
    assert main(["serve", "--multi", str(models), "--port", "9000", "--show"]) == 0
    words = capsys.readouterr().out.split()
    assert words[:3] == ["env", "SAGEMAKER_MULTI_MODEL=true", f"KENNEL_MODELS_DIR={models}"]
    assert words[4:] == ["-m", "serve", "--host", "127.0.0.1", "--port", "9000"]


@pytest.mark.parametrize(("place", "says"), [("", "holds no model"), ("x", "cannot be listed")])
def test_a_folder_without_models_is_refused_before_anything_starts(place, says, tmp_path, capsys):
    assert main(["serve", "--multi", str(tmp_path / place)]) == 2
    assert says in capsys.readouterr().err
