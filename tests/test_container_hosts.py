"""One job on two hosts: containers on a network of their own, called algo-1 and algo-2."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from containers import (
    Container,
    build_images,
    container,
    inspect,
    mount,
    network,
    open_to_all,
    run,
)
from safetensors.numpy import load_file
from training import COUNTS, TINY

from contract.opt_ml import write_job

pytestmark = pytest.mark.container

HOSTS = ("algo-1", "algo-2")
FINE_TUNE = {"unfreeze": "all", "optimizer": "sgd", "lr": "0.0005", "epochs": "2"}
LONG = {**FINE_TUNE, "epochs": "9999", "early-stopping-patience": "0"}
WITHIN_SECONDS = 60  # in which a lost host must fail the job


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    build_images()


@pytest.fixture
def lan() -> Iterator[str]:
    """A network; gone afterwards."""
    with network() as name:
        yield name


def lay_out(folder: Path, hosts: Sequence[str] = HOSTS, **changes: str) -> list[Path]:
    """One /opt/ml a host."""
    bases = [folder / host for host in hosts]
    for base, host in zip(bases, hosts, strict=True):
        given = {**TINY, **changes}
        write_job(
            base, given, {}, hosts=tuple(hosts), current_host=host, mounted_at=Path("/opt/ml")
        )
        open_to_all(base)
    return bases


@contextmanager
def started(
    lan: str, bases: Sequence[Path], pictures: Path, delay_seconds: float = 0
) -> Iterator[list[Container]]:
    """The hosts' containers in the order of `bases`, one after the other."""
    with ExitStack() as stack:
        running = []
        for number, base in enumerate(bases):
            time.sleep(delay_seconds if number else 0)
            options = [f"--network={lan}", f"--network-alias={base.name}", mount(base, "/opt/ml")]
            options += [
                mount(pictures / name, f"/opt/ml/input/data/{name}", "ro") for name in COUNTS
            ]
            running.append(
                stack.enter_context(container("kennel-train", options=options, published=False))
            )
        yield running


def trained(lan: str, bases: Sequence[Path], pictures: Path, delay_seconds: float = 0) -> list[str]:
    """Run the hosts to a good end; their logs."""
    with started(lan, bases, pictures, delay_seconds) as running:
        codes = [each.wait() for each in running]
        logs = [each.log() for each in running]
    assert codes == [0] * len(bases), "\n".join(logs)
    return logs


def weights(base: Path) -> dict[str, np.ndarray]:
    """What was trained there."""
    return load_file(base / "model" / "model.safetensors")


def test_hosts_may_start_in_either_order_and_half_a_minute_apart(lan, pictures, tmp_path):
    answers = []
    for order, delay in ((HOSTS, 5), (HOSTS[::-1], 30)):
        first, second = lay_out(tmp_path / order[0], **FINE_TUNE)
        bases = [first, second] if order == HOSTS else [second, first]
        trained(lan, bases, pictures, delay)
        assert list((second / "model").iterdir()) == []
        assert all((base / "output" / "success").exists() for base in bases)
        answers.append(json.loads((first / "model" / "bundle.json").read_text())["metrics"])
    assert answers[0]["test:loss"] == answers[1]["test:loss"]


@pytest.mark.parametrize("how", ["killed", "unplugged"])
def test_a_lost_host_fails_the_job_within_a_minute_and_is_named(lan, pictures, tmp_path, how):
    bases = lay_out(tmp_path, **LONG)
    with started(lan, bases, pictures) as (first, second):
        first.wait_until(lambda: "validation:loss" in first.log(), "no epoch ended")
        if how == "killed":
            run("docker", "kill", second.identity)
        else:
            run("docker", "network", "disconnect", "--force", lan, second.identity)
        began = time.monotonic()
        assert first.wait() == 1
        assert time.monotonic() - began < WITHIN_SECONDS
        reason = (bases[0] / "output" / "failure").read_text()
        assert "host algo-2" in reason
        assert f"failed: {reason}" in first.log()
        assert not (bases[0] / "output" / "success").exists()
        if how == "unplugged":  # the other half does not go on alone
            assert second.wait() == 1
            assert "host algo-1" in (bases[1] / "output" / "failure").read_text()


def test_a_host_that_never_starts_is_named(lan, pictures, tmp_path):
    bases = lay_out(tmp_path, (*HOSTS, "algo-3"), **{"rendezvous-seconds": "15"})
    with started(lan, bases[:2], pictures) as running:
        assert [each.wait() for each in running] == [1, 1]
    for base in bases[:2]:
        reason = (base / "output" / "failure").read_text()
        assert reason.startswith("host algo-3 did not join the job within 15 s")


def test_a_stopped_job_continues_to_the_same_bits(lan, pictures, tmp_path):
    settings = {**LONG, "epochs": "6"}
    whole = lay_out(tmp_path / "whole", **settings)
    trained(lan, whole, pictures)
    bases = lay_out(tmp_path / "stopped", **settings)
    with started(lan, bases, pictures) as (first, second):
        first.wait_until(lambda: "validation:loss" in first.log(), "no epoch ended")
        for each in (first, second):
            run("docker", "kill", "--signal=TERM", each.identity)
        assert (first.wait(), second.wait()) == (0, 0)
        assert inspect(first.identity)["State"]["OOMKilled"] is False
        assert "checkpoint saved in /opt/ml/checkpoints" in first.log()
    assert "resume at epoch" in trained(lan, bases, pictures)[0]
    one, other = weights(whole[0]), weights(bases[0])
    assert all(np.array_equal(one[name], other[name]) for name in one)
