"""The page of everything that a job left: findings, curves, scores, tensors and its failure."""

import re

import pytest
from pages import (
    EVIL,
    GRADIENT,
    Page,
    assert_self_contained,
    section,
    write_failure,
    write_job_folder,
)

from debugger.report.job_page import build_job_page, write_job_page


@pytest.fixture(scope="module")
def job_text(tmp_path_factory):
    return build_job_page(write_job_folder(tmp_path_factory.mktemp("job")))


def test_pages_are_well_formed_and_need_nothing_from_outside(job_text):
    assert_self_contained(job_text)


def test_names_of_a_job_cannot_inject_markup(job_text):
    page = Page(job_text)
    assert page.handlers == []
    assert page.tags.count("script") == 1
    assert page.words.count("alert(1)") >= 6


def test_the_page_of_a_job_tells_all_that_it_left(job_text):
    found = re.findall(r'<section id="([^"]+)"><h2>', job_text)
    assert found[:6] == ["findings", "curves", "scores", "confusion", "worst", "tensors"]
    assert {"profile", "time", "steps", "rules", "settings", "left"} <= set(found)
    findings = section(job_text, "findings")
    assert "VanishingGradient fired." in findings
    assert "not enough data" in findings
    assert "2 more findings in report.json" in findings
    assert "1e-08" in findings
    assert f"abs_mean of {GRADIENT} against steps" in job_text
    assert "0.8500" in section(job_text, "scores")
    assert "3 epochs. The best validation:accuracy, 0.6000, came in epoch 3." in section(
        job_text, "curves"
    )
    assert "10 tensors" not in section(job_text, "tensors")
    assert "2 tensors at 10 steps: 9 of TRAIN, 1 of EVAL" in section(job_text, "tensors")


def test_a_failed_job_has_its_reason_on_top(tmp_path):
    source = write_failure(tmp_path / "run", f"the train channel is empty: {EVIL}")
    write_job_page(source, source / "report.html")
    page = (source / "report.html").read_text()
    assert page.index("the train channel is empty") < page.index("<section")
    assert "No tensor was saved. kennel run JOB.toml --debug" in section(page, "tensors")
    assert "--debug --profile measures" in section(page, "profile")
    assert "No rule looked at this job's tensors" in section(page, "findings")
    assert Page(page).handlers == []


def test_broken_files_of_a_job_cost_their_part_only(tmp_path):
    source = write_job_folder(tmp_path / "run", profile=False)
    (source / "run.json").write_text("{")
    (source / "output/data/worst.png").write_bytes(b"no picture")
    (source / "rule-output/Overfit/report.json").write_text("[]")
    (source / "output/data/metrics.csv").write_text("epoch,train:loss\n1,nan\n2,0.5\nx,y\n")
    page = build_job_page(source)
    assert "run.json cannot be read" in section(page, "left")
    assert "Overfit/report.json cannot be read" in section(page, "left")
    assert "worst" not in Page(page).ids
    assert "2 epochs" in section(page, "curves")


def test_saved_tensors_without_a_whole_step_are_a_sentence(tmp_path):
    (tmp_path / "output/tensors/collections").mkdir(parents=True)
    page = build_job_page(tmp_path)
    assert "no step was saved" in section(page, "tensors")
