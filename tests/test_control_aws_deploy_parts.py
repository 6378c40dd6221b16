"""kennel deploy and updates that begin with a part of the machines, where there is one alone."""

import pytest
from endpoints import (
    Updates,
    configs,
    deploy,
    deploy_dogs,
    fixed_bundle,
    typed,
    write_deployment,
)

CANARY = '[update]\nstrategy = "canary"\nshare = 20\nwait_seconds = 60\nalarms = "auto"'
SCALING = "[scaling]\nmin = 1\nmax = 3\ninvocations_per_instance = 100"


@pytest.fixture
def deployed(aws_here, tmp_path):
    """An endpoint dogs of the bundle beside the file; the account."""
    deploy_dogs(aws_here, tmp_path)
    return aws_here


def other(folder, more):
    """The file with another bundle."""
    fixed_bundle(folder / "other", b"other")
    return write_deployment(folder, more, bundle="other")


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        ("canary", "and variant main has 1: give instance_count = 2 or more, or take"),
        ("linear", 'or take "all-at-once", which alarms take back, too'),
        ("rolling", "rolling begins with half of the machines at most"),
    ],
)
def test_a_file_of_one_machine_asks_for_no_part_of_it(aws_here, tmp_path, strategy, says):
    path = write_deployment(tmp_path, f'[update]\nstrategy = "{strategy}"')
    for more in ("--yes", "--show"):
        done = typed("deploy", path, more)
        assert done.returncode == 2
        assert says in done.stderr
    assert aws_here.seen == []


def test_the_way_back_needs_no_part_of_the_machines(deployed, tmp_path):
    updates = Updates(deployed)
    path = other(tmp_path, CANARY)  # one machine, so the next line says two
    assert deploy(path, "--instances", "2").returncode == 0
    done = deploy(path, "--roll-back")
    assert done.returncode == 0, done.stderr
    assert len(updates.seen) == 2


def test_a_part_of_one_machine_cannot_go_first(deployed, tmp_path):
    """AWS takes half of the machines at most as a canary, which scaling may have left one of."""
    updates = Updates(deployed)
    done = deploy(other(tmp_path, f"{CANARY}\n{SCALING}"))
    assert done.returncode == 2
    assert "begins with half of the machines at most, and variant main has 1" in done.stderr
    assert f"`kennel scale apply {tmp_path / 'dogs.toml'} --min 2` first" in done.stderr
    assert "cost:" not in done.stdout
    assert updates.seen == []
    assert len(configs(deployed)) == 1
