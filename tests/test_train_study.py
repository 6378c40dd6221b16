"""Studies in their storage: what is asked, what is told, who may ask. The oracle is optuna."""

import math
from contextlib import closing
from dataclasses import replace
from itertools import product

import numpy as np
import optuna
import pytest
from postgres import postgres_server
from studies import RANGES, bowl, claim, claimers, complete, open_study, run_all, spec_of

from contract.errors import HostError, SpecError
from contract.ranges import ContinuousRange
from train.record import Record
from train.sampler import SeededSampler, distributions, from_value, to_value
from train.storage import Place, copy_file
from train.stored import INTERRUPTED
from train.study import OpenStudy


@pytest.fixture(scope="module")
def server():
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["file", "server"])
def shared_url(request, tmp_path):
    """A database for several hosts: one file, or one PostgreSQL server."""
    if request.param == "file":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    return request.getfixturevalue("server")


@pytest.mark.parametrize("strategy", ["Bayesian", "Random"])
def test_the_same_seed_asks_the_same_also_when_every_trial_is_a_session_of_its_own(
    tmp_path, strategy
):
    spec = spec_of(strategy=strategy, seed=3, max_jobs=6)
    whole = run_all(open_study(tmp_path, spec))
    (tmp_path / "parts").mkdir()
    for _ in range(spec.num_jobs):
        study = open_study(tmp_path / "parts", spec)
        one = claim(study)
        study.finish(one, "Completed", bowl(dict(one.values)), Record())
    assert run_all(open_study(tmp_path / "parts", spec)) == whole
    (tmp_path / "other").mkdir()
    assert run_all(open_study(tmp_path / "other", replace(spec, seed=4))) != whole


def test_a_trial_whose_session_was_killed_is_asked_again_with_its_number_and_values(tmp_path):
    study = open_study(tmp_path, spec_of())
    complete(study, 1.0, 2.0)
    lost = claim(study)
    again = claim(open_study(tmp_path, spec_of()))
    assert (again.number, again.values) == (3, lost.values)


def test_a_trial_that_goes_on_has_the_seconds_and_the_beginning_of_its_earlier_sessions(tmp_path):
    study = open_study(tmp_path, spec_of())
    first = claim(study)
    study.release(first, Record(seconds=5.5, started_at="2026-01-01T00:00:00+00:00"))
    claim(study)  # killed before it told anything
    again = claim(open_study(tmp_path, spec_of()))
    assert (again.number, again.before.seconds) == (1, 5.5)
    assert again.before.started_at == "2026-01-01T00:00:00+00:00"


def test_an_interrupted_trial_is_the_next_and_is_counted_once(tmp_path):
    study = open_study(tmp_path, spec_of(max_jobs=2))
    first = claim(study)
    study.release(first)
    assert study.trials()[0].reason == INTERRUPTED
    assert len(run_all(study)) == 2
    assert [trial.number for trial in study.trials()] == [1, 2]


def test_values_have_the_types_of_the_table_and_lie_in_their_ranges(tmp_path):
    ranges = {**RANGES, "epochs": {"min": 2, "max": 5}, "optimizer": ["sgd", "adamw"]}
    for values in run_all(open_study(tmp_path, spec_of(ranges=ranges))):
        assert [type(value) for value in values.values()] == [float, int, int, str]
        assert 0.001 <= values["lr"] <= 0.1
        assert 2 <= values["epochs"] <= 5


@pytest.mark.parametrize(
    ("scaling", "middle"),
    [
        ("Linear", 0.745),
        ("Logarithmic", math.sqrt(0.5 * 0.99)),
        ("ReverseLogarithmic", 1 - math.sqrt(0.5 * 0.01)),
    ],
)
def test_half_of_the_draws_lie_below_the_middle_of_the_scale(scaling, middle):
    one = {"momentum": {"min": 0.5, "max": 0.99, "scaling": scaling}}
    spec = spec_of(strategy="Random", ranges=one)
    study = optuna.create_study(sampler=SeededSampler(spec))
    space = distributions(spec.ranges)
    drawn = [next(iter(study.ask(space).params.values())) for _ in range(300)]
    values = np.array([to_value(spec.ranges["momentum"], each) for each in drawn])
    assert values.min() >= 0.5
    assert values.max() <= 0.99
    assert abs((values < middle).mean() - 0.5) < 0.1


def test_the_bounds_of_a_reversed_scale_can_be_reached_and_read_back():
    one = ContinuousRange(minimum=0.0, maximum=0.9, scaling="ReverseLogarithmic")
    (space,) = distributions({"momentum": one}).values()
    for bound in (0.0, 0.9):
        drawn = from_value(one, bound)
        assert space.low <= drawn <= space.high
        assert to_value(one, drawn) == pytest.approx(bound)
    assert from_value(one, 0.95) is None


def test_a_grid_is_walked_once_by_two_masters_together(tmp_path):
    ranges = {"batch-size": [8, 16, 32], "optimizer": ["sgd", "adamw"]}
    spec = spec_of(strategy="Grid", max_jobs=None, ranges=ranges)
    place = replace(Place.of_file(tmp_path / "grid.db"), is_shared=True)
    masters = [OpenStudy(spec, place) for _ in range(2)]
    for master in masters:
        master.begin({})
    claims = [masters[number % 2].claim("here") for number in range(7)]
    found = {tuple(one.values.values()) for one in claims if one is not None}
    assert found == set(product(*ranges.values()))
    assert claims[-1] is None


def test_processes_that_share_a_study_run_each_number_once_those_given_back_first(shared_url):
    spec = spec_of(max_jobs=20, strategy="Random")
    with closing(OpenStudy(spec, Place(url=shared_url, is_shared=True))) as study:
        study.begin({})
        for one in [claim(study) for _ in range(8)]:
            study.release(one)
    lists = claimers(spec, shared_url, 3)
    assert sorted(number for numbers in lists for number in numbers) == list(range(1, 21))


def test_a_trial_worse_than_the_median_is_stopped_as_optuna_itself_would(tmp_path):
    study = open_study(tmp_path, spec_of(early_stopping="Auto"))
    theirs = optuna.create_study(
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_min_trials=5)
    )
    for loss in (3.0, 1.0, 2.0, 5.0, 4.0, 3.5, 2.5, 3.0):
        ours, other = claim(study), theirs.ask()
        other.report(loss, 1)
        expected = other.should_prune()
        assert study.report(ours, 1, loss) == expected
        study.finish(ours, "Stopped" if expected else "Completed", loss, Record())
        pruned = {"state": optuna.trial.TrialState.PRUNED}
        theirs.tell(other, **(pruned if expected else {"values": loss}))
    assert [trial.status for trial in study.trials()].count("Stopped") == 2


def test_hyperband_stops_bad_trials_early_and_keeps_the_best(tmp_path):
    spec = spec_of(strategy="Hyperband", max_jobs=20, static={"epochs": "9"})
    study = open_study(tmp_path, spec)
    epochs = {}
    while (one := study.claim("here")) is not None:
        for epoch in range(1, 10):
            stopped = study.report(one, epoch, bowl(dict(one.values)) + 1 / epoch)
            if stopped:
                break
        epochs[one.number] = epoch
        status = "Stopped" if stopped else "Completed"
        study.finish(one, status, bowl(dict(one.values)), Record())
    assert set(epochs.values()) <= {1, 3, 9}
    assert sum(epochs.values()) < 0.7 * 9 * 20
    assert "Completed" in {trial.status for trial in study.trials()}


def test_hyperband_draws_what_random_search_draws_and_never_twice(tmp_path):
    drawn = {}
    for strategy in ("Random", "Hyperband"):
        (tmp_path / strategy).mkdir()
        spec = spec_of(strategy=strategy, seed=3, max_jobs=24, static={"epochs": "9"})
        study = open_study(tmp_path / strategy, spec)
        while (one := study.claim("here")) is not None:
            study.report(one, 1, bowl(dict(one.values)))  # its brackets are there from now on
            study.finish(one, "Completed", bowl(dict(one.values)), Record())
        drawn[strategy] = [tuple(trial.hyperparameters.items()) for trial in study.trials()]
    assert drawn["Hyperband"] == drawn["Random"]
    assert len(set(drawn["Hyperband"])) == 24


def test_early_stopping_is_off_for_a_metric_that_comes_at_the_end(tmp_path):
    study = open_study(tmp_path, spec_of(objective="test:loss", early_stopping="Auto"))
    complete(study, *[1.0] * 6)
    assert not study.report(claim(study), 1, 9.0)


def test_a_storage_that_has_another_study_of_this_name_is_refused(tmp_path):
    open_study(tmp_path, spec_of())
    with pytest.raises(SpecError, match=r"other settings \(strategy differ\)"):
        open_study(tmp_path, spec_of(strategy="Random"))
    assert open_study(tmp_path, spec_of(max_jobs=100)).trials() == ()  # a larger budget is fine


def test_a_database_that_does_not_answer_is_named_without_its_password():
    place = Place(
        url="postgresql+psycopg://me:secret@127.0.0.1:1/x", is_shared=True, open_seconds=0
    )
    with pytest.raises(HostError, match=r"127\.0\.0\.1:1/x") as caught:
        OpenStudy(spec_of(), place)
    assert "secret" not in str(caught.value)
    with pytest.raises(SpecError, match="expected the URL of a database"):
        OpenStudy(spec_of(), Place(url="study.db", is_shared=True))


def test_a_copy_of_a_file_in_use_opens_as_the_same_study(tmp_path):
    study = open_study(tmp_path, spec_of())
    complete(study, 1.0, 0.5)
    copy_file(tmp_path / "study.db", tmp_path / "copy" / "study.db")
    copied = open_study(tmp_path / "copy", spec_of())
    assert copied.trials() == study.trials()


def test_importances_find_the_range_that_matters(tmp_path):
    ranges = {"lr": RANGES["lr"], "momentum": {"min": 0.5, "max": 0.9}}
    study = open_study(tmp_path, spec_of(max_jobs=30, strategy="Random", ranges=ranges))
    while (one := study.claim("here")) is not None:
        study.finish(one, "Completed", (math.log(one.values["lr"]) + 4) ** 2, Record())
    found = study.importances()
    assert sum(found.values()) == pytest.approx(1)
    assert found["lr"] > found["momentum"]


def test_importances_of_five_trials_in_three_ranges_are_none(tmp_path):
    study = open_study(tmp_path, spec_of(ranges={**RANGES, "momentum": {"min": 0.5, "max": 0.9}}))
    complete(study, 1.0, 2.0, 1.5, 1.7, 1.2)
    assert study.importances() == {}


def test_importances_of_trials_that_hardly_differ_are_none(tmp_path):
    study = open_study(tmp_path, spec_of())
    complete(study, 1.0, 1.0, 1.0, math.nextafter(1.0, 2.0))
    assert study.importances() == {}
