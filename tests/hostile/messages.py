"""Hostile and unusual requests, by file name. What a name says: tests/hostile/README.md."""

import base64
import gzip
import io
import json
import pickle
import zipfile

import numpy as np
from encoders import RED, encode, npy, npy_header, png, red

PICTURE = encode(red(16, 16), "PNG")
B64 = base64.b64encode(PICTURE).decode()
HEADER = "{'descr': '|u1', 'fortran_order': False, 'shape': %s, }"


class Harmful:
    """Would make a file if anybody unpickled it."""

    def __reduce__(self):
        return (open, ("kennel-was-unpickled", "w"))


def message(content_type, body, *headers):
    """A .http file: header lines, an empty line, the body."""
    lines = [f"Content-Type: {content_type}"] if content_type is not None else []
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


def form(*parts, end=b"--x--\r\n"):
    """A body with the boundary x."""
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + end


def part(body, disposition='form-data; name="file"; filename="a.png"', *headers):
    lines = [f"Content-Disposition: {disposition}", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8") + body


def pixels(shape=(12, 16, 3)):
    return np.broadcast_to(np.array(RED, np.uint8), shape)


def accepted():
    two = np.stack([pixels(), pixels()])
    return {
        "red-array.npy": npy(pixels()),
        "red-two-arrays.npy": npy(two),
        "red-fortran-order.npy": npy(np.asfortranarray(two)),
        "red-version-2.npy": npy_header(HEADER % "(1, 1, 3)", (2, 0), bytes(RED)),
        "red-picture.json": json.dumps({"image": B64}).encode(),
        "red-data-url.json": json.dumps([f"data:image/png;base64,{B64}"]).encode(),
        "red-data-url-with-parameters.json": json.dumps(
            {"b64": f"data:text/html;charset=utf-8;base64,{B64}"}
        ).encode(),
        "red-url-safe-in-lines.json": json.dumps(
            "\n".join(base64.urlsafe_b64encode(PICTURE).decode().rstrip("=")[i : i + 20]
                      for i in range(0, len(B64), 20))
        ).encode(),
        "red-byte-order-mark.json": b"\xef\xbb\xbf" + json.dumps([B64]).encode(),
        "red-escaped-letters.json": ('{"image": "' + "".join(f"\\u{ord(c):04x}" for c in B64) + '"}'
        ).encode(),
        "red-same-key-twice.json": b'{"image": "AAAA", "image": "' + B64.encode() + b'"}',
        "red-64-pictures.json": json.dumps([B64] * 64).encode(),
        "red-form.form": form(part(PICTURE)),
        "red-form-of-64-files.form": form(*[part(PICTURE)] * 64),
        "red-form-with-a-preamble.form": b"hello\r\n" + form(part(PICTURE)),
        "red-form-with-an-epilogue.form": form(part(PICTURE)) + b"bye" * 100,
        "red-form-file-named-as-a-path.form": form(
            part(PICTURE, 'form-data; name="f"; filename="../../../etc/passwd"')
        ),
        "red-form-with-a-long-name.form": form(
            part(PICTURE, f'form-data; name="{"n" * 4000}"; filename="a"')
        ),
        "red-no-content-type.http": message(None, PICTURE, "X-A: 1"),
        "red-content-type-of-a-form-field.http": message(
            "application/x-www-form-urlencoded", PICTURE
        ),
        "red-wrong-content-encoding.http": message(
            "image/png", PICTURE, "Content-Encoding: gzip"
        ),
        "red-upper-case.http": message("IMAGE/PNG; q=1", PICTURE),
        "red-parameters-without-end.http": message("image/png" + ";a=b" * 500, PICTURE),
        "red-odd-request-id.http": message(
            "image/png", PICTURE, 'X-Request-Id: "}\t{"level": "critical' + "\xe9" * 300
        ),
    }  # fmt: skip


def refused():
    return _arrays() | _json() | _forms() | _messages()


def _arrays():
    bad, odd = "400-BadRequest", "422-UnprocessableEntity"
    harmful = np.array([Harmful()], dtype=object)
    archive = io.BytesIO()
    np.savez_compressed(archive, a=np.zeros((8, 8, 3), np.uint8))
    floats = np.full((8, 8, 3), np.nan, np.float32)
    floats[0, 0] = np.inf, -np.inf, 0
    return {
        f"{odd}-nan-and-inf.npy": npy(floats),
        f"{odd}-doubles.npy": npy(np.zeros((8, 8, 3))),
        f"{odd}-sixteen-bits.npy": npy(np.zeros((8, 8, 3), np.uint16)),
        f"{odd}-signed.npy": npy(np.zeros((8, 8, 3), np.int8)),
        f"{odd}-booleans.npy": npy(np.zeros((8, 8, 3), bool)),
        f"{odd}-complex.npy": npy(np.zeros((8, 8, 3), complex)),
        f"{odd}-strings.npy": npy(np.array([["a"] * 3] * 3)),
        f"{odd}-dates.npy": npy(np.zeros((8, 8, 3), "M8[s]")),
        f"{odd}-records.npy": npy(np.zeros((8, 8), [("r", "u1"), ("g", "u1"), ("b", "u1")])),
        f"{odd}-number.npy": npy(np.uint8(3)),
        f"{odd}-rank-1.npy": npy(np.zeros(3, np.uint8)),
        f"{odd}-rank-2.npy": npy(np.zeros((8, 8), np.uint8)),
        f"{odd}-rank-5.npy": npy(np.zeros((1, 1, 8, 8, 3), np.uint8)),
        f"{odd}-four-channels.npy": npy(np.zeros((8, 8, 4), np.uint8)),
        f"{odd}-channels-first.npy": npy(np.zeros((3, 8, 8), np.uint8)),
        f"{odd}-empty.npy": npy(np.zeros((0, 8, 8, 3), np.uint8)),
        f"{odd}-no-height.npy": npy(np.zeros((0, 8, 3), np.uint8)),
        f"{odd}-objects-pickled.npy": npy(harmful, allow_pickle=True),
        f"{bad}-bare-pickle.npy": pickle.dumps(Harmful(), protocol=4),
        f"{bad}-archive-of-arrays.npy": archive.getvalue(),
        f"{bad}-terabytes.npy": npy_header(HEADER % "(99999999, 99999, 3)"),
        f"{bad}-more-than-any-machine.npy": npy_header(HEADER % f"({10**30}, {10**30}, 3)"),
        f"{odd}-negative-sides.npy": npy_header(HEADER % "(-1, -1, 3)", data=b"\0" * 3),
        f"{odd}-sides-that-are-true.npy": npy_header(HEADER % "(True, False, 3)"),
        f"{bad}-cut-short.npy": npy(pixels())[:-1],
        f"{bad}-too-long.npy": npy(pixels()) + b"\0",
        f"{bad}-header-cut.npy": npy(pixels())[:40],
        f"{bad}-header-that-calls.npy": npy_header("__import__('os').system('id')"),
        f"{bad}-header-nested-deep.npy": npy_header("(" * 9000, (2, 0)),
        f"{bad}-header-of-20000-bytes.npy": npy_header(" " * 20_000 + HEADER % "()", (2, 0)),
        f"{bad}-header-of-other-keys.npy": npy_header("{'a': 1}"),
        f"{bad}-version-9.npy": b"\x93NUMPY\x09\x00" + npy(pixels())[8:],
        "413-RequestEntityTooLarge-65-pictures.npy": npy(pixels((65, 2, 2, 3))),
        f"{bad}-text.npy": b"1,2,3\n",
    }  # fmt: skip


def _json():
    bad, odd, big = "400-BadRequest", "422-UnprocessableEntity", "413-RequestEntityTooLarge"
    picture = {
        f"{bad}-not-base64.json": b'{"image": "@@@@"}',
        f"{bad}-one-letter-of-base64.json": b'{"image": "A"}',
        f"{bad}-null-byte-in-base64.json": b'{"image": "AA\\u0000A"}',
        f"{bad}-letters-beyond-ascii.json": '{"image": "\u00e9\u4e2d"}'.encode(),
        f"{bad}-half-a-surrogate.json": b'{"image": "\\ud800"}',
        f"{bad}-empty-text.json": b'{"image": ""}',
        f"{bad}-second-of-two-is-bad.json": json.dumps([B64, "@"]).encode(),
        f"{bad}-data-url-in-plain.json": b'["data:image/svg+xml,<svg/>"]',
        f"{bad}-data-url-of-nothing.json": b'["data:;base64,"]',
        "400-ImageError-base64-of-text.json": b'{"image": "aGVsbG8="}',
        "400-ImageError-base64-twice.json": json.dumps(
            [base64.b64encode(B64.encode()).decode()]
        ).encode(),
        f"{odd}-address.json": b'["http://169.254.169.254/latest/meta-data/"]',
        f"{odd}-url-that-is-switched-off.json": b'{"url": "http://169.254.169.254/"}',
        f"{odd}-url-of-a-file.json": b'{"url": "file:///etc/passwd"}',
        f"{odd}-url-that-is-a-number.json": b'{"url": 1}',
        f"{odd}-two-keys.json": json.dumps({"image": B64, "url": "http://x/"}).encode(),
        f"{odd}-unknown-key.json": json.dumps({"__proto__": B64}).encode(),
        f"{odd}-too-many-wrappings.json": json.dumps(
            {"image": {"b64": {"data": B64}}}
        ).encode(),
    }  # fmt: skip
    shapes = {
        f"{odd}-{name}.json": text
        for name, text in {
            "null": b"null", "true": b"true", "number": b"1", "empty-list": b"[]",
            "empty-object": b"{}", "pixels": b"[[[255, 0, 0]]]", "no-number": b"NaN",
            "infinity": b'{"image": Infinity}', "infinite-number": b'{"image": 1e999999}',
            "minus-zero": b"-0", "empty-instances": b'{"instances": []}',
        }.items()
    }  # fmt: skip
    malformed = {
        f"{bad}-{name}.json": text
        for name, text in {
            "half-an-object": b'{"image": "', "comma-at-the-end": b'["AAAA",]',
            "single-quotes": b"{'image': 'AAAA'}", "two-values": b"{} {}", "only-space": b"   ",
            "number-of-5000-digits": b"9" * 5000, "not-utf-8": b'{"image": "\xff\xfe"}',
            "utf-16": '{"image": "AAAA"}'.encode("utf-16"), "control": b'["a\nb\x00"]',
            "text": b"hello", "picture": PICTURE, "page": b"<html></html>",
        }.items()
    }  # fmt: skip
    large = {
        f"{big}-10000-deep.json": b"[" * 10_000 + b"]" * 10_000,
        f"{big}-10000-open.json": b'{"a":' * 10_000,
        f"{big}-17-deep.json": b"[" * 17 + b"]" * 17,
        f"{big}-100000-numbers.json": b"[" + b"0," * 100_100 + b"0]",
        f"{big}-65-pictures.json": json.dumps([B64] * 65).encode(),
        f"{bad}-quotes-and-backslashes.json": b'"' + b'\\"' * 20_000,
    }
    return picture | shapes | malformed | large


def _forms():
    bad, odd, big = "400-BadRequest", "422-UnprocessableEntity", "413-RequestEntityTooLarge"
    kind = "multipart/form-data"
    nested = message(f"{kind}; boundary=y", b"").strip().decode()
    text = 'form-data; name="file"'
    return {
        f"{bad}-no-boundary.http": message(kind, form(part(PICTURE))),
        f"{bad}-empty-boundary.http": message(f"{kind}; boundary=", form(part(PICTURE))),
        f"{bad}-other-boundary.http": message(f"{kind}; boundary=y", form(part(PICTURE))),
        f"{bad}-boundary-of-1000-letters.http": message(
            f"{kind}; boundary={'x' * 1000}", form(part(PICTURE))
        ),
        f"{bad}-no-end.form": form(part(PICTURE), end=b""),
        f"{bad}-half-a-header.form": b"--x\r\nContent-Dispo",
        f"{odd}-no-parts.form": b"--x--\r\n",
        f"{bad}-part-without-disposition.form": form(b"Content-Type: image/png\r\n\r\n" + PICTURE),
        f"{odd}-text-field.form": form(part(b"dog.jpg", text)),
        f"{odd}-text-beside-a-file.form": form(part(PICTURE), part(b"x", text)),
        f"{big}-1000-parts.form": form(*[part(b"", text)] * 1000),
        f"{big}-65-files.form": form(*[part(PICTURE)] * 65),
        "400-ImageError-empty-file.form": form(part(b"")),
        "400-ImageError-file-of-text.form": form(part(b"hello")),
        "400-ImageError-nested.form": form(
            part(b"--y\r\n\r\n--y--", 'form-data; name="f"; filename="a"', nested)
        ),
        f"{bad}-endless-part-header.form": b"--x\r\nX-A: " + b"a" * 20_000,
    }


def _messages():
    kind, bad = "415-UnsupportedMediaType", "400-BadRequest"
    packed = gzip.compress(bytes(20 << 20), 9, mtime=0)
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.png"), PICTURE)
    return {
        f"{bad}-no-body.http": message("image/png", b""),
        f"{bad}-no-body.json": b"",
        f"{bad}-no-body.npy": b"",
        f"{kind}-text.http": message("text/plain", PICTURE),
        f"{kind}-csv.http": message("text/csv", b"1,2,3"),
        f"{kind}-video.http": message("video/mp4", PICTURE),
        f"{kind}-pickle.http": message("application/python-pickle", b"N."),
        f"{kind}-archive-of-arrays.http": message("application/x-npz", b"PK"),
        f"{kind}-yaml.http": message("application/yaml", b"!!python/object/apply:os.system ['id']"),
        f"{kind}-no-type.http": message("picture", PICTURE),
        f"{kind}-letters-beyond-ascii.http": message("\xe9\xff/\xe8", PICTURE),
        f"{kind}-very-long.http": message("x" * 4000, PICTURE),
        "406-NotAcceptable-accept.http": message("image/png", PICTURE, "Accept: image/png"),
        "406-NotAcceptable-quality-zero.http": message(
            "image/png", PICTURE, "Accept: application/json;q=0, text/csv;q=0"
        ),
        "406-NotAcceptable-nonsense.http": message("image/png", PICTURE, "Accept: ;;;,,q=\xff"),
        "406-NotAcceptable-thousand-ranges.http": message(
            "image/png", PICTURE, "Accept: " + "a/b," * 1900
        ),
        "400-ImageError-packed.http": message(
            "image/png", gzip.compress(PICTURE, mtime=0), "Content-Encoding: gzip"
        ),
        "400-ImageError-packed-bomb.http": message("image/png", packed, "Content-Encoding: gzip"),
        f"{bad}-packed-json.http": message(
            "application/json", gzip.compress(b"{}", mtime=0), "Content-Encoding: gzip"
        ),
        "400-ImageError-zip-of-a-picture.http": message("image/png", bundle.getvalue()),
        "400-ImageError-picture-behind-a-line-break.http": message("image/png", b"\r\n" + PICTURE),
        "400-ImageError-picture-in-hex.http": message("image/png", png().hex().encode()),
    }
