import io
import os
import pty
import re
import select
import termios

import pytest

from contract.metrics import METRICS, read_metrics
from train.metrics_file import EpochRow
from train.progress import Progress, epoch_line

ROW = EpochRow(
    epoch=3,
    seconds=2.06,
    learning_rate=0.001,
    metrics={
        "train:loss": 0.41234,
        "train:accuracy": 0.8812,
        "validation:loss": 0.5,
        "validation:accuracy": 0.8725,
        "train:images_per_second": 1234.4,
    },
)


def draw_on_terminal(
    environment: dict[str, str], *, enabled: bool = True, size: tuple[int, int] = (24, 100)
) -> str:
    """What a phase writes to a real pseudo-terminal of `size` rows and columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, size)
    try:
        with os.fdopen(theirs, "w", encoding="utf-8") as stream:
            progress = Progress(enabled=enabled, stream=stream, environment=environment)
            with progress.phase("features", 40) as advance:
                advance(30)
                advance(10)
            stream.write("END")
            stream.flush()
            # The kernel hands over what was written in pieces, later on a busy machine.
            text = ""
            while not text.endswith("END") and select.select([ours], [], [], 10)[0]:
                text += os.read(ours, 65536).decode()
            return text.removesuffix("END")
    finally:
        os.close(ours)


def test_a_terminal_gets_a_bar_that_is_wiped_at_the_end():
    text = draw_on_terminal({"TERM": "xterm-256color"})
    assert "features" in text
    assert "images/s" in text
    assert text.rstrip(" ").endswith("\r")
    assert "\n" not in text.replace("\r\n", "")


@pytest.mark.parametrize("size", [(0, 0), (0, 100), (24, 0)])
def test_a_terminal_that_does_not_know_its_size_gets_a_bar_too(size):
    text = draw_on_terminal({"TERM": "xterm"}, size=size)
    assert "/40 images" in text


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {}])
def test_a_dumb_terminal_gets_nothing(environment):
    assert draw_on_terminal(environment) == ""


def test_no_bar_is_coloured_with_or_without_no_color():
    for environment in ({"TERM": "xterm"}, {"TERM": "xterm", "NO_COLOR": "1"}):
        assert not re.search(r"\x1b\[[0-9;]*m", draw_on_terminal(environment))


def test_a_disabled_bar_or_a_file_gets_nothing():
    assert draw_on_terminal({"TERM": "xterm"}, enabled=False) == ""
    stream = io.StringIO()
    with Progress(enabled=True, stream=stream, environment={"TERM": "xterm"}).phase("x", 2) as go:
        go(2)
    assert stream.getvalue() == ""


def test_an_epoch_is_one_friendly_line():
    assert epoch_line(ROW, 10, best=True) == (
        "epoch  3/10  loss 0.4123  accuracy 0.8812  validation 0.8725 (best)  1,234 images/s  2.1 s"
    )
    assert "(best)" not in epoch_line(ROW, 10, best=False)


def test_what_was_not_measured_is_left_out():
    row = EpochRow(epoch=1, seconds=1, learning_rate=1, metrics={"train:loss": float("nan")})
    assert epoch_line(row, 2, best=False) == "epoch 1/2  loss nan  1.0 s"


def test_no_metric_regex_reads_an_epoch_line():
    line = epoch_line(ROW, 10, best=True)
    assert read_metrics(line) == {}
    assert not any(re.search(metric.regex, line) for metric in METRICS)
