"""Parts of a batch transform: reasons from the log, counting answers, and where those lie."""

import itertools

import pytest

from control.aws.endpoint.transform_count import FEWEST, RANGES, AnswerCount, boundaries_of
from control.aws.endpoint.transform_fetch import base_of
from control.aws.endpoint.transform_reasons import NO_REASON, reasons_in
from control.s3 import S3, S3Uri

START = "2026-11-28T04:08:19.666:[sagemaker logs]: "


def logged(key, *lines):
    return [f"{START}photos/{key}: {line}" for line in lines]


def test_a_refusal_has_the_servers_own_sentence():
    body = '{"error": "ImageError", "message": "expected a picture"}'
    lines = logged("in/a.jpg", "ClientError: 400", "", "Message:", body)
    (key, reason), *others = reasons_in(lines, "photos").items()
    assert (key, reason.status, reason.text, others) == ("in/a.jpg", 400, "expected a picture", [])


def test_messages_that_are_no_json_are_joined():
    lines = logged("a", "ClientError: 413", "", "Message:", "<html>", "  too large", "</html>")
    assert reasons_in(lines, "photos")["a"].text == "<html> too large </html>"
    only = reasons_in(logged("b", "ModelError: 500"), "photos")["b"]
    assert (only.status, only.text) == (500, "ModelError: 500")
    none = reasons_in([f"{START}photos/c: "], "photos")["c"]
    assert (none.status, none.text) == ("", NO_REASON.text)


def test_names_may_look_like_the_log_and_lines_may_come_mixed():
    first, second = "a: b/c: d.jpg", "a"
    one = logged(first, "ClientError: 400", "Message:", "no: picture")
    two = logged(second, "ClientError: 415", "Message:", "no: type")
    mixed = [line for pair in zip(one, two, strict=True) for line in pair]
    found = reasons_in(mixed, "photos")
    assert {key: (one.status, one.text) for key, one in found.items()} == {
        first: (400, "no: picture"),
        second: (415, "no: type"),
    }


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-28 04:08:22 INFO] POST /invocations 200",
        f"{START}MaxConcurrentTransforms=4, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD",
        f"{START}other-bucket/in/a.jpg: ClientError: 400",
        "",
    ],
)
def test_other_lines_say_nothing_about_an_object(line):
    assert reasons_in([line], "photos") == {}


def test_a_listing_is_cut_into_pieces_of_one_size():
    names = [f"{number:06d}.jpg".encode() for number in range(FEWEST * RANGES * 2)]
    found = boundaries_of(names, len(names))
    assert len(found) == RANGES - 1
    edges = [0, *(names.index(one.encode()) for one in found), len(names)]
    sizes = [high - low for low, high in itertools.pairwise(edges)]
    assert max(sizes) - min(sizes) <= 1
    assert boundaries_of(names[:FEWEST], FEWEST) == []  # not worth a second connection


@pytest.fixture
def answers(aws_here):
    s3 = aws_here.client("s3")
    s3.create_bucket(Bucket="photos")
    names = [f"{letter}/{number}.jpg.out" for letter in "abc\u72ac" for number in range(10)]
    for name in (*names, "a/manifest", "b.out"):
        s3.put_object(Bucket="photos", Key=f"out/job/{name}", Body=b"")
    s3.put_object(Bucket="photos", Key="out/job2/x.out", Body=b"")
    return S3Uri("photos", "out/job/")


@pytest.mark.parametrize("cuts", [[], ["a/5.jpg"], ["a/5.jpg", "b.out", "b/", "c/9"], ["zz"]])
def test_answers_are_counted_once_wherever_the_listing_is_cut(answers, cuts):
    assert AnswerCount(S3(), answers, cuts).count() == 41


def test_what_was_counted_a_moment_ago_is_not_listed_again(answers, aws_here):
    count = AnswerCount(S3(), answers, [])
    assert count.look() == 41
    aws_here.forget()
    assert count.look() == 41
    assert aws_here.calls("ListObjectsV2") == []


@pytest.mark.parametrize("base", ["", "b/", "a/b/"])
def test_answers_are_found_with_whatever_folders_before_their_names(aws_here, base):
    s3 = aws_here.client("s3")
    s3.create_bucket(Bucket="photos")
    for name in ("c/d.jpg", "x.jpg", "b/x.jpg"):  # the last two look like each other's answers
        s3.put_object(Bucket="photos", Key=f"a/b/{name}", Body=b"")
        s3.put_object(Bucket="photos", Key=f"out/job/{base}{name}.out", Body=b"")
    out, given = S3Uri("photos", "out/job/"), S3Uri("photos", "a/b/")
    assert base_of(S3(), out, given) == base
    assert base_of(S3(), S3Uri("photos", "out/empty/"), given) == ""
