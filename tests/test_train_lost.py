"""Hosts that share a study and are not heard of any more. Trials are lost by none of them."""

import time
from dataclasses import replace

import pytest
from studies import claim, complete, spec_of

from contract.errors import SpecError
from train.record import Record
from train.storage import Place
from train.stored import INTERRUPTED, LOST
from train.study import OpenStudy


def two_hosts(folder, **changes):
    """A study that two of them share, each of which counts as dead after a second."""
    place = replace(
        Place.of_file(folder / "s.db"), is_shared=True, heartbeat_seconds=1, grace_seconds=1
    )
    hosts = [OpenStudy(spec_of(**changes), place) for _ in range(2)]
    for host in hosts:
        host.begin({})
    return hosts


def await_given_back(host, number, *ours):
    """Until a trial that nobody says a word about is no longer running."""
    deadline = time.monotonic() + 30
    while host.num_running() > number and time.monotonic() < deadline:
        host.beat(ours)
        time.sleep(0.2)
    assert host.num_running() == number


def test_the_trial_of_a_dead_host_is_given_back_once_and_then_has_failed(tmp_path):
    dead, alive = two_hosts(tmp_path, max_jobs=2)
    lost, ours = claim(dead), claim(alive)
    await_given_back(alive, 1, ours)
    assert (alive.num_open(), alive.trials()[0].reason) == (2, INTERRUPTED)
    again = claim(dead)
    assert (again.number, again.values) == (1, lost.values)
    await_given_back(alive, 1, ours)
    assert [trial.status for trial in alive.trials()] == ["Failed", "InProgress"]
    assert alive.trials()[0].reason == LOST
    assert (alive.claim("here"), alive.num_open()) == (None, 1)


def test_a_host_that_was_taken_for_dead_too_soon_ends_its_trial(tmp_path):
    slept, awake = two_hosts(tmp_path)
    ours = claim(slept)
    await_given_back(awake, 0)
    assert slept.finish(ours, "Completed", 1.0, Record())
    assert awake.trials()[0].objective == 1.0


def test_a_trial_that_others_have_ended_is_lost_without_harm(tmp_path):
    slept, awake = two_hosts(tmp_path, early_stopping="Auto")
    ours = claim(slept)
    await_given_back(awake, 0)
    complete(awake, 2.0)  # the same trial
    assert slept.report(ours, 1, 1.0)
    slept.beat([ours])
    slept.release(ours, Record())
    assert not slept.finish(ours, "Completed", 1.0, Record())
    assert awake.trials()[0].objective == 2.0


def test_a_shared_study_is_of_the_same_pictures_wherever_they_lie(tmp_path):
    hosts = two_hosts(tmp_path)
    for host in hosts:
        host.begin({}, {"train": "abc", "test": "def"})
    with pytest.raises(SpecError, match=r"other pictures \(train differ\)"):
        hosts[1].begin({}, {"train": "xyz", "test": "def"})
