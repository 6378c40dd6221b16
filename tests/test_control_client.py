"""Asking a server over real HTTP: what it answers, refuses, or that nobody is there."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from contract.errors import HostError, KennelError, RequestError, UsageError
from contract.prediction import Prediction
from control.cli import main
from control.client import ask, is_ready, read_picture
from control.command_predict import prediction_text
from control.server import free_port

CAT = Prediction(labels=("cat", "dog"), probabilities=(0.75, 0.25)).to_json()
ANSWERS = {
    b"cat": (200, {"predictions": [CAT]}),
    b"noise": (400, {"error": "ImageError", "message": "not a picture"}),
    b"odd": (200, {"hello": "world"}),
    b"html": (502, "<html>"),
}


class Handler(BaseHTTPRequestHandler):
    """Answers by the picture's bytes."""

    def do_GET(self):
        self._answer(200 if self.path == "/ping" else 404, {})

    def do_POST(self):
        picture = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(*ANSWERS[picture])

    def _answer(self, status, value):
        body = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        """Quiet."""


@pytest.fixture
def url():
    """A server on a free port."""
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


def test_an_answer_names_label_and_probability(url):
    answer = ask(url, b"cat")
    assert (answer["label"], answer["probability"]) == ("cat", 0.75)
    assert [item["label"] for item in answer["top"]] == ["cat", "dog"]


def test_the_whole_address_of_the_invocations_works_too(url):
    assert ask(url + "/invocations", b"cat")["label"] == "cat"
    assert is_ready(url + "/")


def test_a_refusal_keeps_the_servers_words_and_status(url):
    with pytest.raises(RequestError, match="not a picture") as caught:
        ask(url, b"noise")
    assert caught.value.status == 400


def test_a_refusal_that_is_not_ours_is_shown_as_it_came(url):
    with pytest.raises(RequestError, match="answered 502: <html>"):
        ask(url, b"html")


def test_a_stranger_on_the_port_is_recognised(url):
    with pytest.raises(KennelError, match="does not answer as Kennel's server does"):
        ask(url, b"odd")


def test_silence_says_how_to_start_a_server():
    empty = f"http://127.0.0.1:{free_port()}"
    assert not is_ready(empty)
    with pytest.raises(HostError, match="start `kennel serve RUN`"):
        ask(empty, b"cat")


def test_an_address_without_scheme_is_refused():
    with pytest.raises(UsageError, match=r"got .localhost:8080"):
        ask("localhost:8080", b"cat")


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        read_picture(tmp_path)


def test_predict_answers_the_good_pictures_and_names_the_bad_one(url, tmp_path, capsys):
    for name in ("cat", "noise"):
        (tmp_path / name).write_text(name)
    words = ["predict", str(tmp_path / "noise"), str(tmp_path / "cat"), "--url", url]
    assert main([*words, "-o", "json"]) == 1
    shown = capsys.readouterr()
    (prediction,) = json.loads(shown.out)["predictions"]
    assert prediction == {"picture": str(tmp_path / "cat"), **CAT}
    assert shown.err == f"kennel: {tmp_path / 'noise'}: not a picture\n"


def test_bars_are_as_long_as_the_probabilities():
    lines = prediction_text({"picture": "cat.jpg", **CAT}).splitlines()
    assert lines[0] == "cat.jpg: cat"
    assert [line.count("#") for line in lines[1:]] == [18, 6]
