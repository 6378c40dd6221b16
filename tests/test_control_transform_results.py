"""Result files that a kill may cut anywhere, rows of any name, and jobs that must not be mixed."""

import csv
import json
from dataclasses import replace

import pytest

from contract.errors import HostError, KennelError, SpecError, UsageError
from control.transform_plan import write_plan
from control.transform_results import ResultFiles, State, TransformFolder, TransformJob
from control.transform_row import answered, refused

JOB = TransformJob(input="/photos", model="abc", format="csv", content_type="application/x-image")
NAMES = [b"%d.jpg" % number for number in range(10)]
LINE = b'{"label": "cat", "probability": 0.75, "top": [{"label": "cat", "probability": 0.75}]}\n'


def begin(folder, job=JOB):
    """A transform of ten pictures, none of them answered."""
    folder.unfinished.mkdir(parents=True, exist_ok=True)
    assert list(write_plan(folder.plan, NAMES)) == [10]
    folder.begin(State(job=job, total=10, left_out={}))


def work(folder, count, *, commit=True, job=JOB):
    """A session that answers `count` pictures; every third is refused."""
    files = ResultFiles(folder, folder.find(job))
    for name, _ in zip(files.names(), range(count), strict=False):
        number = int(name.split(b".")[0])
        bad = number % 3 == 2
        files.add(name, refused(name, 400, "bad") if bad else answered(name, LINE, job.format))
    if commit:
        files.commit(1.5)
    files.close()
    return files.state


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("torn", [b"", b'"7.jpg","ca', b"x" * 100_000])
def test_what_was_not_committed_is_done_again_and_nothing_twice(tmp_path, torn):
    folder = TransformFolder(tmp_path)
    begin(folder)
    work(folder, 5)
    work(folder, 3, commit=False)
    for name in ("predictions.csv", "refused.csv"):
        with (folder.unfinished / name).open("ab") as file:
            file.write(torn)
    state = work(folder, 99)
    folder.publish(state)
    answers, refusals = rows(tmp_path / "predictions.csv"), rows(tmp_path / "refused.csv")
    assert [row["picture"] for row in answers] == [f"{n}.jpg" for n in range(10) if n % 3 != 2]
    assert [row["picture"] for row in refusals] == ["2.jpg", "5.jpg", "8.jpg"]
    assert (state.done, state.refused, state.seconds) == (10, 3, 3.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "predictions.csv", "refused.csv", "transform.json"
    ]  # fmt: skip


def test_publishing_again_after_a_kill_changes_nothing(tmp_path):
    folder = TransformFolder(tmp_path)
    begin(folder)
    state = work(folder, 10)
    (folder.unfinished / "predictions.csv").rename(tmp_path / "predictions.csv")  # killed here
    assert folder.find(JOB) == state
    folder.publish(state)
    folder.publish(state)
    assert len(rows(tmp_path / "predictions.csv")) == 7
    assert folder.find(JOB) == state


@pytest.mark.parametrize("is_finished", [False, True])
@pytest.mark.parametrize("field", ["input", "model", "format", "content_type"])
def test_another_job_is_never_mixed_in(tmp_path, field, is_finished):
    folder = TransformFolder(tmp_path)
    begin(folder)
    if is_finished:
        folder.publish(work(folder, 10))
    with pytest.raises(UsageError, match=rf"{field}: .* -> other.*--restart"):
        folder.find(replace(JOB, **{field: "other"}))
    folder.clear()
    assert folder.find(JOB) is None


def test_a_strangers_table_is_not_overwritten(tmp_path):
    (tmp_path / "predictions.csv").write_text("mine")
    with pytest.raises(UsageError, match="not a transform's"):
        TransformFolder(tmp_path).find(JOB)


def test_only_one_process_may_write(tmp_path):
    with TransformFolder(tmp_path / "out").locked():
        second = TransformFolder(tmp_path / "out").locked()
        with pytest.raises(UsageError, match="another kennel transform"), second:
            pass
    with TransformFolder(tmp_path / "out").locked():
        pass
    assert list((tmp_path / "out").iterdir()) == []


def test_files_that_somebody_cut_are_not_continued(tmp_path):
    folder = TransformFolder(tmp_path)
    begin(folder)
    work(folder, 5)
    (folder.unfinished / "predictions.csv").write_bytes(b"")
    with pytest.raises(HostError, match="shortened"):
        work(folder, 1)


def test_a_state_that_is_not_ours_is_named(tmp_path):
    (tmp_path / "transform.json").write_text('{"job": {}}')
    with pytest.raises(SpecError, match=r"transform\.json is not one we know"):
        TransformFolder(tmp_path).find(JOB)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"a,b.jpg", "a,b.jpg"),
        (b'"q".jpg', '"q".jpg'),
        (b"line\nbreak\r.jpg", "line\nbreak\r.jpg"),
        ("\u72ac.jpg".encode(), "\u72ac.jpg"),
    ],
)
def test_any_name_survives_both_formats(tmp_path, name, text):
    table = tmp_path / "table.csv"
    table.write_bytes(b'"picture","label","probability","top"\n' + answered(name, LINE, "csv").data)
    (row,) = rows(table)
    assert (row["picture"], row["label"], float(row["probability"])) == (text, "cat", 0.75)
    assert json.loads(row["top"]) == {"cat": 0.75}
    line = answered(name, LINE, "jsonl").data
    assert json.loads(line) == {"picture": text, **json.loads(LINE)}
    assert line.count(b"\n") == 1


def test_a_name_that_is_no_text_is_written_readably():
    assert json.loads(answered(b"raw\xff", LINE, "jsonl").data)["picture"] == "raw\udcff"
    assert answered(b"raw\xff", LINE, "csv").data.startswith(b'"raw\\udcff",')


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("line", [b"", b"cat\n", b'{"predictions": []}\n', LINE + LINE])
def test_a_strangers_answer_is_recognised(form, line):
    with pytest.raises(KennelError, match="does not answer as Kennel's does"):
        answered(b"a.jpg", line, form)
