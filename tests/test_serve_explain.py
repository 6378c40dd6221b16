"""Answers with heat maps, over HTTP. The colour network's maps are the colour planes themselves."""

import base64
import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from multi_model import Multi
from PIL import Image
from serving import COLOURS, client_for, colour_bundle, colour_client, picture

from classifier.explain import EXPLAIN_NAME
from contract.errors import RequestError
from serve.explain import Explanation, accept_with, explanation_of
from serve.heat_map import draw_map, draw_overlay

PNG = "image/png;explain=gradcam"


@pytest.fixture(scope="module")
def halves():
    """A picture: red on the left, blue on the right, a little more red than blue."""
    image = Image.new("RGB", (32, 32), COLOURS["blue"])
    image.paste(COLOURS["red"], (0, 0, 18, 32))
    data = io.BytesIO()
    image.save(data, format="PNG")
    return data.getvalue()


def ask(client, body, accept=PNG, query="", path="/invocations", **options):
    return client.post(f"{path}{query}", data=body, headers={"Accept": accept}, **options)


def opened(reply):
    assert reply.status_code == 200, reply.data
    assert reply.content_type == "image/png"
    return np.asarray(Image.open(io.BytesIO(reply.data)))


def test_the_map_is_bright_where_the_label_is(halves):
    grey = opened(ask(colour_client(), halves, f"{PNG};style=map"))
    assert grey.shape == (32, 32)
    assert grey[:, 2:14].min() > 3 * grey[:, 22:30].max()
    other = opened(ask(colour_client(), halves, f"{PNG};style=map;label=blue"))
    assert other[:, 22:30].min() > 3 * other[:, 2:14].max()


def test_the_overlay_is_a_coloured_picture_of_what_the_network_saw(halves):
    overlay = opened(ask(colour_client(), halves))
    assert overlay.shape == (32, 32, 3)
    assert overlay[:, :14].mean() > overlay[:, 22:].mean()


def test_the_query_says_the_same_as_accept(halves):
    wanted = ask(colour_client(), halves, f"{PNG};label=green;style=map").data
    query = "?explain=gradcam&label=green&style=map"
    for accept in ("*/*", "image/png", "text/html,image/avif,*/*;q=0.8"):
        assert ask(colour_client(), halves, accept, query).data == wanted
    assert ask(colour_client(), halves, "application/json", query).is_json


def test_json_has_the_usual_answer_and_the_picture_in_base64(halves):
    reply = ask(colour_client(), halves, "application/json;explain=gradcam")
    (prediction,) = reply.get_json()["predictions"]
    explanation = prediction.pop("explanation")
    usual = colour_client().post("/invocations", data=halves).get_json()["predictions"]
    assert prediction == usual[0]
    assert (explanation["method"], explanation["label"]) == ("gradcam", "red")
    assert base64.b64decode(explanation["png"]) == ask(colour_client(), halves).data


def test_several_pictures_are_explained_in_json_and_not_in_one_png(halves):
    pixels = np.asarray(Image.open(io.BytesIO(halves)).convert("RGB"))
    data = io.BytesIO()
    np.save(data, np.stack([pixels, pixels[:, ::-1]]))
    options = {"content_type": "application/x-npy"}
    client = colour_client()
    several = ask(client, data.getvalue(), "application/json;explain=gradcam", **options)
    first, second = (item["explanation"]["png"] for item in several.get_json()["predictions"])
    assert first != second
    refused = ask(client, data.getvalue(), PNG, **options)
    assert refused.status_code == 422
    assert "2" in refused.get_json()["message"]


@pytest.mark.parametrize(
    ("accept", "status", "word"),
    [
        ("image/png;explain=lime", 422, "gradcam"),
        (f"{PNG};label=purple", 422, "purple"),
        (f"{PNG};style=3d", 422, "overlay | map"),
        ("text/csv;explain=gradcam", 406, "text/csv"),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(accept, status, word):
    reply = ask(colour_client(), picture(), accept)
    assert reply.status_code == status
    assert word in reply.get_json()["message"]


def test_a_damaged_picture_is_400_as_ever():
    assert ask(colour_client(), b"no picture").status_code == 400


def test_a_bundle_without_heat_maps_answers_422_with_the_reason(tmp_path):
    folder = shutil.copytree(colour_bundle(), tmp_path / "model")
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"] = {
        name: digest for name, digest in manifest["files"].items() if name != EXPLAIN_NAME
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    client = client_for(folder)
    reply = ask(client, picture())
    assert reply.status_code == 422
    assert "version of Kennel" in reply.get_json()["message"]
    assert client.post("/invocations", data=picture()).status_code == 200
    assert "explain" not in client.get("/ping").get_json()


def test_a_model_with_code_answers_422_because_nobody_can_look_into_it(tmp_path):
    folder = shutil.copytree(colour_bundle(), tmp_path / "model")
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text("def input_fn(data, kind): raise KeyError(kind)")
    reply = ask(client_for(folder), picture())
    assert reply.status_code == 422
    assert "code/" in reply.get_json()["message"]


def test_models_of_a_multi_model_server_explain_as_well(halves):
    server = Multi()
    assert server.load("colours", colour_bundle()).status_code == 200
    reply = ask(server.client, halves, path="/models/colours/invoke")
    assert reply.data == ask(colour_client(), halves).data


def test_many_may_ask_why_at_once(halves):
    app = colour_client().application
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: ask(app.test_client(), halves), range(24)))
    assert {reply.data for reply in replies} == {replies[0].data}
    assert replies[0].status_code == 200


def test_ping_says_that_answers_can_be_explained():
    assert colour_client().get("/ping").get_json()["explain"] == "gradcam"


@pytest.mark.parametrize(
    ("accept", "label"),
    [
        ("image/png;explain=gradcam", None),
        ("IMAGE/PNG; Explain=GradCAM", None),
        ('image/png;explain=gradcam;label="a, b;c"', "a, b;c"),
        ("image/png;explain=gradcam;label*=UTF-8''K%C3%A4fer", "K\u00e4fer"),
        ("text/html, image/png;explain=gradcam;label=red, */*;q=0.1", "red"),
        (accept_with(None, {"explain": "gradcam", "label": 'a"; b=\u00e4'}), 'a"; b=\u00e4'),
    ],
)
def test_accept_names_a_label_in_any_letters(accept, label):
    assert explanation_of(accept) == Explanation(content_type="image/png", label=label)


@pytest.mark.parametrize(
    "accept", [None, "", "*/*", "application/json;verbose", 'image/png;label="explain"', "explain"]
)
def test_an_accept_that_asks_for_nothing_is_left_alone(accept):
    assert explanation_of(accept) is None
    assert accept_with(accept, {"label": "red"}) == accept


@pytest.mark.parametrize(
    "junk",
    ["a/b;explain=", "a/b;explain", ";;explain=gradcam;,,"],
)
def test_junk_in_accept_is_ignored_or_refused(junk):
    with suppress(RequestError):
        assert explanation_of(junk) is None


def test_drawing_takes_what_spoke_for_nothing_and_maps_of_any_size():
    pixels = np.full((20, 30, 3), 128, np.uint8)
    nothing = np.asarray(Image.open(io.BytesIO(draw_map(pixels, np.zeros((7, 7), np.float32)))))
    assert nothing.shape == (20, 30)
    assert nothing.max() == 0
    corner = np.zeros((2, 2), np.float32)
    corner[0, 0] = 1e-9
    drawn = np.asarray(Image.open(io.BytesIO(draw_overlay(pixels, corner))))
    assert drawn[0, 0].sum() > drawn[-1, -1].sum()
