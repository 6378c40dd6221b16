import csv
import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browsers import headless
from PIL import Image
from training import split_of

from contract.labels import Labels
from contract.theme import DARK, LIGHT
from train.class_report import score_classes, write_class_report
from train.confusion import count_confusion, draw_confusion, most_confused
from train.curves import draw_curves
from train.headline import top_k_accuracy, wilson_interval
from train.metrics_file import EpochRow, write_metrics
from train.report import Evaluation, RunReport, write_report
from train.worst import find_worst


def rows_of(count: int) -> list[EpochRow]:
    return [
        EpochRow(
            epoch=i + 1,
            seconds=0.5,
            learning_rate=0.001,
            metrics={"validation:accuracy": i / count, "train:loss": 2.0 / (i + 1)},
        )
        for i in range(count)
    ]


def evaluation_of(folder: Path, num_classes: int, num: int) -> Evaluation:
    """Seeded answers for `num` pictures, a few of which are there."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for i in range(min(num, 5)):
        Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(folder / f"{i}.jpg")
    logits = rng.normal(size=(num, num_classes)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Evaluation(
        split="test",
        pictures=split_of(*(folder / f"{i}.jpg" for i in range(num))).pictures,
        targets=rng.integers(0, num_classes, num),
        probabilities=probabilities.astype(np.float32),
    )


def report_of(tmp_path: Path, labels: tuple[str, ...], num: int = 30, **more: object) -> Path:
    run = RunReport(
        title=str(more.pop("title", "Pets")),
        labels=Labels(labels),
        rows=rows_of(3),
        best_epoch=2,
        evaluations=(evaluation_of(tmp_path / "pictures", len(labels), num),),
        **more,
    )
    write_report(tmp_path / "out", run)
    return tmp_path / "out"


class Page(HTMLParser):
    """The tags and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "srcset", "href", "action")]


def test_a_report_leaves_its_files_and_the_figures_are_pictures(tmp_path):
    out = report_of(tmp_path, ("cat", "dog", "emu"), unreadable=(("a.jpg", "cut short"),))
    assert sorted(path.name for path in out.iterdir()) == [
        "confusion.png",
        "curves.png",
        "per_class.csv",
        "predictions_test.csv",
        "report.html",
        "unreadable.csv",
        "worst.png",
    ]
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 200


def test_the_page_needs_nothing_from_outside(tmp_path):
    text = (report_of(tmp_path, ("cat", "dog")) / "report.html").read_text()
    page = Page(text)
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "link" not in page.tags
    assert "prefers-color-scheme:dark" in text


def test_labels_titles_and_paths_cannot_inject_markup(tmp_path):
    evil = "<script>alert(1)<"
    out = report_of(
        tmp_path,
        (f"a{evil}", '" onload="x'),
        title=evil,
        facts={evil: evil},
        settings={evil: evil},
        unreadable=((evil, evil),),
    )
    text = (out / "report.html").read_text()
    assert Page(text).tags.count("script") == 1
    assert "alert(1)" in text
    assert '" onload="' not in text


def test_labels_in_any_script_and_with_dollars_are_drawn(tmp_path):
    out = report_of(tmp_path, ("$5$", "\u72ac", "\u043a\u043e\u0442", "x" * 200))
    assert "\u72ac" in (out / "report.html").read_text()


@pytest.mark.parametrize("num_classes", [133, 1000])
def test_the_page_stays_small(tmp_path, num_classes):
    labels = tuple(f"{i:04d}." + "long_name" * 5 for i in range(num_classes))
    out = report_of(tmp_path, labels, 300, unreadable=(("p" * 400, "r" * 400),) * 5000)
    assert (out / "report.html").stat().st_size < 3_000_000


def test_lost_and_broken_pictures_do_not_break_the_report(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "7.jpg").write_bytes(b"no picture")
    text = (report_of(tmp_path, ("cat", "dog"), 8) / "report.html").read_text()
    assert text.count("cannot be opened") == 3


def test_a_run_without_evaluation_or_epochs_still_has_a_page(tmp_path):
    run = RunReport(title="t", labels=Labels(("a", "b")), rows=[], best_epoch=0, evaluations=())
    write_report(tmp_path, run)
    assert "No epoch was finished" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "confusion.png").exists()


def test_scores_agree_with_a_plain_loop(tmp_path):
    evaluation = evaluation_of(tmp_path / "p", 4, 200)
    targets, predicted = evaluation.targets, evaluation.predicted
    scores = score_classes(count_confusion(targets, predicted, 4), Labels(("a", "b", "c", "d")))
    for index, score in enumerate(scores):
        pairs = list(zip(targets, predicted, strict=True))
        right = sum(t == p == index for t, p in pairs)
        assert score.precision == pytest.approx(right / sum(p == index for _, p in pairs))
        assert score.recall == pytest.approx(right / sum(t == index for t, _ in pairs))
        mean = 2 / (1 / score.precision + 1 / score.recall)
        assert score.f1 == pytest.approx(mean)
        assert score.support == sum(t == index for t, _ in pairs)


def test_undefined_scores_are_gaps_not_zeros(tmp_path):
    matrix = np.array([[2, 0, 0], [1, 0, 0], [0, 0, 0]])
    cat, dog, emu = score_classes(matrix, Labels(("cat", "dog", "emu")))
    assert (cat.precision, cat.recall, cat.f1) == pytest.approx((2 / 3, 1.0, 0.8))
    assert (dog.precision, dog.recall, dog.f1) == (None, 0.0, 0.0)
    assert (emu.precision, emu.recall, emu.f1, emu.support) == (None, None, None, 0)


def test_per_class_csv_holds_every_label(tmp_path):
    labels = ("comma, cat", 'quote "dog"')
    write_class_report(
        tmp_path / "a.csv", score_classes(np.array([[3, 1], [0, 0]]), Labels(labels))
    )
    table = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert [row["label"] for row in table] == list(labels)
    assert [(row["recall"], row["support"]) for row in table] == [("0.750000", "4"), ("", "0")]


def test_the_most_confused_pairs_are_the_largest_mistakes():
    matrix = np.array([[9, 3, 0], [3, 1, 0], [0, 5, 0]])
    pairs = [(pair.true, pair.predicted, pair.count) for pair in most_confused(matrix, 9)]
    assert pairs == [(2, 1, 5), (1, 0, 3), (0, 1, 3)]


def test_the_worst_pictures_have_the_highest_loss(tmp_path):
    evaluation = evaluation_of(tmp_path / "p", 3, 50)
    worst = find_worst(evaluation, ("a", "b", "c"), 5)
    losses = [-math.log(evaluation.probabilities[i, t]) for i, t in enumerate(evaluation.targets)]
    assert [-math.log(item.true_probability) for item in worst] == pytest.approx(
        sorted(losses, reverse=True)[:5]
    )


def test_a_confusion_map_shows_large_shares_in_the_full_colour():
    image = Image.open(io.BytesIO(draw_confusion(np.diag([5, 5]), ("a", "b"), LIGHT)))
    colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
    assert tuple(bytes.fromhex(LIGHT.heat[-1][1:])) in colours


def test_curves_are_drawn_also_for_one_epoch_and_for_nan():
    nan = EpochRow(epoch=2, seconds=1, learning_rate=1, metrics={"train:loss": math.nan})
    for rows in ([], [*rows_of(1), nan], rows_of(200)):
        with Image.open(io.BytesIO(draw_curves(rows, 1, DARK))) as image:
            assert image.size[0] > 1000


def test_top_k_and_the_interval_agree_with_known_values(tmp_path):
    evaluation = evaluation_of(tmp_path / "p", 20, 100)
    ranked = np.argsort(-evaluation.probabilities, axis=1)[:, :5]
    expected = np.mean([t in row for t, row in zip(evaluation.targets, ranked, strict=True)])
    assert top_k_accuracy(evaluation, 5) == pytest.approx(expected)
    # Newcombe 1998, table I: 81 of 263, Wilson without continuity correction.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20)[0] == 0.0


def test_metrics_files_hold_every_epoch_and_no_nan(tmp_path):
    rows = [
        *rows_of(2),
        EpochRow(epoch=3, seconds=1, learning_rate=0.1, metrics={"train:loss": math.inf, "own": 1}),
    ]
    write_metrics(tmp_path, rows)
    table = list(csv.DictReader(io.StringIO((tmp_path / "metrics.csv").read_text())))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert list(table[0])[3:] == ["train:loss", "validation:accuracy", "own"]
    assert [row["train:loss"] for row in table] == ["2.0", "1.0", ""]
    assert lines[2] == {
        "epoch": 3,
        "seconds": 1.0,
        "learning_rate": 0.1,
        "train:loss": None,
        "own": 1.0,
    }
    assert not re.search("NaN|Infinity", (tmp_path / "metrics.jsonl").read_text())


@pytest.fixture
def browser(tmp_path):
    with headless(tmp_path / "profile") as opened:
        yield opened


def test_in_a_browser_every_picture_shows_and_a_click_sorts_the_classes(tmp_path, browser):
    out = report_of(tmp_path, tuple(f"label {i}" for i in range(25)), 60)
    browser.get((out / "report.html").as_uri())
    shown = browser.execute_script(
        "return [...document.images].every(i => (i.loading = 'eager', i.complete || i.decode()))"
    )
    assert shown
    assert browser.get_log("browser") == []
    head = "document.querySelectorAll('table.sortable th button')[2]"
    column = "[...document.querySelectorAll('table.sortable tbody tr')].map(r => r.cells[2])"
    for ascending in (False, True):
        browser.execute_script(f"{head}.click()")
        cells = browser.execute_script(f"return {column}.map(c => c.dataset.value)")
        numbers = [float(cell) for cell in cells if cell]
        assert numbers == sorted(numbers, reverse=not ascending)
        assert all(not cell for cell in cells[len(numbers) :])
    browser.execute_script("document.querySelector('.zoom').click()")
    assert browser.execute_script("return document.querySelector('.zoom.near img').width") > 1200
