"""For schemathesis: what bodies of our media types look like. Loaded by SCHEMATHESIS_HOOKS."""

import io
import struct

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image


def _picture(form):
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (230, 30, 20)).save(data, form)
    return data.getvalue()


def _array():
    data = io.BytesIO()
    np.save(data, np.zeros((4, 4, 3), np.uint8))
    return data.getvalue()


def _register():
    pictures = [_picture(form) for form in ("JPEG", "PNG", "WEBP")]
    cut = st.sampled_from(pictures).flatmap(
        lambda data: st.integers(0, len(data)).map(lambda end: data[:end])
    )
    any_bytes = st.sampled_from(pictures) | cut | st.binary(max_size=100)
    for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream"):
        schemathesis.openapi.media_type(kind, any_bytes)
    schemathesis.openapi.media_type(
        "application/x-npy", st.just(_array()) | st.binary(max_size=200)
    )
    frame = struct.pack("<II", 0xCED7230A, len(pictures[0]))
    frame += pictures[0] + bytes(-len(pictures[0]) % 4)
    schemathesis.openapi.media_type(
        "application/x-recordio", st.just(frame) | st.binary(max_size=100)
    )
    lines = st.lists(st.sampled_from([b'"AAAA"', b"{}", b"", b'{"b64": ""}']), max_size=4)
    for kind in ("application/jsonlines", "application/x-jsonlines", "application/x-ndjson"):
        schemathesis.openapi.media_type(kind, lines.map(b"\n".join))


_register()
