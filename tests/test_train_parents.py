"""Warm starts: what a study learns from the trials of earlier ones."""

import optuna
import pytest
from studies import RANGES, spec_of

from contract.errors import SpecError
from contract.study import Study, Trial, write_study
from train.parents import read_parents
from train.record import Record
from train.storage import Place
from train.study import OpenStudy


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
