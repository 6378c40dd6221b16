import base64
import io

import numpy as np
import pytest
from PIL import Image
from serving import client_for, colour_bundle, colour_client, expected_probabilities, picture

from classifier.preprocess import decode_picture
from contract.manifest import Preprocess

PREPROCESS = Preprocess(resize_px=40, crop_px=32)


def ask(body, content_type=None, accept="application/json", client=None):
    reply = (client or colour_client()).post(
        "/invocations", data=body, content_type=content_type, headers={"Accept": accept}
    )
    return reply.status_code, reply.get_json()


def labels_of(body, content_type=None):
    status, answer = ask(body, content_type)
    assert status == 200, answer
    return [item["label"] for item in answer["predictions"]]


def b64(data):
    return base64.b64encode(data).decode()


def npy(array):
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("kind", [None, "application/octet-stream", "image/png", "image/whatever"])
def test_bytes_are_decoded_by_content_whatever_they_are_called(form, kind):
    assert labels_of(picture("green", form), kind) == ["green"]


def test_the_server_computes_what_numpy_computes_from_the_same_pixels():
    noise = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG")
    reply = colour_client().post(
        "/invocations", data=data.getvalue(), headers={"Accept": "application/x-npy"}
    )
    (row,) = np.load(io.BytesIO(reply.data), allow_pickle=False)
    expected = expected_probabilities(decode_picture(data.getvalue(), PREPROCESS))
    np.testing.assert_allclose(row, expected, atol=1e-5)


RED, BLUE = b64(picture("red")), b64(picture("blue"))


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [RED, BLUE]},
        {"instances": [{"b64": RED}, {"data": BLUE}]},
        {"instances": [{"image": {"b64": RED}}, {"image_bytes": {"b64": BLUE}}]},
        {"images": [RED, BLUE]},
        {"inputs": [RED, f"data:image/png;base64,{BLUE}"]},
        [RED, {"b64": BLUE}],
    ],
)
def test_json_with_several_pictures(body):
    reply = colour_client().post("/invocations", json=body)
    assert [item["label"] for item in reply.get_json()["predictions"]] == ["red", "blue"]


@pytest.mark.parametrize("body", [RED, {"image": RED}, {"b64": RED}, {"inputs": RED}, [RED]])
def test_json_with_one_picture(body):
    reply = colour_client().post("/invocations", json=body)
    assert [item["label"] for item in reply.get_json()["predictions"]] == ["red"]


def test_base64_may_be_wrapped_url_safe_or_unpadded():
    data = picture("red")
    wrapped = base64.encodebytes(data).decode()
    url_safe = base64.urlsafe_b64encode(data).decode().rstrip("=")
    reply = colour_client().post("/invocations", json=[wrapped, url_safe])
    assert reply.status_code == 200


def test_json_may_name_its_charset_and_start_with_a_byte_order_mark():
    body = b'\xef\xbb\xbf{"image": "' + RED.encode() + b'"}'
    assert labels_of(body, "application/json; charset=utf-8") == ["red"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b'{"image": "@@@"}', 400, "not base64"),
        (b'{"image": ""}', 400, "empty"),
        (b'["AAAA", "@"]', 400, "picture 2 of 2: not base64"),
        (b'{"image": "AAAA"}', 400, "expected a picture"),
        (b"{}", 422, "exactly one of the keys"),
        (b"[]", 422, "no picture"),
        (b'{"instances": []}', 422, "no picture"),
        (b'{"pixels": "AAAA"}', 422, "'pixels'"),
        (b'{"image": 7}', 422, "got a number"),
        (b'{"image": null}', 422, "got null"),
        (b"[[[1, 2, 3]]]", 422, "got a list"),
        (b'{"image": "https://x.org/a.png"}', 422, "is an address"),
        (b'{"url": "https://x.org/a.png"}', 422, "KENNEL_URL_HOSTS"),
        (b"[" * 100 + b"]" * 100, 413, "nested deeper than 16"),
        (b"[" + b"0," * 200_000 + b"0]", 413, "100,000 values"),
    ],
)
def test_wrong_json_is_refused_with_the_reason(body, status, words):
    got, answer = ask(body, "application/json")
    assert got == status
    assert words in answer["message"]
    assert set(answer) == {"error", "message"}


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 500_000, b'"' * 99_999, b'["' + b"a" * 999_999])
def test_json_made_to_be_slow_is_refused_at_once(body):
    """Quadratic scanning would take hours here, not the moment that the test is given."""
    assert ask(body, "application/json")[0] in (400, 413)


def test_several_files_of_a_form_are_answered_in_order():
    form = {"b": (io.BytesIO(picture("blue")), "b.png"), "a": (io.BytesIO(picture("red")), "a.png")}
    reply = colour_client().post("/invocations", data=form)
    assert [item["label"] for item in reply.get_json()["predictions"]] == ["blue", "red"]


def test_a_form_with_text_instead_of_a_file_says_how_curl_sends_one():
    reply = colour_client().post("/invocations", data={"file": "dog.jpg"}, content_type=None)
    form = colour_client().post(
        "/invocations", data={"file": "dog.jpg"}, content_type="multipart/form-data"
    )
    assert reply.status_code == 400  # url-encoded bytes are no picture
    assert form.status_code == 422
    assert "curl -F file=@" in form.get_json()["message"]


def test_a_form_without_boundary_or_cut_short_is_refused():
    assert ask(b"--x", "multipart/form-data")[0] == 400
    assert ask(b"--x\r\nContent-Disp", "multipart/form-data; boundary=x")[0] == 400


def test_arrays_are_pictures_of_any_size():
    red = np.zeros((50, 70, 3), dtype=np.uint8)
    red[..., 0] = 200
    both = np.stack([red, red[..., ::-1]])
    assert labels_of(npy(red), "application/x-npy") == ["red"]
    assert labels_of(npy(both), "application/x-npy") == ["red", "blue"]
    assert labels_of(npy(np.asfortranarray(both)), "application/x-npy") == ["red", "blue"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (npy(np.zeros((8, 8, 3), dtype=np.float32)), 422, "float32"),
        (npy(np.zeros((8, 8), dtype=np.uint8)), 422, "(8, 8)"),
        (npy(np.zeros((8, 8, 4), dtype=np.uint8)), 422, "(8, 8, 4)"),
        (npy(np.zeros((0, 8, 8, 3), dtype=np.uint8)), 422, "(0, 8, 8, 3)"),
        (npy(np.zeros((8, 8, 3), dtype=np.uint8))[:-5], 400, "cut short"),
        (npy(np.zeros((8, 8, 3), dtype=np.uint8)) + b"x", 400, "too long"),
        (b"\x93NUMPY\x01\x00", 400, "no .npy file"),
        (b"junk", 400, "no .npy file"),
        (npy(np.array([{}], dtype=object)), 422, "object"),
    ],
)
def test_wrong_arrays_are_refused_with_the_reason(body, status, words):
    got, answer = ask(body, "application/x-npy")
    assert got == status
    assert words in answer["message"]


def test_an_array_that_claims_terabytes_is_refused_unallocated():
    honest = npy(np.zeros((8, 8, 3), dtype=np.uint8))
    liar = honest.replace(b"(8, 8, 3), }", b"(9999999, 9999, 3), }")[: len(honest)]
    assert ask(liar, "application/x-npy")[0] == 400


@pytest.mark.parametrize("kind", ["text/plain", "text/csv", "application/pdf", "video/mp4", "x"])
def test_other_content_types_are_415_and_name_ours(kind):
    status, answer = ask(picture(), kind)
    assert status == 415
    assert "image/*" in answer["message"]


@pytest.mark.parametrize("cut", [0, 1, 8, 20, 70])
def test_a_damaged_picture_is_400(cut):
    status, answer = ask(picture()[:cut], "image/png")
    assert status == 400
    assert answer["message"]


def test_a_damaged_picture_among_good_ones_is_named():
    reply = colour_client().post("/invocations", json=[RED, b64(b"junk"), BLUE])
    assert reply.status_code == 400
    assert reply.get_json()["error"] == "ImageError"
    assert reply.get_json()["message"].startswith("picture 2 of 3: ")


def test_limits_name_the_limit_and_the_size():
    client = client_for(colour_bundle(), max_pixels=1000, max_pictures=2, max_payload_mib=1)
    pixels = ask(picture(size=(64, 48)), "image/png", client=client)
    array = ask(npy(np.zeros((64, 48, 3), dtype=np.uint8)), "application/x-npy", client=client)
    count = client.post("/invocations", json=[RED, RED, RED])
    size = ask(b"x" * 1_048_577, "image/png", client=client)
    assert [pixels[0], array[0], count.status_code, size[0]] == [413] * 4
    assert "3,072" in pixels[1]["message"]
    assert "1,000" in pixels[1]["message"]
    assert "3 pictures; the limit is 2" in count.get_json()["message"]
    assert "1,048,577 bytes; the limit is 1,048,576" in size[1]["message"]


def test_a_chunked_body_over_the_limit_is_413_too():
    client = client_for(colour_bundle(), max_payload_mib=1)
    reply = client.post(
        "/invocations",
        input_stream=io.BytesIO(b"x" * 3_000_000),
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert reply.status_code == 413
    assert "1,048,576" in reply.get_json()["message"]
