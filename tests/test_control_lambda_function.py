"""The function in Lambda, before our real server: through every door the server's own answer."""

import ast
import json
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_front import Aws
from kinds import KINDS, kind
from lambdas import (
    FORM_TYPE,
    Function,
    api_gateway,
    base64_of,
    form,
    function,
    function_url,
)
from serving import REPOSITORY, Server, colour_bundle, picture, server

EVENT_BYTES = 6 * 1024 * 1024 * 3 // 4


@pytest.fixture(scope="module")
def real_server() -> Iterator[Server]:
    with server(colour_bundle()) as running:
        yield running


@pytest.fixture
def dogs(aws: Aws, real_server: Server, tmp_path: Path) -> Iterator[Function]:
    """A function before an endpoint that our server answers for."""
    aws.serve_endpoints(real_server.url)
    with function(aws, tmp_path, ALLOWED_ORIGINS="https://dogs.example") as running:
        yield running


def asked_directly(real_server: Server, data: bytes, **headers: str) -> tuple[int, bytes]:
    """What the server itself says."""
    request = urllib.request.Request(
        f"{real_server.url}/invocations", data, {"Content-Type": "image/png", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


PNG = picture("green")
LINES = "\n".join(textwrap.wrap(base64_of(PNG), 76))
DOORS = {
    "REST API": api_gateway(PNG, content_type="image/png"),
    "HTTP API or Function URL": function_url(PNG, content_type="image/png"),
    "curl --data-binary": function_url(PNG, content_type="application/x-www-form-urlencoded"),
    "a type that lies": function_url(PNG, content_type="application/json"),
    "a form": function_url(
        form(
            ("comment", None, b"green?"), ("file", "g.png", PNG), ("more", "r.png", picture("red"))
        ),
        content_type=FORM_TYPE,
    ),
    "a form with a quoted boundary": api_gateway(
        form(("file", "g.png", PNG), boundary="a b"),
        content_type='multipart/form-data; boundary="a b"',
    ),
    "JSON": function_url(json.dumps({"image": base64_of(PNG)}), content_type="application/json"),
    "JSON of a data URL": api_gateway(
        json.dumps({"image": f"data:image/png;base64,{base64_of(PNG)}"})
    ),
    "base64 as text": api_gateway(base64_of(PNG), content_type="text/plain"),
    "direct": {"image": base64_of(PNG)},
    "direct, base64 in lines": {
        "image": "\n".join(base64_of(PNG)[i : i + 76] for i in range(0, 400, 76))
    },
    "direct, a body": {"body": base64_of(PNG), "isBase64Encoded": True},
    "direct, a body that is an object": {"body": {"image": base64_of(PNG)}},
    "direct, a body that is JSON": {"body": json.dumps({"image": base64_of(PNG)})},
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_gives_the_servers_own_answer(dogs, real_server, door):
    answer = dogs(DOORS[door])
    status, said = asked_directly(real_server, PNG)
    assert (answer["statusCode"], status) == (200, 200)
    assert answer["body"].encode() == said
    assert json.loads(said)["predictions"][0]["label"] == "green"
    assert answer["headers"]["Content-Type"] == "application/json"


def test_every_kind_of_picture_is_told_by_its_bytes(dogs, real_server):
    for name in KINDS:
        data = kind(name)
        answer = dogs(function_url(data, content_type="image/jpeg"))
        assert (answer["statusCode"], answer["body"].encode()) == asked_directly(
            real_server, data
        ), name
        family = name.split("-")[0]
        expected = {"jpeg2000": "jp2", "ppm": "pnm", "one": "png", "very": "", "12": "jpeg"}
        assert dogs.log[-1]["kind"].startswith(f"image/{expected.get(family, family)}"), name


def test_the_form_of_the_answer_is_the_callers_choice(dogs, real_server):
    for accept in ("text/csv", "application/jsonlines", "application/json;verbose"):
        answer = dogs(function_url(PNG, accept=accept))
        assert answer["body"].encode() == asked_directly(real_server, PNG, Accept=accept)[1]
        assert answer["headers"]["Content-Type"] == accept.partition(";")[0]
    npy = "application/x-npy"
    rows = dogs(function_url(PNG, accept=npy))
    assert rows["isBase64Encoded"]
    assert rows["body"] == base64_of(
        asked_directly(real_server, PNG, Accept="application/x-npy")[1]
    )
    assert dogs.refusal(function_url(PNG, accept="video/mp4"))[0] == 406
    assert dogs.refusal(function_url(PNG, accept="text/csv\r\nX: y"))[0] == 400


def test_what_the_server_refuses_is_passed_on_word_for_word(dogs, real_server):
    broken = PNG[:60]
    status, said = asked_directly(real_server, broken)
    answer = dogs(api_gateway(broken))
    assert answer["statusCode"] == status == 400
    assert json.loads(answer["body"]) == json.loads(said)


def test_a_target_model_is_asked_for_by_query_and_by_json(dogs):
    """The server serves one model, and says so to who asks for another."""
    by_query = {**function_url(PNG), "queryStringParameters": {"target": "breeds/dogs.tar.gz"}}
    for event in (by_query, {"image": base64_of(PNG), "target": "breeds/dogs.tar.gz"}):
        status, message = dogs.refusal(event)
        assert status == 404
        assert "several models" in message
        assert dogs.log[-1]["target"] == "breeds/dogs.tar.gz"
    assert dogs.refusal({"image": base64_of(PNG), "target": " "})[0] == 400


def test_pages_of_listed_origins_may_read_answers_and_others_may_not(dogs):
    allowed = "Access-Control-Allow-Origin"
    asked = dogs(function_url(None, "OPTIONS", origin="https://dogs.example"))
    assert asked["statusCode"] == 204
    assert asked["headers"][allowed] == "https://dogs.example"
    assert "*" in asked["headers"]["Access-Control-Allow-Headers"]
    for event in (
        function_url(PNG, origin="https://dogs.example"),
        function_url("", origin="https://dogs.example"),
    ):
        assert dogs(event)["headers"][allowed] == "https://dogs.example"
    for origin in ("https://cats.example", "https://dogs.example.evil.net", "null"):
        assert allowed not in dogs(function_url(PNG, origin=origin))["headers"]
    assert allowed not in dogs(function_url(PNG))["headers"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("event", [api_gateway, function_url])
def test_only_post_is_taken(dogs, event, method):
    status, message = dogs.refusal(event(None, method))
    assert status == 405
    assert "POST" in message
    assert dogs(event(None, method))["headers"]["Allow"] == "POST, OPTIONS"


def test_a_request_leaves_one_line_of_json_in_the_log(dogs):
    answer = dogs(function_url(PNG))
    (line,) = dogs.log
    assert line["request_id"] == answer["headers"]["X-Request-Id"]
    assert (line["status"], line["bytes_in"], line["bytes_out"]) == (
        200,
        len(PNG),
        len(answer["body"]),
    )
    assert 0 < line["ms"] < 30_000
    dogs(function_url(b"no picture"))
    assert (dogs.log[1]["status"], dogs.log[1]["error"]) == (415, "UnsupportedMediaType")
    assert base64_of(PNG)[:40] not in dogs.log_file.read_text()


def test_the_limit_is_what_six_megabytes_hold_in_base64(dogs, real_server):
    largest = PNG + bytes(EVENT_BYTES - len(PNG))
    assert len(base64_of(largest)) == 6 * 1024 * 1024
    answer = dogs({"image": base64_of(largest)})
    assert (answer["statusCode"], answer["body"].encode()) == asked_directly(real_server, largest)
    status, message = dogs.refusal({"image": base64_of(largest + b"x")})
    assert status == 413
    assert "4,718,592" in message


def test_the_file_imports_nothing_but_what_lambda_has():
    tree = ast.parse((REPOSITORY / "control" / "lambda_function.py").read_text())
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert names - sys.stdlib_module_names == {"boto3", "botocore"}


def test_a_picture_that_looks_like_base64_is_a_picture(dogs, real_server):
    text = "P3\n1 1\n255\n240 030 010\n"
    assert len("".join(text.split())) % 4 == 0
    answer = dogs(function_url(text, content_type="text/plain"))
    assert (answer["statusCode"], answer["body"].encode()) == asked_directly(
        real_server, text.encode()
    )
    assert json.loads(answer["body"])["predictions"][0]["label"] == "red"
