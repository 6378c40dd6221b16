"""The user data of a job on EC2, run for real: whatever happens, the instance ends itself."""

import json
import shutil
import subprocess
import sys
import tarfile
import time

import pytest
from instance import BUCKET, IMAGE, JOB, TRAINS_ON, WAIT_SECONDS, Instance, job_of
from training import CLASSES, REPOSITORY, TINY

from contract.errors import SpecError
from contract.manifest import read_manifest
from contract.metrics import read_metrics
from contract.model_archive import unpack_model
from contract.opt_ml import read_job
from control.aws.ec2.user_data import BODY, MOST_BYTES, user_data

HOSTILE = """'; touch owned; $(touch owned) `touch owned` "x" \\ \n EOF & | > é"""


@pytest.fixture
def instance(tmp_path):
    """A machine with two pictures in its bucket."""
    machine = Instance(folder=tmp_path)
    machine.put("train/red/1.png")
    machine.put("train/blue/2.png")
    return machine


def ends_itself(instance):
    """The clock of the end was set before anything else, and the end was the last act."""
    first, last = instance.calls[0], instance.calls[-1]
    return (
        first[:2] == ["shutdown", "-P"] and first[2][0] == "+" and last == ["shutdown", "-P", "now"]
    )


def names_in(path):
    with tarfile.open(path) as archive:
        return sorted(member.name for member in archive if member.isfile())


def test_a_job_leaves_what_a_training_job_of_sagemaker_leaves(instance):
    done = instance.start()
    assert (done.returncode, done.stderr) == (0, "")
    assert ends_itself(instance)
    assert names_in(instance.got("output/model.tar.gz")) == ["./bundle.json"]
    assert names_in(instance.got("output/output.tar.gz")) == ["./report.html"]
    status = instance.status
    assert (status["status"], status["at"], status["exit_code"]) == ("Completed", "Ended", 0)
    assert status["failure_reason"] == ""
    log = instance.got("train.log").read_text()
    assert read_metrics(log) == {"validation:accuracy": 0.75}


def test_the_container_finds_what_sagemaker_would_lay_out(instance):
    instance.put("weights/net.pth")
    channels = {"train": f"s3://{BUCKET}/train", "pretrained": f"s3://{BUCKET}/weights/net.pth"}
    instance.start(hyperparameters={"epochs": "3", "arch": "resnet18"}, channels=channels)
    job = read_job(instance.folder / "ml", {"TRAINING_JOB_NAME": JOB})
    assert job.hyperparameters.values.epochs == 3
    assert job.channels.keys() == {"train", "pretrained"}
    assert (job.channels["train"].path / "red" / "1.png").is_file()
    assert (job.channels["pretrained"].path / "net.pth").is_file()
    assert (job.cluster.current_host, job.cluster.hosts) == ("algo-1", ("algo-1",))
    (run,) = [call for call in instance.calls if call[:2] == ["docker", "run"]]
    assert run[-2:] == [IMAGE, "train"]
    assert f"TRAINING_JOB_NAME={JOB}" in run


def test_failing_training_says_its_own_reason_and_leaves_its_outputs(instance):
    instance.train = (
        'mkdir -p "$ML/output/data"; echo x >"$ML/output/data/a"; echo half >"$ML/model/b"\n'
        'printf "no pictures\\nin \\"train\\"" >"$ML/output/failure"; exit 2\n'
    )
    instance.start()
    assert ends_itself(instance)
    status = instance.status
    assert (status["status"], status["exit_code"]) == ("Failed", 2)
    assert status["failure_reason"] == 'no pictures in "train"'
    assert names_in(instance.got("output/output.tar.gz")) == ["./a"]
    assert not instance.got("output/model.tar.gz").exists()


@pytest.mark.parametrize(("code", "says"), [(3, "train exited with 3"), (137, "out of memory")])
def test_training_without_a_word_is_described_by_its_exit_code(instance, code, says):
    instance.train = f"exit {code}\n"
    instance.start()
    assert ends_itself(instance)
    assert says in instance.status["failure_reason"]


@pytest.mark.parametrize(
    ("part", "words", "says"),
    [
        (
            "docker pull",
            "Error response from daemon: pull access denied",
            "cannot be pulled: Error",
        ),
        ("docker login", "no basic auth credentials", "lets nobody in: no basic auth"),
        ("docker info", "Cannot connect to the Docker daemon", "Docker does not answer: Cannot"),
        ("s3 cp --recursive", "(AccessDenied) when calling ListObjectsV2", "channel train: s3://"),
        (
            "output/model.tar.gz",
            "(AccessDenied) when calling PutObject",
            "model.tar.gz cannot be up",
        ),
    ],
)
def test_every_failing_step_is_named_and_ends_the_instance(instance, part, words, says):
    instance.fails = {part: words}
    instance.start()
    assert ends_itself(instance)
    status = instance.status
    assert status["status"] == "Failed"
    assert says in status["failure_reason"]
    assert words in status["failure_reason"]
    assert f"kennel: failed: {status['failure_reason']}" in instance.got("train.log").read_text()


def test_a_network_that_fails_is_tried_three_times(instance):
    instance.fails = {"docker pull": "timeout"}
    instance.start()
    assert [call[:2] for call in instance.calls].count(["docker", "pull"]) == 3


def test_an_instance_that_may_write_nothing_ends_all_the_same(instance):
    instance.fails = {f"s3://{BUCKET}/out": "(AccessDenied) when calling PutObject"}
    instance.start()
    assert ends_itself(instance)
    assert not instance.got("status.json").exists()


def test_a_channel_that_is_empty_fails_before_anything_trains(instance):
    instance.start(channels={"train": f"s3://{BUCKET}/nowhere"})
    assert ends_itself(instance)
    reason = instance.status["failure_reason"]
    assert reason == f"channel train: nothing lies at s3://{BUCKET}/nowhere"
    assert ["docker", "run"] not in [call[:2] for call in instance.calls]


def test_the_time_limit_stops_training_and_keeps_what_it_saved(instance):
    instance.train = TRAINS_ON
    instance.start(max_run_seconds=1)
    assert ends_itself(instance)
    assert ["docker", "stop", "-t", "120", "kennel"] in instance.calls
    assert instance.status["status"] == "Stopped"
    assert "max_run_seconds is over" in instance.status["failure_reason"]
    assert names_in(instance.got("output/model.tar.gz")) == ["./bundle.json"]


def test_who_asks_for_the_end_gets_what_was_saved(instance):
    instance.train = 'touch "s3/' + f'{BUCKET}/out/{JOB}/stop"\n' + TRAINS_ON
    instance.start()
    assert ends_itself(instance)
    assert instance.status["status"] == "Stopped"
    assert "stopped by a person" in instance.status["failure_reason"]
    assert instance.got("output/model.tar.gz").is_file()


def test_a_spot_instance_that_is_taken_back_saves_what_it_has(instance):
    instance.train = TRAINS_ON
    instance.metadata = {"api/token": "t", "spot/instance-action": '{"action": "terminate"}'}
    instance.start(spot=True)
    assert ends_itself(instance)
    assert "took the spot instance back" in instance.status["failure_reason"]
    assert instance.got("output/model.tar.gz").is_file()


def test_the_log_comes_while_it_trains(instance):
    instance.train = (
        "echo early\n"
        f'until grep -q early "s3/{BUCKET}/out/{JOB}/train.log" 2>/dev/null; do sleep 0.02; done\n'
        f'cp "s3/{BUCKET}/out/{JOB}/status.json" seen.json\n'
    )
    instance.start()
    seen = json.loads((instance.folder / "seen.json").read_text())
    assert (seen["status"], seen["at"], seen["exit_code"]) == ("InProgress", "Training", None)


def test_a_machine_without_the_aws_cli_gets_one(instance):
    instance.missing = ("aws",)
    instance.start()
    assert ["dnf", "install", "-y", "awscli-2"] in instance.calls
    assert instance.status["status"] == "Completed"


def test_a_machine_that_is_shut_down_from_outside_says_so(instance):
    instance.train = TRAINS_ON
    with instance.begin() as script:
        while not instance.calls or instance.calls[-1][:2] != ["docker", "run"]:
            time.sleep(0.02)
        script.terminate()
        script.communicate(timeout=WAIT_SECONDS)
        (instance.folder / "stop").touch()
    assert ends_itself(instance)
    assert instance.status["status"] == "Failed"
    assert instance.status["failure_reason"] == "the instance was told to end while it was training"


def test_hostile_names_are_only_names(instance):
    hyperparameters = {HOSTILE: HOSTILE, "epochs": "1"}
    folder = "it's $(touch owned)"
    instance.put(f"{folder}/1.png")
    channels = {"train": f"s3://{BUCKET}/{folder}"}
    done = instance.start(hyperparameters=hyperparameters, channels=channels)
    assert (done.returncode, done.stderr) == (0, "")
    assert instance.status["status"] == "Completed"
    config = instance.folder / "ml" / "input" / "config" / "hyperparameters.json"
    assert json.loads(config.read_text()) == hyperparameters
    assert (instance.folder / "ml" / "input" / "data" / "train" / "1.png").is_file()
    assert not list(instance.folder.rglob("owned"))


def test_a_hostile_reason_is_json_all_the_same(instance):
    told = r'\\ "quoted" \001\033[31m\n\t}\xff\xc3\xa9'
    instance.train = f"printf '%b' '{told}' >\"$ML/output/failure\"; exit 1\n"
    instance.start()
    data = instance.got("status.json").read_bytes().decode("utf-8", "replace")
    assert json.loads(data)["failure_reason"].startswith('\\ "quoted" [31m  }')
    assert ends_itself(instance)


# SC2016: what looks like an expansion stands in single quotes, which is what we want of it.
@pytest.mark.parametrize(("names", "but"), [({}, ""), ({HOSTILE: HOSTILE}, "SC2016")])
def test_shellcheck_finds_nothing(tmp_path, names, but):
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed")
    path = tmp_path / "user-data.sh"
    job = job_of(spot=True, has_gpu=True, kms_key="key", hyperparameters=names)
    path.write_text(user_data(job))
    words = [program, "--severity=style", *([f"--exclude={but}"] if but else []), str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_end_is_set_in_the_first_line_and_leaves_an_hour_for_all_else():
    script = user_data(job_of(max_run_seconds=600)).splitlines()
    assert next(line for line in script if not line.startswith("#")) == "shutdown -P +72"


def test_what_ec2_allows_is_kept_and_a_longer_script_is_refused():
    assert len(user_data(job_of()).encode()) < MOST_BYTES * 0.6
    with pytest.raises(SpecError, match=r"user data: 2\d,\d{3} bytes and EC2 allows 16,384"):
        user_data(job_of(hyperparameters={f"name{number}": "x" * 2000 for number in range(8)}))


def test_a_key_encrypts_what_is_written_and_gpus_are_handed_on(instance):
    instance.start(kms_key="arn:aws:kms:eu-west-1:1:key/k", has_gpu=True)
    written = [call for call in instance.calls if call[-1].startswith(f"s3://{BUCKET}/out")]
    assert written
    assert all("--sse-kms-key-id" in call for call in written if call[2] == "cp")
    (run,) = [call for call in instance.calls if call[:2] == ["docker", "run"]]
    assert run[run.index("--gpus") + 1] == "all"


def test_the_script_is_plain_ascii():
    assert BODY.read_text(encoding="ascii")


def test_our_own_training_finds_its_job_there_and_its_bundle_answers(instance, pictures):
    for path in pictures.rglob("*"):
        if path.is_file():
            instance.put(f"pictures/{path.relative_to(pictures)}", path.read_bytes())
    # In the container /opt/ml is where the configuration says; here it is a folder of the test.
    instance.train = (
        'sed -i "s|/opt/ml|$ML|" "$ML/input/config/checkpointconfig.json"\n'
        f'SAGEMAKER_BASE_DIR="$ML" PYTHONPATH="{REPOSITORY}" "{sys.executable}" -m train\n'
    )
    channels = {name: f"s3://{BUCKET}/pictures/{name}" for name in ("train", "validation", "test")}
    instance.start(hyperparameters=TINY, channels=channels)
    status = instance.status
    assert (status["status"], status["failure_reason"]) == ("Completed", "")
    said = instance.got("train.log").read_text().splitlines()
    assert any("validation:accuracy" in read_metrics(line) for line in said)
    unpack_model(instance.got("output/model.tar.gz"), instance.folder / "bundle")
    assert read_manifest(instance.folder / "bundle").labels == CLASSES
    assert "./report.html" in names_in(instance.got("output/output.tar.gz"))
