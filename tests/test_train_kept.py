"""Kept weights, and what looks like them."""

import pytest
from training import tiny_run

from train.kept import has_kept, read_kept, write_kept
from train.loop import Progressing
from train.resume import Checkpoints


@pytest.fixture(scope="module")
def tiny(pictures, tmp_path_factory):
    """A run of three epochs that has saved itself after the second."""
    folder = tmp_path_factory.mktemp("kept")
    run = tiny_run(pictures, folder)
    checkpoints = Checkpoints(folder / "snapshot", run.state.values, run.data)

    def save(state, _must):
        if state.epoch == 3:
            checkpoints.save(state, True)

    run.fit(outside=Progressing(save=save))
    write_kept(folder / "kept", run.state, run.data)
    return folder, run


def test_a_snapshot_of_a_run_on_its_way_is_not_taken_for_kept_weights(tiny, pictures, tmp_path):
    folder, run = tiny
    fresh = tiny_run(pictures, tmp_path)
    assert not has_kept(folder / "snapshot", None)
    assert not read_kept(folder / "snapshot", fresh.state, run.data)
    assert read_kept(folder / "kept", fresh.state, run.data)
    assert fresh.state.rows == run.state.rows


def test_kept_weights_are_those_of_a_trial_that_came_as_far(tiny):
    folder, _ = tiny
    assert [has_kept(folder / "kept", count) for count in (None, 2, 3)] == [True, False, True]


def test_damaged_and_missing_weights_count_as_none(tiny, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"no weights")
    assert not has_kept(tmp_path, None)
    assert not has_kept(tmp_path / "none", None)
