"""`kennel tune` of a study that is there: in another storage, or with its parents away."""

import contextlib
import shutil
from dataclasses import replace

import pytest
from tuning import SEARCH, three_trials, write_search, write_study_run

from control.cli import main
from control.runs import read_run, write_run
from control.tuning_file import read_tuning

WARM = '[warm_start]\nparents = ["{parent}"]\n'
URL = "postgresql+psycopg://me:***@host/studies"
WORDS = ["tune", "search.toml"]


@pytest.fixture
def here(tmp_path):
    """Work in a folder with a job, a search and a picture."""
    write_search(tmp_path)
    with contextlib.chdir(tmp_path):
        yield tmp_path


def leave_study(here, storage=None, status="Completed", parents=None):
    """What an earlier `kennel tune search.toml` left, in a file of its own without `storage`."""
    tuning = read_tuning(here / "search.toml")
    tuning = tuning.with_parents(parents) if parents else tuning
    study = three_trials(tuning.spec, status=status)
    folder = write_study_run(here / "runs", study, channels=tuning.channels, status=status)
    if storage:
        write_run(replace(read_run(folder), storage=storage))
    else:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "study.db").touch()
    return folder


@pytest.mark.parametrize("words", [(), ("--show",)])
@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "me@host/studies", "a://b c"])
def test_what_is_no_url_is_refused_also_of_a_study_that_has_ended(here, capsys, words, url):
    leave_study(here)
    assert main([*WORDS, *words, "--storage", url]) == 2
    said = capsys.readouterr().err
    assert "--storage: expected the URL of a database" in said
    assert f"got {url!r}" in said


@pytest.mark.parametrize(
    ("storage", "words", "says"),
    [
        (None, ["--storage", "sqlite:///a.db"], "in a file of its own, checkpoints/study.db"),
        (
            URL,
            ["--storage", "postgresql://me@host/others"],
            f"in {URL}: leave --storage out to see",
        ),
        (URL, ["--storage", "mysql://host/studies"], f"in {URL}: leave --storage out to see"),
    ],
)
def test_a_study_that_has_ended_is_not_in_another_storage(here, capsys, storage, words, says):
    leave_study(here, storage)
    assert main([*WORDS, *words]) == 2
    assert f"runs/0001-dogs is this study and has ended {says}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--storage", "postgresql://other:x@127.0.0.1/studies"]])
def test_a_shared_study_that_has_ended_is_shown_by_whatever_leads_to_it(here, capsys, words):
    leave_study(here, URL)
    assert main([*WORDS, *words]) == 0
    assert "nothing was run: this study has ended" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("storage", "words", "says"),
    [
        (None, ["--storage", URL], "was begun in a file of its own, checkpoints/study.db: leave"),
        (URL, [], f"was begun in {URL}: give --storage {URL} to go on"),
    ],
)
def test_a_study_goes_on_where_its_trials_are_or_not_at_all(here, capsys, storage, words, says):
    folder = leave_study(here, storage, status="Stopped")
    before = (folder / "run.json").read_bytes()
    assert main([*WORDS, *words]) == 2
    assert says in capsys.readouterr().err
    assert (folder / "run.json").read_bytes() == before


def test_a_database_that_was_never_reached_may_be_named_again(here, capsys):
    folder = leave_study(here, URL, status="Failed")
    (folder / "output" / "data" / "study.json").unlink()
    right = "postgresql+psycopg://me@host/dogs"
    assert main([*WORDS, "--show", "--storage", right]) == 0
    assert f"KENNEL_STUDY_STORAGE={right}" in capsys.readouterr().out


@pytest.mark.parametrize("parent", ["bayes", "1", "0001-bayes", "runs/0001-bayes"])
def test_a_study_that_has_ended_is_shown_without_its_parents(here, capsys, parent):
    (here / "search.toml").write_text(SEARCH + WARM.format(parent=parent))
    (here / "runs" / "0001-bayes").mkdir(parents=True)  # its number is taken
    leave_study(here, parents=("0001-bayes",))
    shutil.rmtree(here / "runs" / "0001-bayes")
    assert main(WORDS) == 0
    shown = capsys.readouterr()
    assert "best:    trial 1, test:loss 0.7500" in shown.out
    assert f"would need its parents: no run is called {parent!r}" in shown.err
    assert main([*WORDS, "--show"]) == 0
    assert "has ended in     runs/0002-dogs" in capsys.readouterr().out


def test_more_trials_need_the_parents(here, capsys):
    (here / "search.toml").write_text(SEARCH + WARM.format(parent="bayes"))
    leave_study(here, parents=("0001-bayes",))
    assert main([*WORDS, "--max-jobs", "9"]) == 2
    assert "no run is called 'bayes'" in capsys.readouterr().err


def test_a_study_with_other_parents_is_another_one(here, capsys):
    (here / "search.toml").write_text(SEARCH + WARM.format(parent="random"))
    leave_study(here, parents=("0001-bayes",))
    assert main(WORDS) == 2
    assert "no run is called 'random'" in capsys.readouterr().err
