"""`kennel ... --on container` for real: trained, served, several hosts, nothing left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from containers import build_images, run
from runners import STUB_IMAGE, container_runner, run_script, spec_for
from serving import colour_bundle, picture
from training import TINY

from control.cli import main
from control.client import is_ready
from control.orphan import Process
from control.runs import read_run, stored_run
from control.server import free_port

pytestmark = pytest.mark.container

ROOT = Path(__file__).resolve().parents[1]
# Each host says what it was told and who else it can find.
NEIGHBOURS = """
import json, pathlib, socket
told = json.loads(pathlib.Path("/opt/ml/input/config/resourceconfig.json").read_text())
me = told["current_host"]
pathlib.Path("/opt/ml/model", me).touch()
server = socket.create_server(("", 7777))
print("told", me, told["hosts"], socket.gethostname(), flush=True)
(other,) = set(told["hosts"]) - {me}
for _ in range(100):
    try:
        socket.create_connection((other, 7777), timeout=5).close()
        break
    except OSError:
        import time; time.sleep(0.1)
else:
    raise SystemExit("cannot find " + other)
server.settimeout(30)
server.accept()
print("validation:accuracy=0.5;", "from", me)
"""
SECOND_FAILS = """
import pathlib, signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("told to stop", flush=True), sys.exit(0)))
if socket.gethostname() == "algo-2":
    time.sleep(1)
    pathlib.Path("/opt/ml/output/failure").write_text("the disk is full")
    sys.exit(1)
time.sleep(60)
"""


OWNER = """
import sys
from pathlib import Path
from runners import container_runner, run_script, spec_for
run_script(container_runner(Path(".")), sys.argv[1], spec_for(Path(".")))
"""
# Told to end it goes on to talk, until the file `go` is there.
TALKS_ON = """
import pathlib, signal, sys, time
base = pathlib.Path("/opt/ml")
def end(*_):
    while not (base / "go").exists():
        print("still here", flush=True)
        time.sleep(0.05)
    (base / "output" / "failure").write_text("the disk is full")
    sys.exit(1)
signal.signal(signal.SIGTERM, end)
(base / "ready").touch()
time.sleep(60)
"""


@pytest.fixture(scope="module", autouse=True)
def _images():
    build_images()


@pytest.fixture(autouse=True)
def _engine_is_left_as_it_was():
    """No container and no network of ours stays behind, whatever a test did."""
    yield
    for kind in ("kennel.run", "kennel.serve"):
        assert run("docker", "ps", "--all", "--quiet", f"--filter=label={kind}").stdout == ""
    assert run("docker", "network", "ls", "--quiet", "--filter=label=kennel.run").stdout == ""


@pytest.fixture
def job(pictures, tmp_path):
    """The description of a tiny training job."""
    path = tmp_path / "tiny.toml"
    lines = [f'{name} = "{text}"' for name, text in TINY.items()]
    channels = [f'{name} = "{pictures / name}"' for name in ("train", "validation", "test")]
    path.write_text("\n".join(["[hyperparameters]", *lines, "[channels]", *channels]))
    return path


def test_one_description_trains_in_a_container_and_its_bundle_is_served_by_one(
    job, pictures, tmp_path, capsys
):
    with contextlib.chdir(tmp_path):
        assert main(["run", str(job), "--on", "container", "-o", "json"]) == 0
        done = json.loads(capsys.readouterr().out)
        assert done["status"] == "Completed"
        assert done["metrics"]["test:accuracy"] > 0.5
        folder = tmp_path / done["folder"]
        assert (folder / "output" / "data" / "report.html").is_file()
        one = str(next((pictures / "test" / "disc").iterdir()))
        assert main(["predict", one, "--bundle", "1", "--on", "container", "-o", "json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["predictions"]
    assert answer["label"] == "disc"


def test_hosts_find_each_other_by_name_and_each_has_a_model_folder(tmp_path):
    runner = container_runner(tmp_path, num_hosts=2)
    result, shown = run_script(runner, NEIGHBOURS, spec_for(tmp_path))
    assert result.ok, shown
    for host in ("algo-1", "algo-2"):
        assert f"{host} | told {host} ['algo-1', 'algo-2'] {host}\n" in shown
    assert [path.name for path in result.model_dir.iterdir()] == ["algo-1"]
    second = result.folder / "hosts" / "algo-2" / "model"
    assert [path.name for path in second.iterdir()] == ["algo-2"]
    assert result.metrics == {"validation:accuracy": 0.5}


def test_a_host_that_fails_takes_the_others_along_and_is_named(tmp_path):
    runner = container_runner(tmp_path, num_hosts=2)
    result, shown = run_script(runner, SECOND_FAILS, spec_for(tmp_path))
    assert (result.status, result.failure_reason) == ("Failed", "algo-2: the disk is full")
    assert "algo-1 | told to stop" in shown


def test_a_killed_container_names_the_signal(tmp_path):
    spec = spec_for(tmp_path)
    label = "label=kennel.run=0001-dogs"
    timer = threading.Timer(2.0, _kill_container, (label,))
    timer.start()
    result, _ = run_script(container_runner(tmp_path), "import time; time.sleep(60)", spec)
    timer.join()
    assert (
        "train was ended by SIGKILL: often the machine ran out of memory" in result.failure_reason
    )


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_ctrl_c_while_the_containers_are_only_starting_stops_them_too(seconds, tmp_path):
    keyboard = threading.Thread(target=_ctrl_c_once_it_starts, args=(tmp_path, seconds))
    keyboard.start()
    script, spec = "import time; time.sleep(60)", spec_for(tmp_path)
    result, _ = run_script(container_runner(tmp_path, 2), script, spec, grace_seconds=1.0)
    keyboard.join()
    assert result.status == "Stopped"


def test_a_program_that_the_image_lacks_is_named(tmp_path, job, capsys):
    """The stub image has no `train`."""
    with contextlib.chdir(tmp_path):
        assert main(["run", str(job), "--on", "container", "--image", STUB_IMAGE]) == 1
    assert '"train": executable file not found' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("image", "remedy"),
    [
        ("kennel-train:nonesuch", "docker pull kennel-train:nonesuch"),
        ("no.example/x", "docker pull"),
    ],
)
def test_a_missing_image_is_refused_before_anything_is_made(image, remedy, job, tmp_path, capsys):
    with contextlib.chdir(tmp_path):
        assert main(["run", str(job), "--on", "container", "--image", image]) == 2
    assert f"has no image '{image}': type `{remedy}" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_an_engine_that_does_not_answer_is_one_line(job, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "control", "run", str(job), "--on", "container"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": "tcp://127.0.0.1:9"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("kennel: no Docker engine answers: type `sudo systemctl start")
    assert done.stderr.count("\n") == 1


def test_serve_answers_from_a_container_and_ends_with_a_signal(tmp_path):
    port = free_port()
    words = ["serve", str(colour_bundle()), "--on", "container", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "control", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    (tmp_path / "red.png").write_bytes(picture("red"))
    url = f"http://127.0.0.1:{port}"
    with process.stdout:
        assert any(line.startswith(f"ready at {url}") for line in process.stdout)
        assert main(["predict", str(tmp_path / "red.png"), "--url", url]) == 0
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.wait(timeout=60) == 0
    assert not is_ready(url)


def _ctrl_c_once_it_starts(folder, seconds):
    """After the network is made and the log is open, and before any container runs."""
    deadline = time.monotonic() + 30
    while not any(folder.rglob("train.log")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGINT)


def _kill_container(label):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if name := run("docker", "ps", "--quiet", f"--filter={label}").stdout.strip():
            run("docker", "kill", name)
            return
        time.sleep(0.1)


def test_a_container_without_its_kennel_is_stopping_until_it_has_ended(tmp_path):
    folder = tmp_path / "runs" / "0001-dogs"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, TALKS_ON],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    ) as owner:
        await_true((folder / "ready").exists)
        [client] = stored_run(folder).jobs
        owner.kill()
    await_true(lambda: not Process(*client).is_alive)  # nobody reads what it copies
    run_now = read_run(folder)
    assert run_now.status == "Stopping"
    [container] = run_now.containers
    assert f"its job (container {container})" in run_now.failure_reason
    (folder / "go").touch()
    await_true(lambda: read_run(folder).status != "Stopping")
    assert (read_run(folder).status, read_run(folder).failure_reason) == (
        "Failed",
        "the disk is full",
    )
    run("docker", "rm", container)
    run("docker", "network", "rm", container.removesuffix("-algo-1"))


def await_true(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
