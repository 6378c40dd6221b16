"""A study's record is written whole and read back the same."""

import json

import pytest
from tuning import spec_of, three_trials

from contract.errors import SpecError
from contract.study import Study, Trial, read_study, write_study


def test_what_is_written_is_read_back_the_same(tmp_path):
    study = three_trials(spec_of(static={"epochs": "5"}), status="Stopped", reason="told to stop")
    write_study(tmp_path / "study.json", study)
    assert read_study(tmp_path / "study.json") == study


def test_the_word_auto_is_written_and_what_stands_for_it_is_read_back(tmp_path):
    spec = spec_of(ranges={"batch-size": ["auto", 32]})
    trial = Trial(number=1, status="Completed", hyperparameters={"batch-size": 0})
    study = Study(spec=spec, trials=(trial,))
    data = study.to_json()
    assert data["spec"]["ranges"] == {"batch-size": ["auto", 32]}
    assert data["trials"][0]["hyperparameters"] == {"batch-size": "auto"}
    write_study(tmp_path / "study.json", study)
    assert read_study(tmp_path / "study.json") == study


def test_the_best_trial_is_the_one_that_is_named():
    study = three_trials(spec_of())
    assert study.best_trial is study.trials[1]
    assert study.num_finished == 3
    assert Study(spec=spec_of()).best_trial is None


def test_a_number_that_no_json_has_is_refused(tmp_path):
    trial = Trial(number=0, status="Completed", hyperparameters={}, objective=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        write_study(tmp_path / "study.json", Study(spec=spec_of(), trials=(trial,)))
    assert not (tmp_path / "study.json").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format_version": 99}, "format_version 99"),
        ({"winner": 1}, "unknown name 'winner'"),
        ({"trials": [{"number": 0}]}, "is not one we know"),
        ({"trials": [{"number": 0, "status": "Fine", "hyperparameters": {}}]}, "status 'Fine'"),
        ({"spec": {}}, "expected a name"),
    ],
)
def test_a_record_of_another_kind_is_refused_with_its_path(tmp_path, change, says):
    path = tmp_path / "study.json"
    path.write_text(json.dumps({**three_trials(spec_of()).to_json(), **change}))
    with pytest.raises(SpecError, match=says) as caught:
        read_study(path)
    assert str(path) in str(caught.value)
