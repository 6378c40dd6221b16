import json
import logging
import threading

import pytest
from serving import client_for, colour_bundle, colour_client, picture

from contract.errors import BundleError
from serve.app import create_app
from serve.invocation import Answer
from serve.service import Service
from serve.settings import ServeSettings

SETTINGS = ServeSettings(max_in_flight=1)


class Held:
    """A model that answers when it is let go; stands where a slow network would."""

    def __init__(self):
        self.entered, self.released = threading.Event(), threading.Event()

    def describe(self):
        return {"engine": "held"}

    def answer(self, invocation):
        self.entered.set()
        assert self.released.wait(30)
        return Answer(body=invocation.body, content_type="text/plain")


class Raising(Held):
    def __init__(self, error):
        self.error = error

    def answer(self, _invocation):
        raise self.error


def ready(model):
    service = Service(lambda: model, SETTINGS.max_in_flight)
    service.load()
    return service


def test_ping_is_503_while_loading_and_200_when_loaded():
    go = threading.Event()

    def load():
        assert go.wait(30)
        return Held()

    service = Service(load, 1)
    client = create_app(service, SETTINGS).test_client()
    loader = threading.Thread(target=service.load)
    loader.start()
    before, early = client.get("/ping"), client.post("/invocations", data=b"x")
    go.set()
    loader.join(30)
    assert (before.status_code, before.get_json()) == (503, {"status": "loading"})
    assert (early.status_code, early.headers["Retry-After"]) == (503, "5")
    assert client.get("/ping").status_code == 200


def test_a_model_that_fails_to_load_leaves_ping_failing_with_the_reason():
    def load():
        raise BundleError("no bundle here")

    service = Service(load, 1)
    with pytest.raises(BundleError):
        service.load()
    reply = create_app(service, SETTINGS).test_client().get("/ping")
    assert reply.status_code == 503
    assert "no bundle here" in reply.get_json()["reason"]


def test_one_more_than_the_limit_in_flight_is_503_with_retry_after_and_ping_still_answers():
    model = Held()
    app = create_app(ready(model), SETTINGS)
    replies = []
    first = threading.Thread(
        target=lambda: replies.append(app.test_client().post("/invocations", data=b"one"))
    )
    first.start()
    assert model.entered.wait(30)
    overflow, ping = (
        app.test_client().post("/invocations", data=b"2"),
        app.test_client().get("/ping"),
    )
    model.released.set()
    first.join(30)
    assert (overflow.status_code, overflow.headers["Retry-After"]) == (503, "1")
    assert ping.status_code == 200
    assert replies[0].data == b"one"
    assert app.test_client().post("/invocations", data=b"3").status_code == 200


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), MemoryError(), KeyError("secret")])
def test_a_surprise_is_500_without_traceback_and_the_log_has_it(error, caplog):
    client = create_app(ready(Raising(error)), SETTINGS).test_client()
    reply = client.post("/invocations", data=b"x", headers={"X-Request-Id": "r-1"})
    assert reply.status_code == 500
    assert reply.get_json()["error"] == "InternalServerError"
    assert "r-1" in reply.get_json()["message"]
    assert b"secret" not in reply.data
    assert any(record.exc_info for record in caplog.records)
    assert client.post("/invocations", data=b"x").status_code == 500  # still there


def test_a_dead_gpu_makes_ping_fail_so_that_the_platform_replaces_us():
    client = create_app(ready(Raising(RuntimeError("CUDA error: unspecified"))), SETTINGS)
    client = client.test_client()
    assert client.get("/ping").status_code == 200
    client.post("/invocations", data=b"x")
    assert client.get("/ping").status_code == 503
    assert client.post("/invocations", data=b"x").status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/invocations", 405),
        ("DELETE", "/ping", 405),
        ("POST", "/invocations", 400),
        ("GET", "/models/../../etc/passwd", 404),
    ],
)
def test_every_refusal_is_json_with_error_and_message(method, path, status):
    reply = colour_client().open(path, method=method)
    assert reply.status_code == status
    assert reply.content_type == "application/json"
    assert set(reply.get_json()) == {"error", "message"}


def test_405_names_the_methods_in_allow():
    assert "POST" in colour_client().get("/invocations").headers["Allow"]


def test_head_ping_and_trailing_slashes_work():
    client = colour_client()
    assert client.head("/ping").status_code == 200
    assert client.get("/ping/").status_code == 200
    assert client.post("/invocations/", data=picture()).status_code == 200


def test_ping_names_engine_and_labels():
    state = colour_client().get("/ping").get_json()
    assert state["status"] == "ready"
    assert (state["engine"], state["device"], state["num_labels"]) == ("openvino", "cpu", 3)


def test_custom_attributes_are_not_echoed_because_only_the_model_may_set_them():
    headers = {"X-Amzn-SageMaker-Custom-Attributes": "trace=1"}
    reply = colour_client().post("/invocations", data=picture(), headers=headers)
    assert reply.status_code == 200
    assert "X-Amzn-SageMaker-Custom-Attributes" not in reply.headers


def test_headers_that_the_platform_may_add_change_nothing():
    headers = {"X-Anything": "1", "Host": "model.aws.local:8080", "User-Agent": "AHC/2.0"}
    reply = colour_client().post("/invocations", data=picture(), headers=headers)
    assert reply.status_code == 200


def test_a_request_is_one_log_line_and_a_ping_is_none(caplog):
    caplog.set_level(logging.INFO)
    client = client_for(colour_bundle())
    caplog.clear()
    client.get("/ping")
    headers = {"X-Amzn-SageMaker-Inference-Id": "id-7", "X-Amzn-SageMaker-Target-Variant": "blue"}
    client.post("/invocations", data=picture(), content_type="image/png", headers=headers)
    (record,) = [item for item in caplog.records if item.message == "request"]
    fields = record.fields
    assert (fields["status"], fields["pictures"], fields["bytes_in"]) == (200, 1, len(picture()))
    assert (fields["content_type"], fields["inference_id"]) == ("image/png", "id-7")
    assert fields["target_variant"] == "blue"


def test_the_page_is_one_file_that_loads_nothing_from_elsewhere():
    reply = colour_client().get("/")
    assert reply.content_type.startswith("text/html")
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    text = reply.get_data(as_text=True)
    assert "http://" not in text
    assert "https://" not in text


def test_a_log_line_is_one_json_object_whatever_it_holds():
    from serve.log import JsonFormatter

    record = logging.LogRecord("x", 20, "f", 1, 'a "quote"\nand a line', (), None)
    record.fields = {"path": "/\r\n{", "number": 1}
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["path"] == "/\r\n{"
