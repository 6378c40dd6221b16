"""What a terminal and a log file see of a long command."""

import io

from control.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Closed(Terminal):
    def write(self, _text):
        raise BrokenPipeError


def test_a_terminal_gets_one_line_with_share_rate_and_time_left():
    stream = Terminal()
    progress = Progress(stream, 2000, 1000)
    progress.show(1500, "3 refused")
    progress.show(1501)  # too soon
    text = stream.getvalue()
    assert text.startswith("\r\x1b[K[##################      ] 1,500 of 2,000 (75%), ")
    assert " a second, " in text
    assert text.endswith(" left, 3 refused")
    progress.clear()
    assert stream.getvalue() == text + "\r\x1b[K"


def test_a_file_gets_whole_lines_and_few():
    stream = io.StringIO()
    progress = Progress(stream, 100)
    for done in range(100):
        progress.show(done)
    progress.clear()
    assert stream.getvalue() == ""  # nothing before a quarter of a minute is over


def test_nobody_needs_to_listen():
    Progress(Closed(), 10).show(5)
