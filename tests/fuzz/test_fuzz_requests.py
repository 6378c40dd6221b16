"""Whatever the request: an answer, or a 4xx in our words. Never a 5xx."""

import base64
import io
import json
import math
import struct

import numpy as np
from fuzz_budget import budget, tried
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import changed
from serving import colour_client, picture

PICTURE = picture("red", size=(8, 8))
B64 = base64.b64encode(PICTURE).decode()
KEYS = ("instances", "images", "inputs", "image", "b64", "data", "bytes", "image_bytes", "url")
TYPES = (
    "application/json", "application/x-npy", "application/jsonlines", "application/x-recordio",
    "multipart/form-data; boundary=x", "image/png", "text/csv", "application/octet-stream", "",
)  # fmt: skip
MAGIC = struct.pack("<I", 0xCED7230A)

texts = st.text(max_size=20) | st.sampled_from(
    [B64, B64[:-3], f"data:image/png;base64,{B64}", "http://169.254.169.254/", "", "QUJD"]
)
leaves = texts | st.none() | st.booleans() | st.integers() | st.floats()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)
jsons = values.map(lambda value: json.dumps(value).encode())
lines = st.lists(jsons | st.binary(max_size=10), max_size=6).flatmap(
    lambda items: st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\r"]).map(lambda end: end.join(items))
)


@st.composite
def arrays(draw):
    """An .npy file whose header may have nothing to do with its data."""
    sides = st.integers(-1, 9) | st.sampled_from([2**31, 2**63, 2**64])
    shape = tuple(draw(st.lists(sides, max_size=5))) or draw(st.sampled_from([(4, 4, 3), ()]))
    kind = draw(st.sampled_from(["|u1", "<f4", "|O", "|V0", "<U9", "|b1", ">i8", "M8", "", "x"]))
    header = {"descr": kind, "fortran_order": draw(st.booleans()), "shape": shape}
    text = draw(st.sampled_from([repr(header), repr(header) + "\n", str(shape)])).encode()
    version = draw(st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\0\0"]))
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(text))
    size = math.prod(max(side, 0) for side in shape)
    data = bytes(size) if size < 2000 and draw(st.booleans()) else draw(st.binary(max_size=50))
    return b"\x93NUMPY" + version + length + text + data


@st.composite
def forms(draw):
    """Parts with any headers between boundaries that may be missing."""
    body = b""
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.text(max_size=8))
        disposition = draw(
            st.sampled_from(
                [
                    f'form-data; name="{name}"; filename="a"',
                    f'form-data; name="{name}"',
                    f"form-data; filename*=UTF-8''{name}",
                    f"attachment; {name}",
                    "",
                ]
            )
        )
        head = f"Content-Disposition: {disposition}".encode("utf-8", "replace")
        extra = draw(st.sampled_from([b"", b"\r\nContent-Type: a/b", b"\r\nX: \xff", b"\r\n:"]))
        content = draw(st.sampled_from([PICTURE, b""]) | st.binary(max_size=30))
        body += b"--x\r\n" + head + extra + b"\r\n\r\n" + content + b"\r\n"
    return body + draw(st.sampled_from([b"--x--\r\n", b"--x--", b"--x", b""]))


@st.composite
def records(draw):
    """MXNet's frames, with any part numbers and lengths."""
    body = b""
    for _ in range(draw(st.integers(0, 4))):
        data = draw(st.sampled_from([PICTURE, MAGIC, b""]) | st.binary(max_size=40))
        length = draw(st.just(len(data)) | st.integers(0, 2**29 - 1))
        part = draw(st.integers(0, 7))
        body += MAGIC + struct.pack("<I", part << 29 | length) + data + bytes(-len(data) % 4)
    return body


def npy():
    data = io.BytesIO()
    np.save(data, np.zeros((4, 4, 3), np.uint8))
    return data.getvalue()


def right():
    """One right body of every type."""
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n' + PICTURE
    whole = json.dumps({"instances": [B64, {"b64": B64}]}).encode()
    frame = MAGIC + struct.pack("<I", len(PICTURE)) + PICTURE + bytes(-len(PICTURE) % 4)
    return [whole, npy(), json.dumps(B64).encode() * 2, frame, form + b"\r\n--x--\r\n", PICTURE]


def ask(body, content_type, accept="application/json"):
    """Fails for anything but an answer or a refusal in our form."""
    tried["requests of the fuzzer"] += 1
    reply = colour_client().post(
        "/invocations", data=body, content_type=content_type, headers={"Accept": accept}
    )
    assert reply.status_code == 200 or 400 <= reply.status_code < 500, reply.data
    if reply.status_code != 200:
        assert set(reply.get_json()) == {"error", "message"}
        assert "\n" not in reply.get_json()["message"]
    elif accept == "application/json":
        for item in reply.get_json()["predictions"]:
            assert math.isclose(sum(entry["probability"] for entry in item["top"]), 1, abs_tol=1e-3)


@budget(200)
@given(jsons)
@example(b"[" * 15 + b"]" * 15)
def test_any_json_value_is_answered_or_refused(body):
    ask(body, "application/json")


@budget(200)
@given(lines)
def test_any_lines_are_answered_or_refused(body):
    ask(body, "application/jsonlines")


@budget(300)
@given(arrays())
def test_any_array_file_is_answered_or_refused(body):
    ask(body, "application/x-npy")


@budget(300)
@given(forms())
def test_any_form_is_answered_or_refused(body):
    ask(body, "multipart/form-data; boundary=x")


@budget(200)
@given(records())
def test_any_records_are_answered_or_refused(body):
    ask(body, "application/x-recordio")


@budget(400)
@given(changed(right()), st.sampled_from(TYPES))
def test_altered_bodies_of_any_type_are_answered_or_refused(body, content_type):
    ask(body, content_type)


# What may stand in a header: gunicorn refuses other bytes before they come to us.
header_texts = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")
)
pieces = st.sampled_from(
    ["application/json", "text/csv", "*/*", ";verbose", ";q=", "0", "1.5", "nan", ",", ";", "=",
     '"', "multipart/form-data", "; boundary=", "charset*=", "'", "image/png", "/"]
)  # fmt: skip
headers = header_texts | st.lists(pieces, max_size=8).map("".join)


@budget(300)
@given(headers, headers)
def test_any_headers_are_understood_or_refused(content_type, accept):
    ask(PICTURE, content_type, accept)
