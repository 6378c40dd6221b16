"""The lines of a job's streams in CloudWatch: each once, in order, whatever their number."""

import pytest
from training_jobs import write_log

from control.aws.account import Account
from control.aws.job.log_tail import LogTail, host_of
from control.aws_client import AwsError


def texts(tail):
    return [line.text for line in tail.read()]


def test_a_group_that_is_not_there_yet_has_no_lines(aws_here):
    tail = LogTail(Account(), "dogs-1/")
    assert tail.read() == []
    write_log(aws_here, "dogs-1", ["here now"])
    assert texts(tail) == ["here now"]
    assert tail.read() == []


def test_more_lines_than_a_page_holds_all_come_in_order(aws_here):
    lines = [f"line {number}" for number in range(10_250)]
    write_log(aws_here, "dogs-1", lines)
    assert texts(LogTail(Account(), "dogs-1/")) == lines
    assert len(aws_here.calls("GetLogEvents")) == 3  # two pages, and one that leads to itself


def test_more_streams_than_a_page_holds_are_all_read(aws_here):
    for number in range(55):
        write_log(aws_here, "dogs-1", [f"from {number}"], host=f"algo-{number}")
    assert len(texts(LogTail(Account(), "dogs-1/"))) == 55


def test_a_stream_of_a_later_attempt_is_read_too(aws_here):
    tail = LogTail(Account(), "dogs-1/")
    write_log(aws_here, "dogs-1", ["before"], host="algo-1")
    assert texts(tail) == ["before"]
    write_log(aws_here, "dogs-1", ["after the interruption"], host="algo-1-again")
    assert texts(tail) == ["after the interruption"]


def test_a_later_session_tells_what_the_earlier_one_had(aws_here):
    first = LogTail(Account(), "dogs-1/")
    write_log(aws_here, "dogs-1", ["one", "two"])
    first.read()
    write_log(aws_here, "dogs-1", ["three"], at=5000)
    second = LogTail(Account(), "dogs-1/", seen=first.seen)
    assert [(line.text, line.is_new) for line in second.read()] == [
        ("one", False),
        ("two", False),
        ("three", True),
    ]
    assert list(second.seen.values()) == [3]


def test_lines_before_an_error_are_not_lost_and_the_error_comes_next(aws_here):
    write_log(aws_here, "dogs-1", ["kept"], host="algo-1")
    write_log(aws_here, "dogs-1", ["denied"], host="algo-2")
    tail = LogTail(Account(), "dogs-1/")
    asked = []

    def refuse_second(parameters):
        asked.append(parameters["logStreamName"])
        if len(asked) == 1:
            aws_here.fail("GetLogEvents", "AccessDeniedException", "no", times=3)

    aws_here.after("GetLogEvents", refuse_second)
    assert texts(tail) == ["kept"]
    with pytest.raises(AwsError, match="AccessDeniedException"):
        tail.read()
    aws_here.after("GetLogEvents", lambda _: None)
    aws_here.forget()
    while True:
        try:
            assert texts(tail) == ["denied"]
            break
        except AwsError:
            continue


@pytest.mark.parametrize(
    ("stream", "host"),
    [("dogs-1/algo-1-1700000000", "algo-1"), ("a-b/algo-12-17", "algo-12"), ("x/other", "other")],
)
def test_a_stream_names_its_host(stream, host):
    assert host_of(stream) == host
