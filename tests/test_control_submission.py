"""kennel submission: from a real study, a watched run and real answers on tiny pictures."""

import contextlib
import io
import json
import re
import shutil
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from course_files import JOB, TUNING
from training import TINY

from control.cli import main
from control.job_spec import read_job_spec
from control.submission.rubric import COURSES
from control.tuning_file import read_tuning

# Documents that only an account gives; what commands print is tested where they are.
DEPLOYED = {
    "endpoint": "dogs",
    "change": "created",
    "status": "InService",
    "configuration": "dogs-1",
    "arn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/dogs",
    "expires": "2026-11-28T10:00:00+00:00",
    "variants": [{"name": "main", "weight": 1.0, "instances": 1}],
    "region": "us-east-1",
}
IN_AWS = {
    "deploy": DEPLOYED,
    "push": {"channels": {"train": "s3://b/dogs/train/"}},
    "cleanup": {"removed": [{"id": "dogs"}], "left": []},
}


@pytest.fixture(scope="module")
def made(pictures, tmp_path_factory):
    """A folder with a study, a watched run, and evidence of what was asked."""
    folder = tmp_path_factory.mktemp("made")
    channels = "\n".join(
        f'{name} = "{pictures / name}"' for name in ("train", "validation", "test")
    )
    settings = "\n".join(f'{name} = "{value}"' for name, value in TINY.items())
    (folder / "job.toml").write_text(JOB.format(settings=settings, channels=channels))
    (folder / "tuning.toml").write_text(TUNING)
    (folder / "evidence").mkdir()
    (folder / "ran.ipynb").write_text(json.dumps(notebook(1)))
    with contextlib.chdir(folder):
        done("tune", "tuning.toml")
        done("run", "job.toml", "--from", "best")
        kept("data", "data", "check", pictures, codes=(0, 1))
        photos = sorted((pictures / "test").rglob("*.png"))[:2]
        kept("predict", "predict", *photos, "--bundle", "2")
        for name, document in IN_AWS.items():
            Path(f"evidence/{name}.json").write_text(json.dumps(document))
        done("submission", "--notebook", "ran.ipynb", "--out", "handed-in")
        kept("profile", "debug", "profile", "2", codes=(0, 1))  # from here on they are at hand,
        shutil.copy("handed-in/images/debugger.png", "evidence")  # and need no debugger
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy that a test may change."""
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def package(made):
    """The submission of all of it."""
    return made / "handed-in"


def notebook(count):
    cell = {"cell_type": "code", "source": ["1 + 1"], "execution_count": count, "outputs": []}
    return {"cells": [{**cell, "metadata": {}}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def done(*words, codes=(0,)):
    """What a command line prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = main([str(word) for word in words])
    assert code in codes, out.getvalue()
    return out.getvalue()


def kept(name, *words, codes=(0,)):
    Path(f"evidence/{name}.json").write_text(done(*words, "-o", "json", codes=codes))


def checked(*words, codes=(0, 1)):
    return json.loads(done("submission", "--check", "-o", "json", *words, codes=codes))


def missing_of(*words):
    return checked("--notebook", "ran.ipynb", *words)["missing"]


def run_folder():
    (found,) = Path("runs").glob("0002-*")
    return found


def test_everything_that_ran_is_found_and_nothing_is_missing(here):
    told = checked("--notebook", "ran.ipynb", codes=(0,))
    assert told["missing"] == []
    assert told["folder"] is None
    states = {one["key"]: one["state"] for one in told["checklist"]}
    assert set(states) == {line.key for line in COURSES["image-classification"]}
    assert states["batch"] == "optional"
    assert sorted(path.name for path in Path("runs").iterdir()) == ["0001-tiny-tuning", "0002-tiny"]


@pytest.mark.parametrize(
    ("gone", "keys"),
    [
        ("evidence/data.json", ["data"]),
        ("evidence/push.json", ["upload"]),
        ("evidence/deploy.json", ["endpoint"]),
        ("evidence/predict.json", ["prediction"]),
        ("evidence/cleanup.json", ["cleanup"]),
        ("runs/0002-tiny/rule-output/ProfilerReport/profiler-output", ["profiler"]),
        ("evidence/profile.json runs/0002-tiny/output/profiler", ["insights"]),
        ("evidence/debugger.png runs/0002-tiny/output/tensors", ["variable"]),
        ("runs/0002-tiny/output/data/curves.png", ["curves"]),
        ("runs/0002-tiny/output/data/metrics.csv", ["metrics"]),
        ("runs/0002-tiny/train.log", ["metrics"]),
        ("runs/0001-tiny-tuning/output/data/report.html", ["tuning"]),
        ("runs/0001-tiny-tuning", ["ranges", "tuning", "best"]),
    ],
)
def test_what_is_taken_away_is_named_and_nothing_else(here, gone, keys):
    for name in gone.split():
        path = here / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert missing_of() == keys


def test_what_makes_it_is_said(here):
    Path("evidence/deploy.json").unlink()
    (line,) = [one for one in checked()["checklist"] if one["key"] == "endpoint"]
    assert line["where"] == []
    assert line["how"] == "kennel deploy DEPLOYMENT.toml -o json > evidence/deploy.json"
    shown = done("submission", "--check", "--notebook", "ran.ipynb", codes=(1,))
    assert shown.endswith(f"missing: 1 of 26\nnext:    {line['how']}\n")


def test_what_was_only_shown_is_no_evidence(here):
    call = {"service": "s3", "operation": "PutObject", "parameters": {}}
    Path("evidence/push.json").write_text(json.dumps({"uri": "s3://b/dogs/", "calls": [call]}))
    Path("evidence/deploy.json").write_text(json.dumps([call]))
    assert missing_of() == ["upload", "endpoint"]


def test_a_notebook_counts_once_its_cells_have_run(here):
    Path("fresh.ipynb").write_text(json.dumps(notebook(None)))
    assert checked("--notebook", "fresh.ipynb")["missing"] == ["notebook"]
    assert checked("--notebook", "ran.ipynb")["missing"] == []


def test_every_link_and_picture_leads_to_a_file(package):
    for page in ("README.md", "checklist.md"):
        text = (package / page).read_text()
        links = re.findall(r"\]\(([^)]+)\)", text)
        local = [one for one in links if not one.startswith("https://")]
        assert len(local) > 10
        assert [one for one in local if not (package / one).is_file()] == []

    page = (package / "checklist.html").read_text()
    links = re.findall(r'href="([^"]+)"', page)
    assert len(links) > 20
    assert [one for one in links if not (package / one).is_file()] == []


def test_the_readme_has_the_runs_own_numbers(package, made):
    text = (package / "README.md").read_text()
    run = json.loads((made / "runs" / "0002-tiny" / "run.json").read_text())
    for name, value in run["metrics"].items():
        assert f"| {name} | {value:.4f} |" in text
    study = json.loads((made / "runs/0001-tiny-tuning/output/data/study.json").read_text())
    for trial in study["trials"]:
        assert f"| {trial['number']} | Completed | {trial['hyperparameters']['lr']:.4g} |" in text
    counts = json.loads((made / "evidence" / "data.json").read_text())["splits"]["train"]["classes"]
    assert counts == {"bars": 12, "disc": 12, "rings": 12}
    assert "| bars | 12 | 5 | 5 |" in text
    for heading in ("Dataset", "Hyperparameter tuning", "Debugging and profiling"):
        assert f"## {heading}\n" in text
    opinions = [line for line in text.splitlines() if "TODO" in line]
    assert [line for line in opinions if "not been run" in line] == []
    assert len(opinions) == 3


def test_what_ran_can_be_run_again_from_its_scripts(package, pictures):
    job = read_job_spec(package / "scripts" / "job.toml")
    told = tomllib.loads((package / "scripts" / "job.toml").read_text())
    assert job.hyperparameters["arch"] == "squeezenet1_1"
    assert job.channels["train"] == pictures / "train"
    assert told["rules"]["LossNotDecreasing"] == {"num_steps": "3"}
    assert {rule.name for rule in job.debug.rules} == {
        *("Overfit", "LossNotDecreasing", "ProfilerReport"),
    }
    tuning = read_tuning(package / "scripts" / "tuning.toml")
    assert tuning.spec.num_jobs == 2
    assert list(tuning.spec.ranges) == ["lr", "batch-size"]
    compile((package / "scripts" / "ask_endpoint.py").read_text(), "ask_endpoint.py", "exec")


def test_a_card_is_a_picture_that_says_what_it_is(package):
    cards = sorted((package / "cards").iterdir())
    assert [path.name for path in cards] == ["endpoint.svg", "job-0002-tiny.svg", "tuning.svg"]
    for path in cards:
        words = " ".join(ElementTree.parse(path).getroot().itertext())
        assert "no screenshot: made from" in words
    endpoint = " ".join(ElementTree.parse(cards[0]).getroot().itertext())
    assert "InService" in endpoint
    assert "https://us-east-1.console.aws.amazon.com/sagemaker/home?region=us-east-1#" in endpoint


def test_nothing_is_overwritten_and_each_gets_a_number_of_its_own(here, capsys):
    Path("there").mkdir()
    assert main(["submission", "--out", "there"]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert list(Path("there").iterdir()) == []
    for number in ("0003", "0004"):
        told = json.loads(done("submission", "-o", "json", codes=(0, 1)))
        assert told["folder"] == f"runs/{number}-submission"
        assert (Path(told["folder"]) / "checklist.html").is_file()


def test_markup_in_names_stays_text(here):
    Path("evidence/predict.json").write_text(
        json.dumps({"predictions": [{"picture": "a|b.png", "label": "x|y", "probability": 0.5}]})
    )
    Path("evidence/deploy.json").write_text(json.dumps({**DEPLOYED, "endpoint": "<b>&"}))
    done("submission", "--out", "out", codes=(0, 1))
    assert "| a\\|b.png | x\\|y | 0.5000 |" in Path("out/README.md").read_text()
    card = ElementTree.parse("out/cards/endpoint.svg").getroot()
    assert "Endpoint <b>&" in " ".join(card.itertext())


def test_the_other_course_asks_for_other_things(here):
    told = checked("--course", "ops", "--notebook", "ran.ipynb")
    assert told["missing"] == [
        *("several", "ec2", "lambda", "lambda-test", "security", "concurrency", "scaling"),
    ]
    run = run_folder() / "run.json"
    found = json.loads(run.read_text())
    bill = {"instance_count": 2, "instance_type": "ml.m5.xlarge", "usd": 0.01}
    run.write_text(json.dumps({**found, "aws": {"region": "us-east-1", "bill": bill}}))
    deployed = {"name": "dogs", "provisioned_concurrency": 0, "reserved_concurrency": 5}
    Path("evidence/lambda-deploy.json").write_text(json.dumps(deployed))
    told = checked("--course", "ops", "--notebook", "ran.ipynb")
    assert told["missing"] == ["ec2", "lambda-test", "security", "scaling"]


def test_a_run_that_failed_is_refused_and_broken_evidence_is_named(here, capsys):
    run = run_folder() / "run.json"
    run.write_text(json.dumps({**json.loads(run.read_text()), "status": "Failed"}))
    assert main(["submission", "2", "--check"]) == 2
    assert "name runs that completed" in capsys.readouterr().err
    Path("evidence/data.json").write_text("{")
    assert main(["submission", "--check"]) == 2
    assert "evidence/data.json" in capsys.readouterr().err


def test_without_any_run_everything_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = checked(codes=(1,))
    wanted = [line.key for line in COURSES["image-classification"] if not line.is_extra]
    assert told["missing"] == wanted
    assert list(tmp_path.iterdir()) == []
