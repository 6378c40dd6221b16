"""The container runner and server without an engine: plans, options, and what cannot be done."""

import dataclasses
import json
import os
import shlex
from pathlib import Path

import pytest
from runners import spec_for

from contract.errors import UsageError
from control.cli import main
from control.docker_engine import Engine, bind, caller_options, explain, gpu_options
from control.run_container import ContainerRunner
from control.serve_container import ContainerServerPlan


@pytest.fixture
def runner(tmp_path):
    return ContainerRunner(engine=Engine(), runs=tmp_path / "runs")


@pytest.fixture
def engineless(tmp_path):
    """The environment of a machine without Docker, and a job."""
    spec_for(tmp_path)
    job = tmp_path / "dogs.toml"
    job.write_text('[channels]\ntrain = "pictures"\n')
    path, os.environ["PATH"] = os.environ["PATH"], str(tmp_path)
    yield str(job)
    os.environ["PATH"] = path


def test_a_plan_touches_no_disk_and_says_every_command(runner, tmp_path):
    plan = runner.plan(spec_for(tmp_path))
    assert plan.before[0][:3] == ("docker", "network", "create")
    assert plan.command[:2] == ("docker", "run")
    assert plan.command[-2:] == ("kennel-train", "train")
    assert plan.after[-1] == ("docker", "network", "rm", "kennel-NNNN-dogs")
    assert json.loads(json.dumps(plan.to_json()))["beside"] == []
    assert not (tmp_path / "runs").exists()


def test_the_run_folder_is_opt_ml_and_channels_are_read_only(runner, tmp_path):
    weights = tmp_path / "net.pth"
    weights.touch()
    command = runner.plan(spec_for(tmp_path, pretrained=weights)).command
    mounts = [word for word in command if word.startswith("--mount=")]
    data = "/opt/ml/input/data"
    assert mounts == [
        f"--mount=type=bind,source={tmp_path}/runs/NNNN-dogs,target=/opt/ml",
        f"--mount=type=bind,source={tmp_path}/pictures,target={data}/train,readonly",
        f"--mount=type=bind,source={weights},target={data}/pretrained/net.pth,readonly",
    ]


def test_each_host_has_a_name_on_the_network_and_a_folder_of_its_own(runner, tmp_path):
    runner = dataclasses.replace(runner, num_hosts=3)
    plan = runner.plan(spec_for(tmp_path))
    for number, command in enumerate((plan.command, *plan.beside), start=1):
        assert f"--hostname=algo-{number}" in command
        assert f"--network-alias=algo-{number}" in command
        assert "--network=kennel-NNNN-dogs" in command
    bases = [
        bind(tmp_path / "runs/NNNN-dogs/hosts" / name, "/opt/ml", writable=True)
        for name in ("algo-2", "algo-3")
    ]
    assert [base in command for base, command in zip(bases, plan.beside, strict=True)] == [True] * 2


def test_what_a_container_writes_belongs_to_the_caller():
    assert f"--user={os.getuid()}:{os.getgid()}" in caller_options(Engine())


def test_a_rootless_engine_makes_root_the_caller_by_itself():
    assert caller_options(Engine(is_rootless=True)) == ()


@pytest.mark.parametrize(
    ("wish", "has_nvidia", "options"),
    [
        ("auto", True, ("--gpus=all",)),
        ("auto", False, ()),
        ("all", False, ("--gpus=all",)),
        ("none", True, ("--env=NVIDIA_VISIBLE_DEVICES=void",)),
        ("none", False, ()),
    ],
)
def test_gpus_are_given_where_they_are_or_where_a_person_insists(wish, has_nvidia, options):
    assert gpu_options(Engine(has_nvidia=has_nvidia), wish) == options


def test_a_path_with_commas_and_colons_can_be_mounted():
    option = bind(Path("/data/a,b:c"), "/opt/ml")
    assert option == '--mount=type=bind,"source=/data/a,b:c",target=/opt/ml,readonly'


def test_a_missing_gpu_runtime_says_what_to_install():
    said = 'could not select device driver "" with capabilities: [[gpu]]'
    assert "nvidia-container-toolkit, or give --gpus none" in explain(said)


@pytest.mark.parametrize("change", [{"num_hosts": 0}, {"num_hosts": 99}, {"shm_size": "much"}])
def test_what_no_engine_could_do_is_refused(change):
    with pytest.raises(UsageError, match="expected"):
        ContainerRunner(engine=Engine(), **change)


def test_a_served_bundle_is_read_only_and_for_this_machine_alone(tmp_path):
    plan = ContainerServerPlan(bundle=tmp_path, port=9000, engine=Engine())
    assert "--publish=127.0.0.1:9000:8080" in plan.command
    assert bind(tmp_path, "/opt/ml/model") in plan.command
    assert plan.command[-2:] == ("kennel-serve-cpu", "serve")
    assert plan.url == "http://127.0.0.1:9000"


def test_a_machine_without_docker_is_told_so_in_one_line(engineless, capsys):
    assert main(["run", engineless, "--on", "container"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("kennel: there is no program docker: install")
    assert error.count("\n") == 1


def test_show_needs_no_engine(engineless, capsys):
    words = ["run", engineless, "--on", "container", "--instances", "2", "--show"]
    assert main(words) == 0
    shown = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in shown if line[1:3] == ["docker", "run"]] == ["command"] * 2


@pytest.mark.parametrize(
    "words",
    [["--instances", "2"], ["--image", "mine"], ["--gpus", "all"], ["--shm-size", "1g"]],
)
def test_a_process_is_not_asked_for_what_only_containers_have(words, engineless, capsys):
    assert main(["run", engineless, *words]) == 2
    assert (
        f"{words[0]} {words[1]}: a process has none; add --on container" in capsys.readouterr().err
    )


def test_a_server_that_runs_already_has_no_place(tmp_path, capsys):
    (tmp_path / "a.png").touch()
    assert main(["predict", str(tmp_path / "a.png"), "--on", "container"]) == 2
    assert "only a server that --bundle starts has a place" in capsys.readouterr().err
