"""RecordIO in: what batch transform sends with SplitType RecordIO."""

import json
import struct

import pytest
from serving import colour_client, picture

MAGIC = struct.pack("<I", 0xCED7230A)


def frame(data, part=0):
    """One frame, as MXNet's documentation draws it."""
    return MAGIC + struct.pack("<I", part << 29 | len(data)) + data + b"\0" * (-len(data) % 4)


def packed(data, *labels):
    """What MXNet's im2rec puts before a picture."""
    more = struct.pack(f"<{len(labels)}f", *labels) if len(labels) > 1 else b""
    one = labels[0] if len(labels) == 1 else 0.0
    return struct.pack("<IfQQ", len(labels) if more else 0, one, 7, 0) + more + data


def ask(body):
    reply = colour_client().post(
        "/invocations",
        data=body,
        content_type="application/x-recordio",
        headers={"Accept": "application/jsonlines"},
    )
    if reply.status_code != 200:
        return reply.status_code, reply.json["message"]
    return [json.loads(line)["label"] for line in reply.data.splitlines()]


RED, GREEN, BLUE = picture("red"), picture("green", "JPEG"), picture("blue", "BMP")


def test_frames_are_answered_in_order():
    assert ask(frame(RED) + frame(GREEN) + frame(BLUE)) == ["red", "green", "blue"]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_a_record_whose_frame_was_taken_off_is_a_picture(form):
    assert ask(picture("green", form)) == ["green"]
    assert ask(packed(picture("green", form), 3.0)) == ["green"]


def test_the_labels_of_im2rec_are_not_taken_for_the_picture():
    assert ask(frame(packed(RED, 1.0)) + frame(packed(BLUE, 1.0, 2.0, 3.0))) == ["red", "blue"]


def test_a_picture_that_holds_the_magic_number_comes_in_parts():
    """The writer cuts a record where the magic stands, and leaves the magic out."""
    whole = GREEN + MAGIC + b"between" + MAGIC + b"end"  # bytes behind a JPEG's end do no harm
    parts = whole.split(MAGIC)
    body = b"".join(frame(data, part) for part, data in zip((1, 2, 3), parts, strict=True))
    assert ask(frame(RED) + body + frame(BLUE)) == ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (frame(RED) + frame(BLUE)[:-9], "record 2 is not RecordIO: its length is"),
        (frame(RED) + b"\x0a\x23", "record 2 is not RecordIO: 2 bytes are left"),
        (frame(RED) + b"RIFF" * 9, "record 2 is not RecordIO: expected the magic number"),
        (frame(RED, 2), "record 1 is not RecordIO: its parts are out of order"),
        (frame(RED, 1) + frame(BLUE), "record 1 is not RecordIO: its parts are out of order"),
        (frame(RED) + frame(BLUE, 1), "record 2 is not RecordIO: its last part is missing"),
        (frame(RED, 4), "part 4"),
        (frame(RED) + frame(b"junk"), "picture 2 of 2: "),
        (frame(b""), "expected a picture"),
    ],
)
def test_a_bad_record_refuses_the_request_and_is_named_by_its_number(body, words):
    status, message = ask(body)
    assert status == 400
    assert words in message


def test_too_many_records_are_refused():
    status, message = ask(frame(b"") * 1000)
    assert status == 413
    assert "64 records" in message
