"""Rules about the timeline on made-up jobs: outliers, a late first step, loader workers."""

import numpy as np
import pytest
from golden_profile import write_golden
from profile_rules import evaluate, loading, samples
from profiles import T0, TRAIN, Span, write_timeline

from contract.rules import RuleSpec
from debugger.profile.evaluate import evaluate_profile
from debugger.profile.read import read_profile
from debugger.profile.verdict import State, state_of


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    return read_profile([write_golden(tmp_path_factory.mktemp("golden"))])


# StepOutlier


def stepping(folder, seconds, mode=TRAIN, others=()):
    spans, at = [], T0 + 1
    for n, length in enumerate(seconds):
        spans.append(Span(phase="Forward", start=at, seconds=0.3 * length, step=n))
        late = at + 0.3 * length
        spans.append(Span(phase="Optimizer", start=late, seconds=0.69 * length, step=n))
        spans.append(Span(phase=mode, start=at, seconds=length, step=n))
        at += length
    write_timeline(folder, "0-algo-1", [*spans, *others])
    return folder


def test_long_steps_are_found_with_their_numbers_and_their_part(tmp_path):
    lengths = [0.1] * 100
    for place in (20, 40, 60, 80):
        lengths[place] = 1.0
    result = evaluate(stepping(tmp_path, lengths), "StepOutlier")
    assert result.status == "IssuesFound"
    details = result.report["Details"]["step_details"]["algo-1-0"]
    assert details["step_numbers"] == ["20", "40", "60", "80"]
    assert details["number_of_outliers"] == 4
    assert sum(details["probs"]) == 96
    values = np.array(lengths)
    assert details["step_stats"]["p99"] == pytest.approx(np.quantile(values, 0.99), abs=1e-5)
    assert "4 of 100 steps (TRAIN) took longer than" in result.details
    assert "optimizer took 690 ms instead of 69 ms" in result.details


def test_steps_that_vary_a_little_are_fine(tmp_path):
    lengths = np.random.default_rng(0).normal(0.1, 0.01, 400)
    assert state_of(evaluate(stepping(tmp_path, lengths), "StepOutlier")) is State.FINE


def test_one_long_step_of_many_is_nothing(tmp_path):
    assert state_of(evaluate(stepping(tmp_path, [0.1] * 300 + [0.5]), "StepOutlier")) is State.FINE


def test_training_and_evaluation_are_both_reported(golden):
    (result,) = evaluate_profile(golden, RuleSpec(name="r", rule="StepOutlier"))
    details = result.report["Details"]
    assert details["step_details"]["algo-1-26"]["phase"] == TRAIN
    modes = details["modes"]["algo-1-26"]
    assert {mode: one["number_of_outliers"] for mode, one in modes.items()} == {
        "TRAIN": 12, "EVAL": 0,
    }  # fmt: skip
    assert details["ratio"]["cpu_functions"] == pytest.approx(100 * 0.4 / 0.75)


def test_a_mode_and_a_number_of_outliers_can_be_asked_for(golden):
    for parameters in ({"mode": "Step:ModeKeys.EVAL"}, {"n_outliers": "12"}, {"stddev": "6"}):
        spec = RuleSpec(name="r", rule="StepOutlier", parameters=parameters)
        assert state_of(evaluate_profile(golden, spec)[0]) is State.FINE
    spec = RuleSpec(name="r", rule="StepOutlier", parameters={"n_outliers": "11"})
    assert evaluate_profile(golden, spec)[0].status == "IssuesFound"


def test_few_steps_are_not_enough(tmp_path):
    result = evaluate(stepping(tmp_path, [0.1] * 15), "StepOutlier")
    assert result.details.startswith("NOT ENOUGH DATA: 15 steps of a process")


# MaxInitializationTime


def test_a_late_first_step_is_found_with_what_took_the_time(tmp_path):
    scenes = [
        Span(phase="FeaturePass", start=T0 + 10, seconds=150),
        *(Span(phase=TRAIN, start=T0 + 170 + n, seconds=0.9, step=n) for n in range(30)),
    ]
    write_timeline(tmp_path, "0-algo-1", scenes)
    samples(tmp_path, [0.0] * 400, [50.0] * 400)
    result = evaluate(tmp_path, "MaxInitializationTime", threshold=2)
    assert result.status == "IssuesFound"
    assert "2.8 min before the first step" in result.details
    assert "FeaturePass took 2.5 min of it" in result.findings[0].advice
    assert result.report["Details"]["step_num"]["first"] == round((T0 + 170) * 1e6)
    assert state_of(evaluate(tmp_path, "MaxInitializationTime")) is State.FINE


def test_a_job_without_steps_waits_for_them(tmp_path):
    samples(tmp_path, [0.0] * 400, [50.0] * 400)
    result = evaluate(tmp_path, "MaxInitializationTime", threshold=1)
    assert result.status == "IssuesFound"
    assert "without a step" in result.details
    assert state_of(evaluate(tmp_path, "MaxInitializationTime")) is State.NOT_ENOUGH


# Dataloader


def test_too_few_workers_are_found_with_how_many_are_better(tmp_path):
    folder = loading(tmp_path, 0.15, 1, cpu=(60, 10), io_wait=(0, 0), load=0.25)
    result = evaluate(folder, "Dataloader")
    assert result.status == "IssuesFound"
    assert "1 loader worker for 2 cores: data wait is 60 % of a step (150 ms of 250 ms)" in (
        result.details
    )
    # Two workers make a batch in 125 ms; both cores have 250 + 100 ms of work: 175 ms.
    assert "set num-workers from 1 to 2: a step would take about 175 ms, 30 % less" in (
        result.findings[0].advice
    )
    assert result.report["Details"]["gain_percent"] == pytest.approx(30, abs=0.5)


def test_workers_that_are_fast_enough_are_fine(tmp_path):
    """AWS fires: one worker for two cores is below 70 %."""
    folder = loading(tmp_path, 0.004, 1, cpu=(60, 10), io_wait=(0, 0), load=0.05)
    result = evaluate(folder, "Dataloader")
    assert state_of(result) is State.FINE
    assert "data wait is 3.8 % of a step with 1 loader worker on 2 cores" in result.details


def test_far_too_many_workers_are_found(tmp_path):
    folder = loading(tmp_path, 0.004, 6, cpu=(60, 10), io_wait=(0, 0), load=0.05)
    result = evaluate(folder, "Dataloader")
    assert result.status == "IssuesFound"
    assert "6 loader workers for 2 cores, 300 % of them" in result.details
    assert "set num-workers from 6 to 2" in result.findings[0].advice
    assert state_of(evaluate(folder, "Dataloader", max_threshold=400)) is State.FINE
