"""The page of a study: there is one for every study, without anything from outside."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from finished_studies import RANGES, spec, study, trial

from contract.study import Study, Trial
from train.study_page import build_study_page, write_study_page


def drawn(number: int) -> Study:
    """A study of many trials with random objectives."""
    return study(*np.random.default_rng(0).normal(2.0, 0.1, number).tolist())


class Page(HTMLParser):
    """The tags, addresses and table rows of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "srcset", "href", "action")]


def test_the_page_needs_nothing_from_outside(tmp_path):
    write_study_page(study(2.1, 1.9, None, 2.0), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert len(page.addresses) >= 8
    assert all(address.startswith("data:image/png;") for address in page.addresses)
    assert "link" not in page.tags
    assert "prefers-color-scheme:dark" in text


@pytest.mark.parametrize(
    "odd",
    [
        study(),
        study(2.0),
        study(None, None),
        study(2.0, 2.0, 2.0),
        study(2.0, 80.0, 2.1, 1.9, 2.05, 1e6),
        replace(study(2.0, 1.0), status="InProgress"),
        study(2.0, 1.9, spec=spec(ranges={"lr": RANGES["lr"]})),
        study(2.0, 1.9, spec=spec(objective="validation:accuracy"), best=1),
    ],
    ids=["empty", "one", "failed", "equal", "diverged", "running", "one-range", "maximize"],
)
def test_any_study_has_a_page(odd):
    text = build_study_page(odd)
    assert "Study and ranges" in text
    assert "nan" not in text.lower().split("base64")[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_objective": 0.5}, ("done at", "0.5")),
        ({"not_improving": 4}, ("done after", "4 trials without a gain of 1%")),
        ({"on_convergence": True}, ("done when", "converged")),
        (
            {"strategy": "Hyperband", "objective": "validation:loss", "max_resource": 9},
            ("epochs", "1 to 9"),
        ),
    ],
)
def test_the_page_says_all_that_was_asked_for(changes, words):
    text = build_study_page(study(2.0, 1.9, spec=spec(**changes)))
    rows = text.partition("Study and ranges")[2]
    assert all(word in rows for word in words)


def test_trials_in_progress_and_without_values_are_drawn_around():
    trials = (*study(2.0, 1.9).trials, Trial(number=3, status="InProgress", hyperparameters={}))
    text = build_study_page(study(trials=trials, best=2, status="InProgress"))
    assert "The study is still running: 2 of 20 trials done." in text
    assert "in progress</td>" in text


def test_hundreds_of_trials_with_many_hyperparameters_stay_a_small_page():
    ranges = {
        **RANGES,
        "weight-decay": {"min": 1e-6, "max": 0.1},
        "momentum": {"min": 0.5, "max": 0.99, "scaling": "ReverseLogarithmic"},
        "optimizer": ["sgd", "adam", "adamw"],
    }
    random = np.random.default_rng(0)
    trials = tuple(
        replace(
            item,
            hyperparameters={
                **item.hyperparameters,
                "weight-decay": float(10 ** random.uniform(-6, -1)),
                "momentum": float(random.uniform(0.5, 0.99)),
                "optimizer": str(random.choice(["sgd", "adam", "adamw"])),
            },
        )
        for item in drawn(750).trials
    )
    text = build_study_page(study(trials=trials, best=3, spec=spec(max_jobs=750, ranges=ranges)))
    assert len(text) < 3_000_000
    assert text.count("<tr") > 750


def test_reasons_and_names_cannot_inject_markup():
    evil = '<script>alert(1)</script>"'
    text = build_study_page(
        study(trials=(trial(1, None, reason=evil, worker=evil),), best=None, reason=evil)
    )
    assert Page(text).tags.count("script") == 1
    assert "alert(1)" in text
