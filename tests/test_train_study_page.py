import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from training import REPOSITORY, run_command

from contract.study import Study, Trial, write_study
from contract.trial_line import describe_values
from contract.tuning import TuningSpec
from train import study_files
from train.study_axes import ObjectiveScale, RangeAxis
from train.study_history import best_so_far
from train.study_lines import describe_range
from train.study_page import build_study_page, write_study_page
from train.study_story import build_tiles, tell_study, to_duration
from train.study_table import best_settings, trials_table

RANGES = {"lr": {"min": 0.001, "max": 0.1}, "batch-size": ["auto", 32, 64, 128]}


def spec(**changes: object) -> TuningSpec:
    given = {"name": "dogs", "objective": "test:loss", "max_jobs": 20, "ranges": RANGES}
    return TuningSpec.from_json({**given, "static": {"arch": "resnet18"}, **changes})


def trial(number: int, objective: float | None, **changes: object) -> Trial:
    """One trial; lr grows with the number."""
    given = {
        "status": "Completed" if objective is not None else "Failed",
        "hyperparameters": {
            "lr": 0.001 * 1.2 ** (number - 1),
            "batch-size": (0, 32, 64, 128)[(number - 1) % 4],
        },
        "seconds": 2.0 + number,
        "curves": ({"epoch": 1, "validation:loss": 3.0}, {"epoch": 2, "validation:loss": 2.0}),
    }
    return Trial(**{"number": number, "objective": objective, **given, **changes})


def study(*objectives: float | None, **changes: object) -> Study:
    """A finished study; the best minimises."""
    trials = tuple(trial(number, value) for number, value in enumerate(objectives, start=1))
    known = [item for item in trials if item.objective is not None]
    best = min(known, key=lambda item: item.objective).number if known else None
    given = {"spec": spec(), "trials": trials, "best": best, "status": "Completed", "seconds": 60.0}
    return Study(**{**given, **changes})


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


def test_the_first_sentence_names_value_trial_and_hyperparameters():
    told = tell_study(study(2.1, 1.9, 2.0))
    assert (
        told[0] == "Trial 2 is the best of 3: test:loss 1.9000, with lr 0.0012 and batch-size 32."
    )
    assert told[1] == (
        "That is 0.2000 lower than the first trial (2.1000) and 0.1000 lower than the median trial"
        " (2.0000)."
    )


@pytest.mark.parametrize(
    ("objectives", "sentence"),
    [
        ([2.1, 2.0, 1.9], "too few trials"),
        ([2.1, 1.5, *[2.0] * 8], "The last 8 trials found nothing better"),
        ([2.1, *[2.0] * 8, 1.5], "came late in the search"),
        ([2.0] * 8, "came to the same value"),
        ([1.5, *[2.0] * 8], "at the lower end of the range 0.001 to 0.1"),
        ([None, 2.0], "1 trial failed; trial 1: no reason is known."),
        ([None, None], "No trial has come to a test:loss yet."),
        ([], "No trial has begun."),
    ],
)
def test_the_page_says_what_to_make_of_the_search(objectives, sentence):
    assert sentence in " ".join(tell_study(study(*objectives)))


def test_the_most_important_hyperparameter_is_named_unless_nothing_differs():
    importances = {"batch-size": 0.2, "lr": 0.8}
    told = tell_study(study(2.1, 1.9, 2.0, importances=importances))
    assert any("lr mattered most: 80 %" in line and "batch-size, 20 %" in line for line in told)
    same = study(2.0, 2.0, importances=importances)
    assert "mattered" not in " ".join(tell_study(same))
    assert "<h2>Importance</h2>" not in build_study_page(same)


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


def test_a_price_adds_the_cost_of_all_trials_together():
    tiles = build_tiles(study(2.0, 1.9, 1.8), 3600.0)  # 3 + 4 + 5 seconds
    assert [tile.value for tile in tiles if tile.name == "Cost"] == ["12.00"]
    assert not [tile for tile in build_tiles(study(2.0), None) if tile.name == "Cost"]
    table = trials_table(study(2.0, 1.9, 1.8), 3600.0)
    assert all(f">{cost}.0000<" in table for cost in (3, 4, 5))
    assert "cost" not in trials_table(study(2.0))


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (61, "61 s"), (130, "2.2 min"),
                           (86400, "24.0 h")]
)  # fmt: skip
def test_durations_are_read_at_a_glance(seconds, words):
    assert to_duration(seconds) == words


def test_places_follow_the_scaling_of_the_range():
    momentum = {"min": 0.5, "max": 0.995, "scaling": "ReverseLogarithmic"}
    ranges = spec(ranges={**RANGES, "momentum": momentum}).ranges
    places = {name: RangeAxis.of(name, one) for name, one in ranges.items()}
    middle = trial(1, 1.0, hyperparameters={"lr": 0.01, "batch-size": 0, "momentum": 0.95})
    assert places["lr"].place(middle) == pytest.approx(0.5)
    assert places["batch-size"].place(middle) == 0
    assert places["momentum"].place(middle) == pytest.approx(math.log(0.5 / 0.05) / math.log(100))
    assert places["batch-size"].ticks[0] == (0.0, "auto")
    assert [text for _, text in places["lr"].ticks] == ["0.001", "0.003", "0.01", "0.03", "0.1"]


def test_batch_size_auto_is_a_word_in_tables_lines_and_settings():
    given = spec(static={"arch": "resnet18"})
    chosen = trial(1, 1.0)
    whole = Study(spec=given, trials=(chosen,), best=1)
    assert ",0.001,auto," in study_files.trials_table(whole)
    assert describe_range("batch-size", given.ranges["batch-size"]) == "auto, 32, 64, 128"
    assert describe_values(chosen.hyperparameters) == "lr 0.001, batch-size auto"
    assert "batch-size = &quot;auto&quot;" in best_settings(whole, chosen)


def test_one_diverged_trial_does_not_flatten_the_others():
    scale = ObjectiveScale.of(study(2.0, 2.1, 1.9, 2.05, 1.95, 9000.0))
    assert scale.low < 1.9
    assert 2.1 < scale.high < 3
    assert scale.goodness(9000.0) == 0 < scale.goodness(2.1) < scale.goodness(1.9)


def test_best_so_far_passes_over_failed_and_stopped_trials():
    trials = (trial(0, None), trial(1, 2.0), trial(2, 1.0, status="Stopped"), trial(3, 1.5))
    assert best_so_far(study(trials=trials, best=3)) == ([1, 3], [2.0, 1.5])


def test_the_best_hyperparameters_read_back_as_a_job_description():
    import tomllib

    text = build_study_page(study(2.0, 1.9))
    block = text.split("<pre>")[1].split("</pre>")[0].replace("<br>", "\n").replace("&quot;", '"')
    assert tomllib.loads(block)["hyperparameters"] == {
        "arch": "resnet18",
        "lr": 0.001 * 1.2,
        "batch-size": 32,
    }


def test_the_command_draws_a_study_and_says_what_is_wrong_with_another(tmp_path):
    write_study(tmp_path / "study.json", study(2.0, 1.9))
    module = [sys.executable, "-m", "train.study_page"]
    done = run_command([*module, str(tmp_path / "study.json"), str(tmp_path / "report.html")])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "Trial 2 is the best of 2" in (tmp_path / "report.html").read_text()
    (tmp_path / "study.json").write_text(json.dumps({"format_version": 99}))
    done = run_command([*module, str(tmp_path / "study.json"), str(tmp_path / "other.html")])
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "99" in done.stderr


def test_drawing_a_study_needs_no_torch():
    code = "import sys, train.study_page; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"


@pytest.fixture
def browser(tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_page_load_timeout(30)
    yield opened
    opened.quit()


def test_in_a_browser_all_figures_show_and_a_click_sorts_the_trials(tmp_path: Path, browser):
    write_study_page(study(2.1, 1.9, None, 2.0), tmp_path / "report.html")
    for width in (1280, 400):
        browser.set_window_size(width, 900)
        browser.get((tmp_path / "report.html").as_uri())
        assert browser.execute_script(
            "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
        )
        inner = "return [document.documentElement.scrollWidth, window.innerWidth]"
        needed, offered = browser.execute_script(inner)
        assert needed <= offered  # nothing but the figures scrolls sideways
    assert browser.get_log("browser") == []
    shown = "return [...document.querySelectorAll('table.trials tbody tr')]"
    numbers = f"{shown}.map(r => r.cells[0].textContent)"
    assert browser.execute_script(numbers) == ["2", "4", "1", "3"]
    browser.execute_script("document.querySelectorAll('table.trials th button')[0].click()")
    assert sorted(browser.execute_script(numbers)) == ["1", "2", "3", "4"]
    assert browser.execute_script(numbers) in (["1", "2", "3", "4"], ["4", "3", "2", "1"])
