"""The page of a study in use: drawn by the command, read by a browser, copied into a job."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from browsers import headless
from finished_studies import study
from training import REPOSITORY, run_command

from contract.study import write_study
from train.study_page import build_study_page, write_study_page


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


def test_the_best_hyperparameters_read_back_as_a_job_description():
    import tomllib

    text = build_study_page(study(2.0, 1.9))
    block = text.split("<pre>")[1].split("</pre>")[0].replace("<br>", "\n").replace("&quot;", '"')
    assert tomllib.loads(block)["hyperparameters"] == {
        "arch": "resnet18",
        "lr": 0.001 * 1.2,
        "batch-size": 32,
    }


@pytest.fixture
def browser(tmp_path):
    with headless(tmp_path / "profile") as opened:
        yield opened


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
