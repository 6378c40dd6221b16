"""When tensors are saved: smdebug's own words, and what `auto` makes of a run's length."""

import itertools
import logging
import time

import pytest
from recording import STEPS, Saved, collection, hook_for, record
from torch import nn

from train.save_plan import AutoPace, Schedule, auto_interval, is_auto, smdebug_config


@pytest.mark.parametrize("planned", [1, 7, 49, 50, 120, 600, 99_999])
def test_a_run_of_any_length_leaves_about_fifty_points(planned):
    points = Schedule(interval=auto_interval(planned)).count(planned)
    assert min(planned, 34) <= points <= 75


@pytest.mark.parametrize("interval", [1, 3, 500])
@pytest.mark.parametrize(("start", "end"), [(0, None), (2, 9), (4, 4), (7, 1000)])
@pytest.mark.parametrize("steps", [(), (0, 5, 6, 77)])
def test_saves_are_counted_as_smdebug_takes_them(interval, start, end, steps):
    """Its arithmetic is smdebug 1.0.34's."""
    total = 20
    by_hand = sum(
        step in steps or (start <= step < (total if end is None else end) and step % interval == 0)
        for step in range(total)
    )
    schedule = Schedule(interval=interval, start=start, end=end, steps=steps)
    assert schedule.count(total) == by_hand
    found, step = [], schedule.next(0)
    while step is not None and step < total:
        found.append(step)
        step = schedule.next(step + 1)
    assert len(found) == by_hand


def test_auto_gives_way_to_numbers_as_smdebug_ranks_them(tmp_path):
    """A collection's plain interval stands above the hook's for one mode."""
    hook = hook_for(
        collection("weights", save_interval="7"),
        collection("gradients", train__save_interval="3"),
        collection("biases", save_interval="auto", eval__save_interval="4"),
        save_interval="auto",
        train__save_interval="5",
    )
    kinds = {
        (name, mode)
        for name, mode in itertools.product(
            ("weights", "gradients", "biases", "losses"), ("train", "eval")
        )
        if is_auto(hook, name, mode)
    }
    assert kinds == {("gradients", "eval"), ("losses", "eval"), ("biases", "train")}
    config = smdebug_config(hook, tmp_path, 1000)
    assert config["HookParameters"]["train.save_interval"] == "5"
    assert config["HookParameters"]["eval.save_interval"] == "1"
    (biases,) = [
        one["CollectionParameters"]
        for one in config["CollectionConfigurations"]
        if one["CollectionName"] == "biases"
    ]
    assert biases["train.save_interval"] == "20"
    assert biases["eval.save_interval"] == "4"


def test_auto_saves_every_evaluation_and_an_even_share_of_the_steps(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        record(tmp_path, hook_for("weights", save_interval="auto"), epochs=50)
    saved = Saved(tmp_path)
    assert saved.steps("train") == list(range(0, 50 * STEPS, 4))
    assert saved.steps("eval") == list(range(50))
    assert "losses, weights: every 4 steps of 200, every evaluation (auto: about 50" in caplog.text


def test_where_saving_takes_too_long_auto_saves_half_as_often(caplog):
    pace = AutoPace(500, time.perf_counter() - 100)
    with caplog.at_level(logging.INFO):
        saved = []
        for step in range(500):
            if step % pace.interval_at("train", step) == 0:
                saved.append(step)
                pace.took("train", 0.8)  # of 100 s, of which 2.5 % are for it
    assert saved == [0, 10, 20]
    assert "every 20 steps from now on for all but losses" in caplog.text


def test_time_that_passes_pays_for_more():
    pace = AutoPace(50, time.perf_counter() - 100)
    pace.took("train", 2.0)
    assert 3 % pace.interval_at("train", 3) > 0
    later = AutoPace(50, time.perf_counter() - 1000)
    later.took("train", 2.0)
    assert later.interval_at("train", 3) == 1


def test_evaluations_get_what_training_steps_must_leave_them():
    pace = AutoPace(50, time.perf_counter() - 100)
    pace.took("train", 2.0)
    pace.took("eval", 0.5)
    assert pace.interval_at("eval", 1) == 1
    assert 1 % pace.interval_at("train", 1) > 0


def test_losses_keep_their_points_where_weights_cost_too_much():
    pace = AutoPace(500, time.perf_counter() - 100)
    pace.took("train", 4.0)
    pace.took("train", 0.001, is_light=True)
    assert 10 % pace.interval_at("train", 10) > 0
    assert pace.interval_at("train", 10, is_light=True) == 10
    pace.took("train", 1.0, is_light=True)
    assert 10 % pace.interval_at("train", 10, is_light=True) > 0


def test_the_first_second_is_free():
    pace = AutoPace(50, time.perf_counter())
    pace.took("train", 0.4)
    assert pace.interval_at("train", 1) == 1


def test_several_processes_save_the_same_steps_whatever_it_costs():
    pace = AutoPace(50, time.perf_counter(), is_limited=False)
    pace.took("train", 1000)
    assert pace.interval_at("train", 1) == 1


def test_any_other_interval_stands_as_it_is_given(tmp_path):
    record(tmp_path, hook_for("weights", save_interval="3"), epochs=3)
    saved = Saved(tmp_path)
    assert saved.steps("train") == [0, 3, 6, 9]
    assert saved.steps("eval") == [0]


def test_without_a_word_losses_are_saved_every_500_steps(tmp_path):
    record(tmp_path, hook_for())
    saved = Saved(tmp_path)
    assert (saved.steps("train"), saved.steps("eval")) == ([0], [0])
    assert saved.names("train", 0) == {"CrossEntropyLoss_output_0", "scalar/learning_rate"}


def test_save_all_saves_all(tmp_path):
    record(tmp_path, hook_for(save_all="true", save_interval="1"), epochs=1)
    names = Saved(tmp_path).names("train", 0)
    assert {"Small_input_0", "Small_output_0", "last.2_output_0", "Small_first.bias"} <= names


LONG = {"epochs": 100_000, "early_stopping_patience": 1, "lr": 1e-12}


def wide():
    """1,603 numbers in four parameters."""
    return nn.Sequential(nn.Linear(4, 200), nn.ReLU(), nn.Linear(200, 3))


def test_a_run_that_would_leave_over_a_gigabyte_is_told_before(tmp_path, caplog):
    """400,000 steps with weights and gradients, and 100,000 evaluations with weights."""
    hook = hook_for("weights", "biases", "gradients", save_interval="1")
    with caplog.at_level(logging.INFO):
        record(tmp_path, hook, wide(), **LONG)
    (line,) = [one.getMessage() for one in caplog.records if "GB" in one.getMessage()]
    giga = (400_000 * 2 + 100_000) * 1603 * 4 / 1e9
    assert f"about {giga:.1f} GB: raise save_interval" in line


def test_what_flows_through_the_network_counts_once_it_is_seen(tmp_path, caplog):
    """8 x 200 numbers a step; evaluations every 500th time, as nobody said otherwise."""
    with caplog.at_level(logging.INFO):
        record(tmp_path, hook_for("relu_output", train__save_interval="1"), wide(), **LONG)
    (line,) = [one.getMessage() for one in caplog.records if "GB" in one.getMessage()]
    assert "about 2.6 GB" in line


def test_statistics_are_not_told_as_too_much(tmp_path, caplog):
    collections = [collection(name, reductions="mean") for name in ("weights", "gradients")]
    with caplog.at_level(logging.INFO):
        record(tmp_path, hook_for(*collections, save_interval="1"), wide(), **LONG)
    assert "GB" not in caplog.text


def test_a_collection_in_which_nothing_can_be_is_told(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        record(tmp_path, hook_for(collection("mine", include_regex="conv9"), "weights"))
    (line,) = [
        one.getMessage() for one in caplog.records if "nothing is called" in one.getMessage()
    ]
    assert "as mine asks: names are such as Small_first.weight" in line
