"""JSON lines in: what batch transform sends with SplitType Line."""

import base64
import json

import pytest
from serving import client_for, colour_bundle, colour_client, picture

TYPES = ("application/jsonlines", "application/x-jsonlines", "application/x-ndjson")


def record(colour):
    """One line's value."""
    return json.dumps({"image": base64.b64encode(picture(colour)).decode()}).encode()


RED, GREEN, BLUE = record("red"), record("green"), record("blue")


def send(body, kind=TYPES[0], client=None):
    return (client or colour_client()).post(
        "/invocations", data=body, content_type=kind, headers={"Accept": "application/jsonlines"}
    )


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
def test_each_line_gets_a_line_in_order(kind, end):
    reply = send(b"\n".join([RED, BLUE, GREEN, RED]) + end, kind)
    assert reply.status_code == 200
    assert reply.content_type == "application/jsonlines"
    labels = [json.loads(line)["label"] for line in reply.data.splitlines()]
    assert labels == ["red", "blue", "green", "red"]
    assert reply.data.endswith(b"}\n")


@pytest.mark.parametrize("key", ["b64", "instances", "inputs", None])
def test_a_record_is_what_a_json_body_may_be_for_one_picture(key):
    text = base64.b64encode(picture("blue")).decode()
    value = {"instances": [text]} if key == "instances" else {key: text} if key else text
    reply = send(RED + b"\r\n" + json.dumps(value).encode())
    assert [json.loads(line)["label"] for line in reply.data.splitlines()] == ["red", "blue"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"\n".join([RED, b"{", BLUE]), 400, "record 2 of 3: the body is not JSON"),
        (b"\n".join([RED, BLUE, b'{"image": "@"}']), 400, "record 3 of 3: not base64"),
        (b"\n".join([RED, b" ", BLUE]), 400, "record 2 of 3: the line is blank"),
        (b"\n".join([RED, b'{"id": 7}']), 422, "record 2 of 2: expected exactly one of the keys"),
        (b"\n".join([b"[%s, %s]" % (RED, RED), BLUE]), 422, "record 1 of 2: 2 pictures in one"),
        (b"\n".join([RED, b'{"image": "AAAA"}', BLUE]), 400, "picture 2 of 3: "),
        (b"{", 400, "the body is not JSON"),
        (b"\n \r\n", 400, "no record"),
        (b"7\n" * 1_000_000, 413, "1,000,000 records; the limit is 64"),
        (RED + b"\n" + b"[" * 100 + b"]" * 100, 413, "record 2 of 2: "),
    ],
)
def test_a_bad_record_refuses_the_request_and_is_named_by_its_number(body, status, words):
    reply = send(body)
    assert reply.status_code == status
    assert words in reply.json["message"]


def test_the_limit_on_pictures_holds_for_records():
    client = client_for(colour_bundle(), max_pictures=2)
    assert send(b"\n".join([RED, RED]), client=client).status_code == 200
    assert "limit is 2" in send(b"\n".join([RED, RED, RED]), client=client).json["message"]
