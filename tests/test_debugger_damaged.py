"""Saved tensors that are cut off, broken or incomplete cost their own values only."""

from pathlib import Path

import numpy as np
import pytest
from evaluating import LARGE, SMALL, gradients_of, results_of, spec
from tensor_runs import GRADIENTS, saved_in, write_steps

from debugger.rules.table import RULE_CLASSES


def event_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tfevents"))


def test_a_truncated_or_missing_file_costs_its_own_values(tmp_path):
    write_steps(tmp_path, gradients_of(SMALL, SMALL, SMALL, LARGE), collections=GRADIENTS)
    first, second, *_ = event_files(tmp_path)
    first.write_bytes(first.read_bytes()[:60])
    second.unlink()
    code, results, _ = results_of(tmp_path, spec("VanishingGradient"), spec("ExplodingTensor"))
    assert code == 1
    assert [one.step for one in results["VanishingGradient"].findings] == [2]
    assert results["ExplodingTensor"].status == "NoIssuesFound"
    assert results["ExplodingTensor"].details == "4 saved values could not be read, see the log"


@pytest.mark.parametrize("text", ["", "{", '{"meta": {}}', "[1]", '{"meta": {"mode": "X"}}'])
def test_a_broken_index_costs_its_own_step(tmp_path, text, caplog):
    write_steps(tmp_path, gradients_of(SMALL, SMALL, SMALL), collections=GRADIENTS)
    sorted(tmp_path.rglob("index/*/*.json"))[1].write_text(text)
    _, results, _ = results_of(tmp_path, spec("VanishingGradient"))
    assert [one.step for one in results["VanishingGradient"].findings] == [0, 2]
    assert "index of step 1 cannot be read" in caplog.text


def test_broken_collections_are_an_error_in_one_line(tmp_path):
    write_steps(tmp_path, gradients_of(SMALL), collections=GRADIENTS)
    next(tmp_path.rglob("*_collections.json")).write_text("{")
    code, results, _ = results_of(tmp_path, spec("VanishingGradient"))
    assert (code, results["VanishingGradient"].status) == (3, "Error")
    assert "cannot be opened" in results["VanishingGradient"].details


def test_a_worker_that_never_began_is_named_and_nobody_waits_for_it(tmp_path):
    both = ("worker_0", "worker_1")
    write_steps(tmp_path, gradients_of(SMALL), collections=GRADIENTS, workers=both)
    next(tmp_path.rglob("worker_1_collections.json")).unlink()
    code, results, _ = results_of(tmp_path, spec("VanishingGradient"))
    assert code == 3
    assert "collections of 1 more workers are missing" in results["VanishingGradient"].details


def test_why_saving_ended_early_is_passed_on(tmp_path):
    write_steps(tmp_path, gradients_of(LARGE), collections=GRADIENTS)
    (tmp_path / "FAILED").write_text("worker_0: the disk is full\n")
    result = results_of(tmp_path, spec("VanishingGradient"))[1]["VanishingGradient"]
    assert result.details == "saving ended before training did: worker_0: the disk is full"


def test_a_value_is_read_once_for_all_rules(tmp_path):
    write_steps(tmp_path, gradients_of(SMALL, SMALL), collections=GRADIENTS)
    saved = saved_in(tmp_path)
    rules = [RULE_CLASSES[name](saved) for name in ("ExplodingTensor", "VanishingGradient")]
    assert rules[0].look(saved.moment(0)) is None
    for file in event_files(tmp_path):
        file.unlink()
    assert rules[1].look(saved.moment(0)) is not None
    assert rules[1].look(saved.moment(1)) is None  # nobody had read it before
    assert saved.num_unreadable == 1


def test_a_small_cache_reads_again_and_comes_to_the_same(tmp_path):
    from debugger.saved import SavedTensors
    from debugger.tensors import open_trial

    write_steps(tmp_path, gradients_of(SMALL, LARGE, SMALL), collections=GRADIENTS)
    tiny = SavedTensors(open_trial(str(tmp_path)), cache_bytes=1)
    for step in (0, 1, 0, 2):
        expected = LARGE if step == 1 else SMALL
        assert np.array_equal(tiny.value("gradient/fc", step), expected)
