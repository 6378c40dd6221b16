"""The three images as a platform runs them: hardened, stopped, asked, and looked into."""

import json
import shutil
import time
from pathlib import Path

import pytest
from containers import (
    HARDENED,
    TARGETS,
    Container,
    build_images,
    container,
    inspect,
    mount,
    open_to_all,
    run,
)
from serving import colour_bundle, picture

pytestmark = pytest.mark.container

SERVING = ("serve", "serve-cpu")
MOST_MB = 700  # of serve-cpu, uncompressed
MOST_SECONDS = 3  # from `docker run` of serve-cpu to the first 200 of /ping, on two processors
SAGEMAKER = "com.amazonaws.sagemaker.capabilities."


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    build_images()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that knows colours, readable by any user."""
    folder = tmp_path_factory.mktemp("bundle") / "model"
    shutil.copytree(colour_bundle(), folder)
    return open_to_all(folder)


@pytest.fixture
def opt_ml(pictures: Path, tmp_path: Path) -> Path:
    """A training job as SageMaker lays it out: 36 small pictures, two epochs."""
    return write_job(tmp_path, pictures, epochs=2)


def write_job(folder: Path, pictures: Path, epochs: int) -> Path:
    """/opt/ml with the channels train and validation."""
    for name in ("input/data", "input/config", "model", "output", "checkpoints"):
        (folder / name).mkdir(parents=True)
    channels = ("train", "validation")
    for channel in channels:
        shutil.copytree(pictures / channel, folder / "input" / "data" / channel)
    hyperparameters = {
        "arch": "squeezenet1_1",
        "pretrained": "false",
        "unfreeze": "all",
        "image-size": "64",
        "batch-size": "12",
        "epochs": str(epochs),
    }
    configuration = {
        "hyperparameters": hyperparameters,
        "inputdataconfig": {channel: {"TrainingInputMode": "File"} for channel in channels},
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"]},
    }
    for name, value in configuration.items():
        (folder / "input" / "config" / f"{name}.json").write_text(json.dumps(value))
    return open_to_all(folder)


def model_options(folder: Path) -> tuple[str, ...]:
    return (mount(folder, "/opt/ml/model", "ro"), "--cpus=2")


def probabilities(body: bytes) -> dict[str, float]:
    (prediction,) = json.loads(body)["predictions"]
    return {item["label"]: item["probability"] for item in prediction["top"]}


def process_one(running: Container) -> str:
    return running.execute("cat", "/proc/1/cmdline").split("\0")[0]


def test_a_hardened_container_trains_a_bundle_that_both_servers_serve_alike(opt_ml):
    done = run("docker", "run", "--rm", *HARDENED, mount(opt_ml, "/opt/ml"), "kennel-train")
    assert "validation:accuracy=" in done.stdout
    assert (opt_ml / "output" / "success").exists()

    model = (
        open_to_all(opt_ml / "model") if (opt_ml / "model").owner() == "root" else opt_ml / "model"
    )
    answers = []
    for target in SERVING:
        with container(f"kennel-{target}", "serve", options=model_options(model)) as running:
            running.wait_until_ready()
            status, body = running.ask("/invocations", picture())
            assert status == 200
            answers.append(probabilities(body))
    assert answers[0] == pytest.approx(answers[1], abs=1e-3)


@pytest.mark.parametrize("target", SERVING)
def test_a_hardened_server_answers_and_ends_well_at_sigterm(target, bundle):
    options = (*HARDENED, *model_options(bundle))
    image = f"kennel-{target}"
    with container(image, options=options, published=False) as running:
        running.wait_until(lambda: '"ready"' in running.log(), "the model is not ready")
        code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/ping').status)"
        assert running.execute("python", "-c", code) == "200\n"
        assert process_one(running) == "/opt/venv/bin/python"
        assert running.stop() == 0


def test_sigterm_during_training_saves_a_checkpoint_and_the_next_start_resumes(pictures, tmp_path):
    opt_ml = write_job(tmp_path / "ml", pictures, epochs=500)
    with container("kennel-train", options=(mount(opt_ml, "/opt/ml"),), published=False) as running:
        running.wait_until(lambda: "epoch   1/500" in running.log(), "no epoch ended")
        assert process_one(running) == "/opt/venv/bin/python"
        assert running.stop() == 0, running.log()
    assert any((opt_ml / "checkpoints").iterdir())

    with container("kennel-train", options=(mount(opt_ml, "/opt/ml"),), published=False) as running:
        running.wait_until(lambda: "resum" in running.log().lower(), "it does not resume")


def test_a_failed_job_says_why(opt_ml):
    shutil.rmtree(opt_ml / "input" / "data" / "train")
    done = run("docker", "run", "--rm", mount(opt_ml, "/opt/ml"), "kennel-train", check=False)
    assert done.returncode == 1
    assert "train" in (opt_ml / "output" / "failure").read_text().splitlines()[0]


def test_serve_cpu_is_small_and_soon_ready(bundle, capsys):
    size_mb = inspect("kennel-serve-cpu")["Size"] / 1e6
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        with container("kennel-serve-cpu", options=model_options(bundle)) as running:
            running.wait_until_ready()
            seconds.append(time.monotonic() - started)
            assert running.ask("/invocations", picture())[0] == 200
    with capsys.disabled():
        for name, value, most in (
            ("serve_cpu_megabytes", size_mb, MOST_MB),
            ("serve_cpu_ready_seconds", min(seconds), MOST_SECONDS),
        ):
            print(
                f"\nbar {name} {value:.2f} <= {most} {'ok' if value <= most else 'short'}", end=""
            )
        print()
    assert size_mb <= MOST_MB


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_is_described_and_has_a_command(target):
    configuration = inspect(f"kennel-{target}")["Config"]
    labels = configuration["Labels"]
    assert configuration["Cmd"] == ["train" if target == "train" else "serve"]
    assert not configuration["Entrypoint"]
    assert labels["org.opencontainers.image.title"] == f"kennel-{target}"
    assert (labels.get(f"{SAGEMAKER}multi-models") == "true") == (target in SERVING)
    assert (labels.get(f"{SAGEMAKER}accept-bind-to-port") == "true") == (target in SERVING)
    gpus = [line for line in configuration["Env"] if line == "NVIDIA_VISIBLE_DEVICES=all"]
    assert bool(gpus) == (target != "serve-cpu")


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_no_compiler_and_no_ssh(target):
    script = "for name in gcc cc clang make ssh sshd; do command -v $name; done; true"
    assert run("docker", "run", "--rm", f"kennel-{target}", "sh", "-c", script).stdout == ""


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_only_its_rooms_and_they_are_compiled(target):
    ours = {"train", "debugger"} if target == "train" else {"serve"}
    rooms = {"contract", "classifier", *ours}
    listing = run("docker", "run", "--rm", f"kennel-{target}", "ls", "/opt/kennel")
    assert set(listing.stdout.split()) == rooms
    code = "import contract.job as m, os; print(os.path.exists(m.__cached__))"
    assert run("docker", "run", "--rm", f"kennel-{target}", "python", "-c", code).stdout == "True\n"


def test_serve_cpu_has_no_torch_and_no_cuda():
    packages = run(
        "docker", "run", "--rm", "kennel-serve-cpu", "ls", "/opt/venv/lib/python3.11/site-packages"
    )
    names = packages.stdout.lower()
    assert "openvino" in names
    assert not [word for word in ("torch", "nvidia", "cuda", "triton") if word in names]


def test_the_cuda_images_share_their_largest_layer():
    train, serve = (inspect(f"kennel-{target}") for target in ("train", "serve"))
    assert set(train["RootFS"]["Layers"]) & set(serve["RootFS"]["Layers"])
    history = ("docker", "history", "--human=false", "--format={{.Size}}")
    for target in ("train", "serve"):
        sizes = [int(line) for line in run(*history, f"kennel-{target}").stdout.split()]
        assert sum(sizes) - max(sizes) < 1.2e9  # the base and what each has of its own


def test_a_users_pythonpath_does_not_hide_our_rooms():
    command = ("docker", "run", "--rm", "--env=PYTHONPATH=/nowhere", "kennel-serve-cpu")
    assert "usage" in run(*command, "serve", "--help").stdout
