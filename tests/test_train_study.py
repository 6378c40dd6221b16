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
from contract.study import Study, Trial, write_study
from train.completion import best_of, best_unfinished, why_complete, why_hopeless
from train.parents import read_parents
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


def test_early_stopping_is_off_for_a_metric_that_comes_at_the_end(tmp_path):
    study = open_study(tmp_path, spec_of(objective="test:loss", early_stopping="Auto"))
    complete(study, *[1.0] * 6)
    assert not study.report(claim(study), 1, 9.0)


def parent_of(tmp_path, values, objective="validation:loss"):
    """A finished study, as it leaves itself."""
    spec = spec_of(name="parent", objective=objective, ranges={"lr": {"min": 1e-4, "max": 1.0}})
    trials = tuple(
        Trial(number=number, status="Completed", hyperparameters={"lr": lr}, objective=lr)
        for number, lr in enumerate(values, start=1)
    )
    write_study(tmp_path / "study.json", Study(spec=spec, trials=trials, status="Completed"))
    return str(tmp_path)


def test_a_warm_start_learns_from_parents_but_counts_its_own_trials_only(tmp_path):
    parent = parent_of(tmp_path, [0.02, 0.5, 0.05])
    ranges = {"lr": RANGES["lr"]}
    spec = spec_of(max_jobs=3, ranges=ranges, warm_start={"parents": [parent]})
    parents = read_parents(spec, None)
    assert sorted(parents) == ["parent:1", "parent:3"]  # 0.5 is outside of the range
    study = OpenStudy(spec, Place.of_file(tmp_path / "study.db"))
    for _ in range(2):
        study.begin(parents)
    known = optuna.load_study(study_name="tiny", storage=study.place.url).trials
    assert [trial.params["lr"] for trial in known] == [0.02, 0.05]
    run_all_lr(study)
    assert (len(study.trials()), study.num_warm()) == (3, 2)


def test_a_warm_start_is_known_by_its_trials_not_by_its_folder(tmp_path):
    def begin(folder, values):
        (tmp_path / folder).mkdir()
        warm = {"parents": [parent_of(tmp_path / folder, values)]}
        spec = spec_of(ranges={"lr": RANGES["lr"]}, warm_start=warm)
        OpenStudy(spec, Place.of_file(tmp_path / "study.db")).begin(read_parents(spec, None))

    begin("here", [0.02, 0.05])
    begin("there", [0.02, 0.05, 0.06])  # the parent has gone on
    with pytest.raises(SpecError, match=r"a warm start from other trials \(parent:2 differ"):
        begin("elsewhere", [0.02, 0.04])


def test_two_parents_of_one_name_are_told_apart(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    parents = [
        parent_of(folder, [value]) for folder, value in zip(folders, (0.02, 0.03), strict=True)
    ]
    read = read_parents(spec_of(ranges={"lr": RANGES["lr"]}, warm_start={"parents": parents}), None)
    assert {name: one.objective for name, one in read.items()} == {
        "parent:1": 0.02,
        "parent-2:1": 0.03,
    }


def run_all_lr(study):
    """As run_all, for studies of lr alone."""
    while (found := study.claim("here")) is not None:
        study.finish(found, "Completed", found.values["lr"], Record())


def test_a_parent_with_another_objective_is_refused(tmp_path):
    parent = parent_of(tmp_path, [0.02], objective="validation:accuracy")
    spec = spec_of(warm_start={"parents": [parent]})
    with pytest.raises(SpecError, match="the same objective"):
        read_parents(spec, None)


def test_a_parent_that_is_not_there_is_looked_for_beside_the_checkpoints(tmp_path):
    spec = spec_of(warm_start={"parents": ["gone"]})
    with pytest.raises(SpecError, match=r"parents/gone\.json"):
        read_parents(spec, tmp_path)


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


def test_importances_of_trials_that_hardly_differ_are_none(tmp_path):
    study = open_study(tmp_path, spec_of())
    complete(study, 1.0, 1.0, 1.0, math.nextafter(1.0, 2.0))
    assert study.importances() == {}


def trials_of(*objectives):
    """Completed trials in their order; None for a failed one."""
    return [
        Trial(
            number=number,
            status="Failed" if objective is None else "Completed",
            hyperparameters={},
            objective=objective,
            reason="it broke" if objective is None else None,
        )
        for number, objective in enumerate(objectives, start=1)
    ]


@pytest.mark.parametrize(
    ("criterion", "objectives", "is_met"),
    [
        ({"target_objective": 0.5}, [0.7, 0.6], False),
        ({"target_objective": 0.5}, [0.7, 0.5], True),
        ({"not_improving": 3}, [1.0, 0.5, 0.6, 0.7], False),
        ({"not_improving": 3}, [1.0, 0.5, 0.6, 0.499, 0.7], True),  # 0.499 gains less than 1 %
        ({"on_convergence": True}, [1.0] * 10, False),
        ({"on_convergence": True}, [1.0] * 11, True),
    ],
)
def test_a_completion_criterion_ends_the_study(criterion, objectives, is_met):
    assert (why_complete(spec_of(**criterion), trials_of(*objectives)) is not None) == is_met


def test_five_failures_and_nothing_else_are_enough():
    spec = spec_of()
    assert why_hopeless(spec, trials_of(*[None] * 4)) is None
    assert "trial 1: it broke" in why_hopeless(spec, trials_of(*[None] * 5))
    assert why_hopeless(spec, trials_of(*[None] * 5, 1.0)) is None


def test_failures_of_earlier_sessions_are_forgiven():
    spec, before = spec_of(max_jobs=20), frozenset(range(1, 6))
    assert why_hopeless(spec, trials_of(*[None] * 9), before) is None
    assert "trial 6: it broke" in why_hopeless(spec, trials_of(*[None] * 10), before)


def test_the_best_of_the_unfinished_is_by_validation_where_test_comes_last():
    spec = spec_of(objective="test:accuracy")
    trials = trials_of(0.9, None, None, None)
    scores = [0.9, 0.5, 0.7]
    unfinished = [
        replace(one, metrics={"validation:accuracy": score})
        for one, score in zip(trials[:3], scores, strict=True)
    ]
    assert best_unfinished(spec, [*unfinished, trials[3]]).number == 3
    assert best_unfinished(spec, trials) is None


def test_the_best_is_by_the_goal_and_the_first_of_equals():
    trials = trials_of(0.5, None, 0.9, 0.9)
    assert best_of(spec_of(), trials).number == 1
    assert best_of(spec_of(objective="validation:accuracy"), trials).number == 3
