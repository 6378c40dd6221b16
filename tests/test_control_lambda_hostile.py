"""The function in Lambda: what is wrong with a request, with AWS or the model is told clearly."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from aws_front import Aws
from hypothesis import given, settings
from hypothesis import strategies as st
from lambdas import FORM_TYPE, Function, api_gateway, base64_of, form, function, function_url
from serving import picture

from control import lambda_function

PNG = picture("green")


class Odd(BaseHTTPRequestHandler):
    """A container that answers what it is told to."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.count += 1
        status, body, seconds = self.server.answers.pop(0)
        self.server.let_go.wait(seconds)
        self.send_response(status)
        if self.server.kind:
            self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def odd() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.answers, server.count, server.let_go = [], 0, threading.Event()
    server.kind = "application/json"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.shutdown()
        thread.join(30)
        server.server_close()


@pytest.fixture
def dogs(aws: Aws, tmp_path: Path) -> Iterator[Function]:
    with function(aws, tmp_path) as running:
        yield running


DEEP = "[" * 100_000
REFUSED = {
    "no event at all": (None, 400, "expected a picture"),
    "a list": ([1], 400, "expected a picture"),
    "an empty object": ({}, 400, "an object of []"),
    "another object": ({"picture": "x"}, 400, "['picture']"),
    "two at once": ({"image": "x", "url": "y"}, 400, "['image', 'url']"),
    "a number": ({"image": 7}, 400, "expected a picture"),
    "a list of pictures": ({"image": [base64_of(PNG)]}, 400, "expected a picture"),
    "headers of the wrong type": ({"headers": "x", "body": "y"}, 400, "wrong type"),
    "a body of the wrong type": ({"body": 7}, 400, "wrong type"),
    "no base64": ({"image": "ab!c"}, 400, "not base64"),
    "half of base64": ({"image": base64_of(PNG)[:-5]}, 400, "not base64"),
    "a body that is no base64": ({**function_url(PNG), "body": "!"}, 400, "not base64"),
    "an empty picture": ({"image": ""}, 415, "0 bytes"),
    "nothing": (api_gateway(None), 400, "nothing was sent"),
    "an empty body": (function_url(b""), 400, "nothing was sent"),
    "text": (function_url("hello, world"), 415, "no picture"),
    "a page": (function_url(b"<html></html>"), 415, "no picture"),
    "a program": (function_url(b"\x7fELF" + bytes(100)), 415, "no picture"),
    "half of JSON": (function_url('{"image": '), 400, "not JSON"),
    "deep JSON": (function_url('{"image": ' + DEEP), 400, "not JSON"),
    "JSON of surrogates": ({"image": "\ud800"}, 400, "not base64"),
    "taken for text": (
        function_url("\ufffd\ufffd\ufffd\ufffd\0\x10JFIF"),
        400,
        "binary media types",
    ),
    "a form without a boundary": (
        function_url(b"x", content_type="multipart/form-data"),
        400,
        "form",
    ),
    "a form without a file": (
        function_url(form(("text", None, b"x")), content_type=FORM_TYPE),
        400,
        "no file",
    ),
    "a form where no file was chosen": (
        function_url(form(("file", "", b"")), content_type=FORM_TYPE),
        400,
        "no file",
    ),
    "a form of another boundary": (
        function_url(form(("file", "g.png", PNG), boundary="x"), content_type=FORM_TYPE),
        400,
        "no file",
    ),
    "a form whose file is no picture": (
        function_url(form(("file", "g.png", b"#!/bin/sh")), content_type=FORM_TYPE),
        415,
        "9 bytes",
    ),
    "s3 of nobody": ({"s3": "s3://bucket/key"}, 403, "may read"),
    "s3 without a key": ({"s3": "s3://bucket"}, 400, "s3://BUCKET/KEY"),
    "url of nobody": ({"url": "https://example.org/dog.jpg"}, 403, "may ask"),
    "http": ({"url": "http://example.org/dog.jpg"}, 400, "https"),
}


def test_what_is_wrong_with_a_request_is_said_and_the_endpoint_is_not_asked(aws, dogs):
    for name, (event, status, words) in REFUSED.items():
        found, message = dogs.refusal(event)
        assert (found, words in message) == (status, True), (name, found, message)
        assert len(message) < 400, name
    assert not aws.calls("InvokeEndpoint")
    assert len(dogs.log) == len(REFUSED)


def test_a_busy_endpoint_is_asked_again_and_then_the_caller_is_told_when(aws, dogs):
    with odd() as model:
        aws.serve_endpoints(f"http://127.0.0.1:{model.server_port}")
        model.answers = [(200, b'{"fine": 1}', 0)] * 9
        aws.fail("InvokeEndpoint", "ThrottlingException", "Rate exceeded", status=400, times=2)
        assert dogs(function_url(PNG))["statusCode"] == 200
        assert len(aws.calls("InvokeEndpoint")) == 3
        aws.fail("InvokeEndpoint", "ModelNotReadyException", status=429, times=3)
        answer = dogs(function_url(PNG))
        assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "5")
        assert len(aws.calls("InvokeEndpoint")) == 6
        model.answers = [(503, b'{"error": "ServiceUnavailable", "message": "full"}', 0)] * 3
        assert dogs.refusal(function_url(PNG)) == (503, "full")


@pytest.mark.parametrize(
    ("code", "message", "status", "words"),
    [
        ("ValidationError", "Endpoint dogs of account 123456789012 not found.", 502, "refuses"),
        (
            "AccessDeniedException",
            "User arn:aws:sts::123456789012:x is not authorized",
            502,
            "refuses",
        ),
        ("InternalFailure", "an internal failure at 10.0.0.1", 502, "refuses"),
        (
            "ValidationError",
            "Failed to download model data(bucket: b, key: k). Please ensure it exists",
            404,
            "no such model",
        ),
    ],
)
def test_what_aws_refuses_is_told_without_what_is_nobodys_business(
    aws, dogs, code, message, status, words
):
    aws.fail("InvokeEndpoint", code, message)
    found, told = dogs.refusal({"image": base64_of(PNG), "target": "x"})
    assert found == status
    assert words in told
    assert message not in told
    assert message in dogs.log[-1]["detail"]


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ((500, b"Traceback (most recent call last): secret", 0), (502, "the model gave no answer")),
        ((500, b'{"error": "X", "message": "request_id 7"}', 0), (502, "request_id 7")),
        ((404, b"no such thing", 0), (404, "no such thing")),
        ((413, b'{"error": "TooLarge", "message": "20 MB"}', 0), (413, "20 MB")),
        ((504, b"", 0), (504, "the model gave no answer")),
        ((301, b"", 0), (502, "the model gave no answer")),
    ],
)
def test_an_error_of_the_model_has_the_right_status(aws, dogs, container, expected):
    with odd() as model:
        aws.serve_endpoints(f"http://127.0.0.1:{model.server_port}")
        model.answers = [container]
        assert dogs.refusal(function_url(PNG)) == expected


def test_a_slow_model_is_given_up_before_lambda_gives_up_the_function(aws, tmp_path):
    with odd() as model, function(aws, tmp_path, seconds=4) as dogs:
        aws.serve_endpoints(f"http://127.0.0.1:{model.server_port}")
        model.answers = [(200, b"{}", 20)]
        started = time.monotonic()
        status, message = dogs.refusal(function_url(PNG))
        assert (status, "too long" in message) == (504, True)
        assert 1.5 < time.monotonic() - started < 4
        assert model.count == 1


def test_an_endpoint_that_nobody_reaches_is_a_bad_gateway(aws, tmp_path):
    with function(aws, tmp_path, AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME="http://127.0.0.1:9") as dogs:
        assert dogs.refusal(function_url(PNG)) == (502, "the endpoint cannot be reached")


def test_a_smaller_limit_of_the_endpoint_counts(aws, tmp_path):
    with function(aws, tmp_path, MAX_BYTES="100") as dogs:
        status, message = dogs.refusal(function_url(PNG))
        assert (status, "100 bytes" in message) == (413, True)


def test_a_failure_of_our_own_is_in_the_log_and_nowhere_else(aws, tmp_path):
    with odd() as model:
        url = f"http://127.0.0.1:{model.server_port}"
        model.answers, model.kind = (
            [(200, b"{}", 0)],
            None,
        )  # no Content-Type: SageMaker never does that
        with function(aws, tmp_path, AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=url) as dogs:
            assert dogs.refusal(function_url(PNG)) == (500, "the function failed; its log says why")
            assert "KeyError" in dogs.log[-1]["detail"]


def test_a_function_without_an_endpoint_says_so(aws, tmp_path):
    with function(aws, tmp_path, ENDPOINT_NAME="") as dogs:
        assert dogs.refusal(function_url(PNG)) == (500, "the variable ENDPOINT_NAME is not set")


KEYS = [
    *("body", "headers", "image", "url", "s3", "target", "isBase64Encoded", "http", "httpMethod"),
    *("requestContext", "queryStringParameters", "method", "origin"),
]


def json_values() -> st.SearchStrategy[object]:
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary().map(base64_of),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYS),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )


@settings(max_examples=400, deadline=None)
@given(json_values())
def test_whatever_the_event_the_answer_has_its_form_and_is_the_callers_fault(event):
    context = SimpleNamespace(aws_request_id="id", get_remaining_time_in_millis=lambda: 9000)
    answer = lambda_function.handler(event, context)
    assert set(answer) == {"statusCode", "headers", "body", "isBase64Encoded"}
    if answer["statusCode"] != 204:
        assert set(json.loads(answer["body"])) == {"error", "message"}
        assert 400 <= answer["statusCode"] < 500


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.text(max_size=20), st.binary(max_size=50))
def test_the_first_file_of_a_form_comes_out_as_it_went_in(content, filename, text):
    boundary = "----WebKitFormBoundaryA1b2"
    name = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    name = name.encode("utf-8", "replace").decode()
    mark = b"--" + boundary.encode()
    if mark in content or mark in text:
        return
    data = form(("text", None, text), ("file", name, content), ("next", "b.png", b"other"))
    assert lambda_function.first_file(data, FORM_TYPE) == content
