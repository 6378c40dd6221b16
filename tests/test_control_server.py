"""`kennel serve` and `kennel predict --bundle` with the real server and a real bundle."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from serving import COLOURS, colour_bundle, picture

from contract.errors import HostError, UsageError
from control.cli import main
from control.client import is_ready
from control.server import ServerPlan, check_address, free_port, running_server

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def red(tmp_path):
    """A red picture's file."""
    path = tmp_path / "red.png"
    path.write_bytes(picture("red"))
    return path


def test_predict_serves_a_bundle_asks_it_and_stops_it(red, capsys):
    assert main(["predict", str(red), "--bundle", str(colour_bundle()), "-o", "json"]) == 0
    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    assert prediction["label"] == "red"
    assert len(prediction["top"]) == len(COLOURS)


def test_a_started_server_is_gone_after_its_block():
    with running_server(colour_bundle()) as url:
        assert is_ready(url)
    assert not is_ready(url)


def test_a_server_that_cannot_load_its_bundle_says_why(tmp_path):
    damaged = tmp_path / "bundle"
    shutil.copytree(colour_bundle(), damaged)
    (damaged / "model.bin").write_bytes(b"damaged")
    with pytest.raises(HostError, match=r"model\.bin"), running_server(damaged):
        pass


def test_serve_says_when_it_is_ready_and_ends_with_a_signal(tmp_path):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "control", "serve", str(colour_bundle()), "--port", str(port)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process.stdout:
        assert any(line.startswith(f"ready at http://127.0.0.1:{port}") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.wait(timeout=60) == 0
    assert not is_ready(f"http://127.0.0.1:{port}")


def test_show_prints_the_command_of_the_server(capsys):
    assert main(["serve", str(colour_bundle()), "--port", "9000", "--show"]) == 0
    words = capsys.readouterr().out.split()
    assert words[1:] == [
        *("-m", "serve", "--bundle", str(colour_bundle())),
        *("--host", "127.0.0.1", "--port", "9000"),
    ]


def test_a_taken_port_is_refused_before_anything_starts():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        plan = ServerPlan(bundle=Path(), port=taken.getsockname()[1])
        with pytest.raises(HostError, match="give another --port"):
            check_address(plan)


def test_a_port_out_of_range_is_refused():
    with pytest.raises(UsageError, match="expected 1 to 65535"):
        check_address(ServerPlan(bundle=Path(), port=70000))


def test_a_server_for_everybody_is_asked_on_this_machine():
    assert ServerPlan(bundle=Path(), port=80, host="0.0.0.0").url == "http://127.0.0.1:80"
