"""Several processes train one model: on several hosts, and on one."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hosts import HOSTS, lay_out_hosts, run_hosts, running
from safetensors.numpy import load_file
from training import COUNTS

# The f32 sums of several processes are added in another order. In float64 the gradients agree to
# 1e-12 (test_train_shared_layers.py); rounding is all that is left.
CLOSE = 1e-3
FINE_TUNE = {"unfreeze": "all", "optimizer": "sgd", "lr": "0.0005", "epochs": "2"}
LONG = {**FINE_TUNE, "epochs": "9999", "early_stopping_patience": "0"}


def whole(pictures: Path) -> dict[str, Path]:
    """Every channel as it is."""
    return {name: pictures / name for name in COUNTS}


def rows(base: Path) -> list[dict]:
    """What each epoch measured."""
    return [
        json.loads(line) for line in (base / "output/data/metrics.jsonl").read_text().splitlines()
    ]


def curve(base: Path) -> np.ndarray:
    """Loss and accuracy of both splits, a row an epoch."""
    names = [
        f"{split}:{kind}" for split in ("train", "validation") for kind in ("loss", "accuracy")
    ]
    return np.array([[row[name] for name in names] for row in rows(base)])


def weights(base: Path) -> dict[str, np.ndarray]:
    """The served network's."""
    return load_file(base / "model" / "model.safetensors")


def test_metrics(base: Path) -> dict:
    """The scores in the bundle."""
    return json.loads((base / "model" / "bundle.json").read_text())["metrics"]


test_metrics.__test__ = False  # type: ignore[attr-defined]


def shards(pictures: Path, folder: Path) -> list[dict[str, Path]]:
    """Each picture on one of two hosts, unevenly: the second has no `bars` and no test picture."""
    hosts: list[dict[str, Path]] = [{}, {}]
    for split in COUNTS:
        for number, path in enumerate(sorted((pictures / split).rglob("*.*"))):
            is_second = path.parent.name != "bars" and split != "test" and number % 3 > 0
            target = folder / str(int(is_second)) / split / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
        for host in (0, 1):
            hosts[host][split] = folder / str(host) / split
            hosts[host][split].mkdir(parents=True, exist_ok=True)
    return hosts


def declare_sharded(bases: list[Path]) -> None:
    """As SageMaker says it in inputdataconfig.json."""
    for base in bases:
        path = base / "input" / "config" / "inputdataconfig.json"
        config = json.loads(path.read_text())
        for channel in config.values():
            channel["S3DistributionType"] = "ShardedByS3Key"
        path.write_text(json.dumps(config))


@pytest.fixture(scope="module")
def alone(pictures, tmp_path_factory) -> dict[str, Path]:
    """The same jobs on one host."""
    folder = tmp_path_factory.mktemp("alone")
    bases = {}
    for name, changes in (("head", {}), ("all", FINE_TUNE)):
        (bases[name],) = lay_out_hosts(folder / name, [whole(pictures)], **changes)
        ((code, output),) = run_hosts([bases[name]])
        assert code == 0, output
    return bases


def assert_same_run(one: Path, several: list[Path]) -> None:
    """The same curve and scores; one host saved, and nobody else."""
    assert np.allclose(curve(several[0]), curve(one), atol=CLOSE)
    ours, theirs = test_metrics(several[0]), test_metrics(one)
    assert ours["test:accuracy"] == theirs["test:accuracy"]
    assert ours["test:loss"] == pytest.approx(theirs["test:loss"], abs=CLOSE)
    for base in several[1:]:
        assert list((base / "model").iterdir()) == []
        assert list((base / "output" / "data").iterdir()) == []


def test_two_hosts_follow_the_curve_of_one(pictures, tmp_path, alone):
    bases = lay_out_hosts(tmp_path, [whole(pictures)] * 2, **FINE_TUNE)
    for code, output in run_hosts(bases):
        assert code == 0, output
    assert_same_run(alone["all"], bases)


@pytest.mark.parametrize(("kind", "changes"), [("head", {}), ("all", FINE_TUNE)])
def test_uneven_shards_follow_it_too(pictures, tmp_path, alone, kind, changes):
    bases = lay_out_hosts(tmp_path, shards(pictures, tmp_path / "shards"), **changes)
    declare_sharded(bases)
    done = run_hosts(bases)
    assert [code for code, _ in done] == [0, 0], done
    assert "train: each host reads its own pictures (20 + 16)" in done[0][1]
    assert "test: each host reads its own pictures (15 + 0)" in done[0][1]
    assert_same_run(alone[kind], bases)


def test_three_hosts_start_in_any_order(pictures, tmp_path, alone):
    bases = lay_out_hosts(tmp_path, [whole(pictures)] * 3)
    with running(bases[::-1], delays=(0, 1, 3)) as hosts:
        assert [(host.wait(), host.output)[0] for host in hosts] == [0, 0, 0]
    assert "this is rank 0 of 3" in hosts[2].output
    assert f"done   {HOSTS[0]} has saved the model" in hosts[0].output
    assert "epoch 1/3" not in hosts[0].output
    assert_same_run(alone["head"], bases)


def test_several_processes_of_one_host_follow_the_curve_of_one(pictures, tmp_path, alone):
    (base,) = lay_out_hosts(tmp_path, [whole(pictures)], processes_per_host="2", **FINE_TUNE)
    ((code, output),) = run_hosts([base])
    assert code == 0, output
    assert "with 2 processes each; 127.0.0.1 leads, this is rank 1 of 2" in output
    assert_same_run(alone["all"], [base])


def test_a_host_that_never_comes_is_named_by_the_leader(pictures, tmp_path):
    bases = lay_out_hosts(tmp_path, [whole(pictures)] * 3, rendezvous_seconds="3")
    with running(bases[:2]) as hosts:
        assert [host.wait() for host in hosts] == [1, 1]
    for host in hosts:
        assert "host localhost did not join the job within 3 s" in host.reason


def test_a_leader_that_never_comes_is_named_by_the_others(pictures, tmp_path):
    bases = lay_out_hosts(tmp_path, [whole(pictures)] * 2, rendezvous_seconds="2")
    with running(bases[1:]) as (host,):
        assert host.wait() == 1
    assert "host 127.0.0.1 did not answer on port" in host.reason
    assert "Connection refused" in host.reason


def test_what_fails_one_host_fails_all_with_its_reason(pictures, tmp_path):
    broken = tmp_path / "broken"
    for name in ("a", "b"):
        (broken / name).mkdir(parents=True)
        (broken / name / "link.png").symlink_to("/etc/hostname")
    bases = lay_out_hosts(tmp_path, [whole(pictures), {"train": broken}])
    with running(bases) as hosts:
        assert [host.wait() for host in hosts] == [1, 2]
    assert "leaves the channel (to /etc/hostname)" in hosts[1].reason
    assert hosts[0].reason.startswith("host 127.0.0.2 failed: channel 'train'")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_dies_fails_the_job_and_is_named(pictures, tmp_path, victim):
    bases = lay_out_hosts(tmp_path, [whole(pictures)] * 2, **LONG)
    with running(bases) as hosts:
        hosts[0].wait_for("validation:loss")
        hosts[victim].process.kill()
        survivor = hosts[1 - victim]
        assert survivor.wait(60) == 1
    assert f"host {HOSTS[victim]} died" in survivor.reason
    assert "Traceback" not in survivor.output


def test_a_host_that_freezes_fails_the_job_within_a_minute(pictures, tmp_path):
    bases = lay_out_hosts(tmp_path, [whole(pictures)] * 2, **LONG)
    with running(bases) as hosts:
        hosts[0].wait_for("validation:loss")
        hosts[1].process.send_signal(signal.SIGSTOP)
        assert hosts[0].wait(60) == 1
    assert "host 127.0.0.2 has been silent for" in hosts[0].reason


@pytest.mark.parametrize(
    "changes", [{**LONG, "unfreeze": "none", "epochs": "400"}, {**LONG, "epochs": "8"}]
)
def test_two_hosts_that_were_stopped_continue_to_the_same_bits(pictures, tmp_path, changes):
    whole_run = lay_out_hosts(tmp_path / "whole", [whole(pictures)] * 2, **changes)
    assert [code for code, _ in run_hosts(whole_run)] == [0, 0]
    bases = lay_out_hosts(tmp_path / "stopped", [whole(pictures)] * 2, **changes)
    with running(bases) as hosts:
        hosts[0].wait_for("validation:loss")
        for host in hosts:
            host.process.send_signal(signal.SIGTERM)
        assert [host.wait() for host in hosts] == [0, 0], hosts[0].output
    assert "checkpoint saved in" in hosts[0].output
    assert not (bases[1] / "checkpoints" / "checkpoint.safetensors").exists()
    done = run_hosts(bases)
    assert [code for code, _ in done] == [0, 0], done
    assert "resume at epoch" in done[0][1]
    first, second = weights(whole_run[0]), weights(bases[0])
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_stop_that_only_one_host_hears_stops_the_job(pictures, tmp_path):
    bases = lay_out_hosts(tmp_path, [whole(pictures)] * 2, **{**LONG, "unfreeze": "none"})
    with running(bases) as hosts:
        hosts[0].wait_for("validation:loss")
        hosts[1].process.send_signal(signal.SIGTERM)
        assert [host.wait() for host in hosts] == [0, 0], hosts[0].output
    assert "checkpoint saved in" in hosts[0].output


def test_a_process_that_was_killed_is_named_in_the_reason(pictures, tmp_path):
    (base,) = lay_out_hosts(tmp_path, [whole(pictures)], processes_per_host="2", **LONG)
    with running([base]) as (host,):
        host.wait_for("validation:loss")
        children = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text()
        os.kill(int(children.split()[1]), signal.SIGKILL)
        assert host.wait(60) == 1
    assert "process 1 of host 127.0.0.1" in host.reason
