import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from training import CPU, flags, job_for, run_job, tiny_run

from train.batch_size import (
    Trials,
    Tried,
    ago,
    by_pictures,
    choose,
    decide_batch_size,
    try_sizes,
)
from train.batch_trial import BatchTrial
from train.cache import Cache
from train.channels import read_data
from train.checkpoint import write_checkpoint
from train.group import Group
from train.resume import fingerprint_of, snapshot
from train.room import Room
from train.start import start_network
from train.world import SHARERS

ROOM = Room(limit_bytes=1, size=9, tolerance=1)


@pytest.fixture
def ready(pictures, tmp_path):
    """A start and its data, with batch-size auto."""

    def build(**changes: str):
        torch.set_num_threads(1)
        job = job_for(pictures, tmp_path, batch_size="auto", **changes)
        data = read_data(job, tmp_path / "work")
        return start_network(job, data.labels, tmp_path / "work"), data

    return build


@pytest.mark.parametrize(
    ("count", "size"), [(1, 8), (36, 8), (319, 8), (320, 16), (949, 32), (6680, 256), (10**6, 256)]
)
def test_an_epoch_keeps_enough_steps(count, size):
    assert by_pictures(count, 256) == size
    assert size == 8 or count / size >= 20


def test_of_sizes_that_are_about_as_fast_the_smallest_is_taken():
    rates = {8: 50.0, 16: 90.0, 32: 97.0, 64: 100.0, 128: 99.0}
    assert choose([Tried(size=size, images_per_second=rate) for size, rate in rates.items()]) == 32


@pytest.mark.parametrize(
    ("largest_that_fits", "tried"), [(64, [8, 16, 32, 64]), (20, [8, 16]), (5, [4]), (1, [])]
)
def test_sizes_are_tried_until_one_does_not_fit(largest_that_fits, tried):
    found = try_sizes(lambda size: 1e6 if size <= largest_that_fits else None, 64, 100.0)
    assert [item.size for item in found] == tried


def test_trying_ends_before_a_step_that_would_take_too_long():
    found = try_sizes(lambda size: 0.5, 64, 40.0)  # two steps of 16 would take 64 seconds
    assert [item.size for item in found] == [8]


def test_a_frozen_trunk_takes_the_rule_and_says_so(ready, caplog):
    with caplog.at_level(logging.INFO, logger="train"):
        start, data = ready()
        decided = decide_batch_size(start, data, CPU, Group(), None)
    assert decided.values == replace(start.values, batch_size=8)
    assert "batch  8: by rule; an epoch has 4 steps of 36 pictures" in caplog.text


def test_a_number_is_left_alone(ready):
    start, data = ready()
    given = replace(start, values=replace(start.values, batch_size=7))
    assert decide_batch_size(given, data, CPU, Group(), None) is given


def test_trying_steps_changes_neither_weights_nor_random_numbers(ready):
    start, _ = ready(unfreeze="all", ema_decay="0.9", mixup="0.2")
    weights = {name: value.clone() for name, value in start.network.state_dict().items()}
    random = torch.random.get_rng_state()
    with BatchTrial(start, 3, CPU, Room.of(CPU)) as trial:
        assert trial.images_per_second(4) > 0
        assert trial.images_per_second(2) > 0
    assert torch.equal(random, torch.random.get_rng_state())
    assert all(torch.equal(weights[n], v) for n, v in start.network.state_dict().items())
    assert all(parameter.grad is None for parameter in start.network.parameters())


def test_what_was_tried_is_known_to_the_next_job_on_this_machine(ready, caplog, tmp_path):
    """Trials of a study would otherwise differ by the noise of a stopwatch."""
    with caplog.at_level(logging.INFO, logger="train"):
        start, data = ready(unfreeze="all")
        for _ in range(2):
            cache = Cache(tmp_path / "cache", 10**6)
            decide_batch_size(start, data, CPU, Group(), None, cache=cache)
    assert "by size 8:" in caplog.messages[0]
    assert "by size (measured less than an hour ago) 8:" in caplog.messages[1]


def test_another_room_is_measured_anew(ready, caplog, tmp_path, monkeypatch):
    """A GPU, or a memory, that others share now."""
    with caplog.at_level(logging.INFO, logger="train"):
        start, data = ready(unfreeze="all")
        for sharers in ("1", "2"):
            monkeypatch.setenv(SHARERS, sharers)
            cache = Cache(tmp_path / "cache", 10**6)
            decide_batch_size(start, data, CPU, Group(), None, cache=cache)
    assert "by size 8:" in caplog.messages[1]


def test_what_was_tried_is_believed_for_a_day_and_nothing_is_not_kept(tmp_path):
    tried, clock = [Tried(size=8, images_per_second=5.0)], [1e9]

    def trials():
        return Trials(Cache(tmp_path, 10**6), {"chip": "x"}, now=lambda: clock[0])

    trials().put([], ROOM)
    assert trials().get(ROOM) is None
    trials().put(tried, ROOM)
    clock[0] += 3 * 3600 + 5
    assert trials().get(ROOM) == (tried, 3 * 3600 + 5)
    assert trials().get(replace(ROOM, size=10)) is not None
    assert trials().get(replace(ROOM, size=11)) is None  # more would fit
    assert trials().get(replace(ROOM, size=7)) is None
    clock[0] += 86_400
    assert trials().get(ROOM) is None


def test_the_age_of_a_measurement_is_told_in_hours():
    assert [ago(seconds) for seconds in (5, 3700, 7300)] == [
        "less than an hour ago", "1 hour ago", "2 hours ago",
    ]  # fmt: skip


def test_a_size_that_would_not_fit_into_a_hosts_memory_gives_way_to_a_smaller_one(ready):
    """However much memory the process had before."""
    start, _ = ready(unfreeze="all", image_size="128")
    del_me = np.ones(600_000_000, np.uint8)
    del del_me
    with BatchTrial(start, 3, CPU, Room(limit_bytes=2**62, size=62)) as trial:
        assert trial.images_per_second(8) > 0
        needs = dict(trial.host_peaks)
    assert 0 < needs[2] < needs[4] < needs[8]
    room = Room(limit_bytes=(needs[4] + needs[8]) // 2, size=0)
    with BatchTrial(start, 3, CPU, room) as trial:
        (tried,) = try_sizes(trial.images_per_second, 64, 60.0)
    assert tried.size in (2, 4)  # what a step of four took differs from time to time


def test_a_job_with_auto_is_the_job_with_its_number(pictures, tmp_path):
    """The same metrics to the last digit, also through fine-tuning, where steps were tried."""
    found = {}
    for size in ("auto", "8"):
        out = tmp_path / size
        given = flags(pictures, out, batch_size=size, unfreeze="all", epochs="1")
        code, output = run_job(given)
        assert code == 0, output
        config = json.loads((out / "output" / "config.json").read_text())
        rows = (out / "output" / "metrics.jsonl").read_text()
        row = json.loads(rows)
        found[size] = (config["hyperparameters"]["batch-size"], row["validation:loss"])
        assert ("batch  8: pictures a second by size" in output) == (size == "auto")
    assert found["auto"] == found["8"] == ("8", found["8"][1])


def test_a_continued_run_keeps_the_number_of_its_checkpoint(pictures, tmp_path):
    """Even where the rule would say something else."""
    run = tiny_run(pictures, tmp_path / "first", batch_size="4", epochs="2")
    write_checkpoint(tmp_path, snapshot(run.state, fingerprint_of(run.state.values, run.data)))
    arguments = flags(pictures, tmp_path, "--checkpoint-dir", str(tmp_path), batch_size="auto")
    code, output = run_job([*arguments, "--epochs", "2"])
    assert code == 0, output
    assert "batch  4: as the checkpoint has it" in output
    assert "resume at epoch 1, step 0" in output
