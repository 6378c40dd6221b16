"""`kennel transform` as a person runs it: a real server, real pictures, real kills."""

import contextlib
import csv
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from serving import COLOURS, client_for, colour_bundle, picture, server

from control.cli import main

ROOT = Path(__file__).resolve().parents[1]
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def url():
    """A server of the bundle that knows colours."""
    with server(colour_bundle()) as running:
        yield running.url


def put(folder, names):
    """Pictures whose colours take turns; a name with `bad` holds no picture."""
    colours = list(COLOURS)
    for number, name in enumerate(names):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        good = picture(colours[number % len(colours)], "JPEG")
        path.write_bytes(b"noise" if "bad" in name else good)


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def start(*words):
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "control", "transform", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """(exit code, stdout, stderr)."""
    out, err = process.communicate(timeout=WAIT_SECONDS)
    return process.returncode, out, err


def wait_for(condition):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def state_of(out):
    with contextlib.suppress(OSError):
        return json.loads((out / "unfinished" / "state.json").read_text())
    return {"done": 0}


def is_beyond(done, out):
    """Whether more than `done` pictures are safe."""
    return state_of(out)["done"] > done


ODD = ["a b.jpg", 'c"d,e.png', "f\ng.webp", "\u72ac/\u00fc.jpg", "z.jpg"]


def test_a_folder_becomes_one_table_with_what_the_server_says(url, tmp_path, capsys):
    put(tmp_path / "in", [*ODD, "y/bad.jpg", "notes.txt"])
    out = tmp_path / "out"
    assert main(["transform", str(tmp_path / "in"), "-o", str(out), "--url", url, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["answered"], told["refused"]) == (6, 5, 1)
    assert told["left_out"] == {".txt": 1}
    answers = {row["picture"]: row for row in rows(out / "predictions.csv")}
    assert sorted(answers) == sorted(ODD)
    client = client_for(colour_bundle())
    for name, row in answers.items():
        reply = client.post("/invocations", data=(tmp_path / "in" / name).read_bytes())
        (said,) = reply.json["predictions"]
        assert (row["label"], float(row["probability"])) == (said["label"], said["probability"])
        top = [{"label": k, "probability": v} for k, v in json.loads(row["top"]).items()]
        assert top == said["top"]
    (refusal,) = rows(out / "refused.csv")
    assert (refusal["picture"], refusal["status"]) == ("y/bad.jpg", "400")
    assert "expected a picture" in refusal["reason"]


def test_json_lines_hold_the_servers_own_answers(url, tmp_path):
    put(tmp_path / "in", ["a.jpg", "\u72ac\n.jpg"])
    words = ["transform", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--url", url]
    assert main([*words, "--format", "jsonl"]) == 0
    lines = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line) for line in lines]
    assert [answer["picture"] for answer in answers] == ["a.jpg", "\u72ac\n.jpg"]
    assert [answer["label"] for answer in answers] == list(COLOURS)[:2]
    assert all(set(answer) == {"picture", "label", "probability", "top"} for answer in answers)


def test_a_bundle_is_served_for_as_long_as_it_takes(tmp_path, capsys):
    put(tmp_path / "in", ["a.jpg", "b.jpg"])
    bundle = ["--bundle", str(colour_bundle())]
    words = ["transform", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *bundle]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("2 pictures in ")
    assert [row["label"] for row in rows(tmp_path / "out" / "predictions.csv")] == ["blue", "green"]
    assert main(words) == 0  # done already: says the same, and starts no server
    assert capsys.readouterr().out == shown.out
    assert main([*words[:-1], str(colour_bundle()), "--format", "jsonl"]) == 2
    assert "format: csv -> jsonl" in capsys.readouterr().err
    assert main([*words, "--format", "jsonl", "--restart"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "predictions.jsonl", "refused.csv", "transform.json"
    ]  # fmt: skip


def test_killed_again_and_again_it_answers_each_picture_once(url, tmp_path):
    names = [f"{n // 100:02d}/{n:04d}{'bad' * (n % 50 == 0)}.jpg" for n in range(6000)]
    put(tmp_path / "in", names)
    out, words = tmp_path / "out", [tmp_path / "in", "-o", tmp_path / "out", "--url", url]
    seen = 0
    for _ in range(2):
        with start(*words, "--concurrency", 1) as process:
            wait_for(functools.partial(is_beyond, seen, out))
            process.kill()
        seen = state_of(out)["done"]
    assert not (out / "predictions.csv").exists()
    code, _, err = finish(start(*words))
    assert code == 1
    assert f"continuing after {seen:,} of 6,000 pictures" in err
    answered = [row["picture"] for row in rows(out / "predictions.csv")]
    refused = [row["picture"] for row in rows(out / "refused.csv")]
    assert sorted(answered + refused) == sorted(names)
    assert answered == sorted(answered)
    assert len(refused) == 120


def test_ctrl_c_says_how_to_continue(url, tmp_path):
    put(tmp_path / "in", [f"{n:04d}.jpg" for n in range(6000)])
    words = [tmp_path / "in", "-o", tmp_path / "out", "--url", url]
    process = start(*words, "--concurrency", 1)
    wait_for(lambda: is_beyond(0, tmp_path / "out"))
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process)
    assert (code, out) == (130, "")
    done = state_of(tmp_path / "out")["done"]
    assert f"stopped after {done:,} of 6,000 pictures: the same command continues" in err
    assert finish(start(*words))[0] == 0
    assert len(rows(tmp_path / "out" / "predictions.csv")) == 6000


def test_a_server_killed_in_the_middle_costs_no_picture(tmp_path):
    """gunicorn starts another worker; requests that the dead one held are sent again."""
    put(tmp_path / "in", [f"{n:04d}.jpg" for n in range(4000)])
    with server(colour_bundle()) as running:
        process = start(tmp_path / "in", "-o", tmp_path / "out", "--url", running.url)
        wait_for(lambda: is_beyond(0, tmp_path / "out"))
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        code, _, err = finish(process)
    assert code == 0, err
    assert len(rows(tmp_path / "out" / "predictions.csv")) == 4000


def test_a_killed_transform_takes_its_server_along(tmp_path):
    put(tmp_path / "in", [f"{n:04d}.jpg" for n in range(6000)])
    process = start(tmp_path / "in", "-o", tmp_path / "out", "--bundle", colour_bundle())
    wait_for(lambda: is_beyond(0, tmp_path / "out"))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    process.kill()
    finish(process)
    wait_for(lambda: not Path(f"/proc/{children[0]}").exists())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["in", "-o", "json"], "--json prints the summary"),
        (["nowhere", "-o", "out"], "nowhere does not exist"),
        (["in"], "required: -o/--out"),
        (["in", "-o", "in"], "is the input itself"),
        (["in", "-o", "in/a.jpg"], "is a file"),
        (["empty", "-o", "out"], "empty holds no picture; left out by name: 1 .csv"),
        (["in", "-o", "out", "--on", "container"], "only a server that --bundle starts"),
        (["in", "-o", "out", "--concurrency", "-1"], "expected 0 to 256"),
        (["s3:///x", "-o", "out"], "expected s3://BUCKET/PREFIX"),
    ],
)
def test_the_impossible_is_refused_in_one_line(tmp_path, capsys, words, says):
    put(tmp_path, ["in/a.jpg", "empty/list.csv"])
    with contextlib.chdir(tmp_path):
        assert main(["transform", *words]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert says in error


def test_nobody_at_the_address_is_said_and_nothing_is_lost(tmp_path, capsys):
    put(tmp_path / "in", ["a.jpg"])
    words = ["transform", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert main([*words, "--url", "http://127.0.0.1:9"]) == 1
    assert "nothing answers at http://127.0.0.1:9" in capsys.readouterr().err
