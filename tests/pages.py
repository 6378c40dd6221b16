"""For the tests of the debugger's pages: a job with everything, and what a page's markup says."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image
from profiles import Scene
from tensor_runs import write_steps

from contract.files import write_json
from contract.rule_result import Finding, RuleResult
from contract.rules import RuleSpec
from debugger.profile.data import Events, NodeMetrics, Profile
from debugger.profile.evaluate import evaluate_profile
from debugger.profile.read import read_profile
from debugger.profile.summarize import summarize
from debugger.report.view import View

EVIL = '<script>alert(1)</script>" onload="x\' & $5$'
REPORT = RuleSpec(name="ProfilerReport", rule="ProfilerReport")
# Two hosts with two GPUs each: loading holds them up, one GPU has half of the work, memory grows.
SICK = Scene(seconds=240, steps_of_epoch=60, idle_gpu=0.5, memory_growth=6.0, outliers=14)
GRADIENT = "gradient/Network_trunk.features.11.expand1x1_of_a_long_name.fc.weight"
_VOID = ("meta", "img", "source", "br", "link", "input", "hr")


class Page(HTMLParser):
    """Tags, addresses, anchors and text of a page; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.crossed: list[str] = []
        self.handlers: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.crossed += self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = {name: value or "" for name, value in attrs}
        names = ("src", "srcset", "href", "xlink:href", "action", "data")
        self.addresses += [values[name] for name in names if name in values]
        self.handlers += [name for name in values if name.startswith("on")]
        self.ids += [values["id"]] if "id" in values else []
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        if tag in _VOID:
            return
        if not self._open or self._open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("style", "script"):
            self.words += data


def words_of(text: str) -> str:
    """What a person reads, in one line, figures included."""
    return re.sub(r"\s+", " ", Page(text).words.replace("\xa0", " "))


def section(text: str, anchor: str) -> str:
    """The words of one section."""
    (found,) = re.findall(rf'<section id="{anchor}">.*?</section>', text, re.DOTALL)
    return words_of(found)


def assert_self_contained(text: str) -> None:
    """The markup is well formed, anchors lead somewhere, and nothing comes from outside."""
    page = Page(text)
    assert page.crossed == []
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("script") == 1
    assert page.tags.count("svg") >= 5
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert "link" not in page.tags
    targets = [address[1:] for address in page.addresses if address.startswith("#")]
    assert set(targets) <= set(page.ids)
    assert "default-src 'none'" in text


def view_of(profile: Profile) -> View:
    """A profile with all rules asked."""
    judged = evaluate_profile(profile, REPORT)
    return View(profile=profile, summary=summarize(profile), results=judged)


def scene_view(scene: Scene, folder: Path) -> View:
    """A made-up job's."""
    return view_of(read_profile([scene.write(folder)]))


def bare_profile(system: dict[str, NodeMetrics], seconds: float, node: str = "") -> Profile:
    """A profile in memory; with a node it has 20 training steps."""
    num = 20 if node else 0
    starts = np.arange(num, dtype=float)
    phases = np.array(["Step:ModeKeys.TRAIN"] * num, dtype=object)
    return Profile(
        system=system,
        events=Events(
            starts=1e9 + starts,
            seconds=np.full(num, 0.5),
            phases=phases,
            names=phases,
            nodes=np.array([node] * num, dtype=object),
            pids=np.ones(num, dtype=np.int64),
            steps=np.arange(num),
            arguments=({},) * num,
        ),
        first_file_at=1e9,
        started_at=1e9,
        ended_at=1e9 + seconds,
        has_ended=True,
    )


def write_job_folder(folder: Path, *, profile: bool = True) -> Path:
    """A run's folder as a job with --debug and --profile leaves it, with hostile names in it."""
    labels = ["cat", "dog", EVIL]
    data = folder / "output/data"
    data.mkdir(parents=True)
    rows = [["epoch", "seconds", "learning_rate", "train:loss", "validation:accuracy"]]
    rows += [[e, 1.5, 0.01 / e, 2 / e, 0.2 * e] for e in (1, 2, 3)]
    _write_csv(data / "metrics.csv", rows)
    answers = [[f"{i}.jpg", labels[i % 3], labels[i % 3 if i % 4 else 0], 0.5] for i in range(20)]
    _write_csv(data / "predictions_test.csv", [["picture", "label", "predicted", "p"], *answers])
    scores = [
        [label, 0.5, recall, "", 7] for label, recall in zip(labels, (0.2, 0.9, 0.4), strict=True)
    ]
    _write_csv(data / "per_class.csv", [["label", "precision", "recall", "f1", "support"], *scores])
    for name, size in (("confusion.png", (300, 200)), ("worst.png", (1400, 600))):
        Image.fromarray(np.full((size[1], size[0], 3), 200, np.uint8)).save(data / name)
    write_json(folder / "run.json", {"name": EVIL, "status": "Completed", "seconds": 12.0,
                                     "hyperparameters": {"arch": EVIL}})  # fmt: skip
    loss = "CrossEntropyLoss_output_0"
    steps = [("TRAIN", i, {loss: np.float32(2 / (i + 1)),
                           GRADIENT: np.full((2, 3), 10.0**-i, np.float32)})
             for i in range(9)]  # fmt: skip
    steps.append(("EVAL", 0, {loss: np.float32(1.5)}))
    collections = {"losses": ["Loss"], "gradients": ["^gradient"]}
    write_steps(folder / "output/tensors", steps, collections=collections)
    for result in _results(loss):
        write_json(folder / f"rule-output/{result.name}/report.json", result.to_json())
    if profile:
        Scene(hosts=1, gpus=0, seconds=60, steps_of_epoch=30).write(folder / "output/profiler")
    return folder


def _results(loss: str) -> list[RuleResult]:
    findings = tuple(
        Finding(step=step, mode="TRAIN", tensor=GRADIENT, value=10.0**-step,
                threshold=1e-7, message=f"the mean is {10.0**-step}", advice=f"raise lr {EVIL}")
        for step in (8,)
    )  # fmt: skip
    return [
        RuleResult(name="VanishingGradient", rule="VanishingGradient", status="IssuesFound",
                   findings=findings, num_findings=3, datapoints=9, last_step=9),
        RuleResult(name="Overfit", rule="Overfit", status="NoIssuesFound", datapoints=1,
                   details="not enough data: 1 evaluation", last_step=9),
        RuleResult(name=EVIL, rule=EVIL, status="Error", details=f"{loss} {EVIL}"),
    ]  # fmt: skip


def _write_csv(path: Path, rows: list[list[object]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    path.write_text(buffer.getvalue())


def write_failure(folder: Path, reason: str) -> Path:
    """A run's folder of a job that failed before its first epoch."""
    (folder / "output").mkdir(parents=True)
    (folder / "output/failure").write_text(reason)
    (folder / "run.json").write_text(json.dumps({"name": "pets", "status": "Failed"}))
    return folder
