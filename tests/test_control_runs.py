"""Run folders: numbered, never reused, found by any of their names."""

import os
from dataclasses import replace

import pytest

from contract.errors import SpecError, UsageError
from control.runs import Run, find_run, list_runs, make_run_folder, read_run, write_run


@pytest.fixture
def runs(tmp_path):
    """Three finished runs: digits, dogs, digits."""
    for name in ("digits", "dogs", "digits"):
        write_run(Run(name=name, folder=make_run_folder(tmp_path, name), status="Completed"))
    return tmp_path


def test_runs_are_numbered_in_the_order_of_their_making(runs):
    assert [run.folder.name for run in list_runs(runs)] == [
        "0001-digits",
        "0002-dogs",
        "0003-digits",
    ]


def test_numbers_go_on_past_four_digits(tmp_path):
    (tmp_path / "9999-a").mkdir()
    assert make_run_folder(tmp_path, "b").name == "10000-b"


def test_a_number_is_never_used_again_while_a_later_one_exists(runs):
    (runs / "0001-digits" / "run.json").unlink()
    (runs / "0001-digits").rmdir()
    assert make_run_folder(runs, "digits").name == "0004-digits"


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (None, "0003-digits"),
        ("digits", "0003-digits"),
        ("1", "0001-digits"),
        ("0002", "0002-dogs"),
        ("0002-dogs", "0002-dogs"),
    ],
)
def test_a_run_is_found_by_any_of_its_names(runs, which, found):
    assert find_run(runs, which).folder.name == found


def test_a_run_is_found_by_its_folder(runs, tmp_path):
    assert find_run(tmp_path / "elsewhere", str(runs / "0002-dogs")).name == "dogs"


def test_an_unknown_run_is_refused_with_the_newest_ones(runs):
    with pytest.raises(UsageError, match=r"'cats'.*0003-digits"):
        find_run(runs, "cats")


def test_no_run_at_all_says_how_to_start_one(tmp_path):
    with pytest.raises(UsageError, match="kennel run"):
        find_run(tmp_path / "runs", None)


def test_a_run_reads_back_as_it_was_written(tmp_path):
    run = Run(
        name="dogs",
        folder=make_run_folder(tmp_path, "dogs"),
        status="Failed",
        metrics={"test:accuracy": 0.5},
        failure_reason="no pictures",
    )
    write_run(run)
    assert read_run(run.folder) == run


def test_a_run_in_progress_stays_so_while_its_process_lives(runs):
    run = replace(read_run(runs / "0002-dogs"), status="InProgress", pid=os.getppid())
    write_run(run)
    assert read_run(run.folder).status == "InProgress"


def test_a_run_whose_process_is_gone_counts_as_failed(runs):
    run = replace(read_run(runs / "0002-dogs"), status="InProgress", pid=_dead_pid())
    write_run(run)
    assert read_run(run.folder).status == "Failed"


def test_a_run_json_of_another_kind_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"colour": "red"}')
    with pytest.raises(SpecError, match="is not one we know"):
        read_run(tmp_path)


def _dead_pid():
    """The number of a process that has just ended."""
    pid = os.posix_spawnp("true", ["true"], {"PATH": os.defpath})
    os.waitpid(pid, 0)
    return pid
