"""The server as its users run it: gunicorn, a real port, real signals."""

import json
import os
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import WAIT_SECONDS, colour_bundle, picture, server


@pytest.fixture(scope="module")
def running():
    with server(colour_bundle(), {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"}) as process:
        yield process


def log_lines(process):
    return [json.loads(line) for line in process.log().splitlines()]


def exchange(process, request):
    """Send raw bytes, read until the server closes or answers."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=WAIT_SECONDS) as link:
        link.sendall(request)
        return read_reply(link)


def read_reply(link):
    """One response: head, and a body as long as it says."""
    with link.makefile("rb") as stream:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            assert line, head
            head += line
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return head, stream.read(length)


def test_a_picture_is_answered_and_logged_as_one_json_line(running):
    headers = {"Content-Type": "image/png", "X-Request-Id": "first"}
    status, _, body = running.get("/invocations", data=picture("blue"), headers=headers)
    assert status == 200
    assert json.loads(body)["predictions"][0]["label"] == "blue"
    (line,) = [item for item in log_lines(running) if item.get("request_id") == "first"]
    assert (line["status"], line["pictures"]) == (200, 1)
    assert not [item for item in log_lines(running) if item.get("path") == "/ping"]


def test_the_first_line_of_the_log_says_what_runs(running):
    first = log_lines(running)[0]
    assert first["cpus"] >= 1
    assert (first["workers"], first["engine"]) == (1, "auto")


def test_many_at_once_are_all_answered(running):
    data = {name: picture(name) for name in ("red", "green", "blue")}

    def ask(name):
        body = running.get("/invocations", data=data[name], headers={"Content-Type": "image/png"})[
            2
        ]
        return json.loads(body)["predictions"][0]["label"]

    names = ["red", "green", "blue"] * 20
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, names)) == names


def test_a_body_over_the_limit_is_refused_in_words_that_arrive(running):
    """Closing on unread bytes would reset the connection and lose the answer."""
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    plain = exchange(running, head + b"Content-Length: 9000000\r\n\r\n" + b"x" * 9_000_000)
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    chunked = exchange(
        running, head + b"Transfer-Encoding: chunked\r\n\r\n" + 5 * chunk + b"0\r\n\r\n"
    )
    for reply_head, body in (plain, chunked):
        assert reply_head.startswith(b"HTTP/1.1 413 ")
        assert b"the limit is 1,048,576" in body


def test_a_chunked_picture_without_length_is_read(running):
    data = picture()
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(data[i : i + 50]), data[i : i + 50]) for i in (0, 50, 100)
    )
    assert exchange(running, head + chunks + b"0\r\n\r\n")[0].startswith(b"HTTP/1.1 200 ")


def test_expect_100_continue_is_honoured(running):
    data = picture()
    with socket.create_connection(("127.0.0.1", running.port), timeout=WAIT_SECONDS) as link:
        head = (
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d"
        )
        link.sendall(head % len(data) + b"\r\n\r\n")
        assert link.recv(1000).startswith(b"HTTP/1.1 100 ")
        link.sendall(data)
        assert read_reply(link)[0].startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 9000 + b"\r\n\r\n", b"431"),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", b"400"),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n", b"400"),
    ],
)
def test_what_gunicorn_itself_refuses_is_json_too(running, request_bytes, status):
    head, body = exchange(running, request_bytes)
    assert head.split(b" ")[1] == status
    assert set(json.loads(body)) == {"error", "message"}


def test_a_client_that_hangs_up_early_harms_nobody(running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=WAIT_SECONDS) as link:
        link.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert running.get("/ping")[0] == 200


def test_sigterm_finishes_the_request_in_flight_and_exits_zero():
    data = picture("green")
    with (
        server(colour_bundle()) as process,
        socket.create_connection(("127.0.0.1", process.port), timeout=WAIT_SECONDS) as link,
        socket.create_connection(("127.0.0.1", process.port), timeout=WAIT_SECONDS),  # idle
    ):
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data)
        link.sendall(head + data[:40])
        wait_for(lambda: is_reading(process))
        process.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "Handling signal: term" in process.log())
        link.sendall(data[40:])
        reply_head, body = read_reply(link)
        assert reply_head.startswith(b"HTTP/1.1 200 ")
        assert json.loads(body)["predictions"][0]["label"] == "green"
        assert process.process.wait(WAIT_SECONDS) == 0


def is_reading(process):
    """Connections are accepted in order: when a later one is answered, ours is being read."""
    return process.get("/ping")[0] == 200


def wait_for(condition):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_process_that_was_started_is_the_one_that_listens():
    """exec keeps the id, so a signal to the container's first process reaches gunicorn."""
    with server(colour_bundle()) as process:
        command = (f"/proc/{process.process.pid}/cmdline", "rb")
        with open(*command) as file:
            assert b"gunicorn" in file.read()


@pytest.fixture
def damaged(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(colour_bundle(), folder)
    with (folder / "model.bin").open("r+b") as file:
        file.write(b"\xff")
    return folder


def test_a_damaged_bundle_ends_the_server_with_one_clear_line(damaged):
    with server(damaged, ready=False) as process:
        assert process.process.wait(WAIT_SECONDS) == 4
        (line,) = [item for item in log_lines(process) if item["level"] == "critical"]
    assert "BundleError" in line["message"]
    assert "sha256 differs" in line["message"]


def test_a_bundle_that_computes_something_else_is_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(colour_bundle(), folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["probe"]["probabilities"] = [0.0, 0.0, 1.0]
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with server(folder, ready=False) as process:
        assert process.process.wait(WAIT_SECONDS) == 4
        assert "ProbeError" in process.log()


def test_ping_is_503_until_a_slow_model_is_loaded(tmp_path):
    code = tmp_path / "model" / "code"
    code.mkdir(parents=True)
    gate = tmp_path / "go"
    (code / "inference.py").write_text(
        "import os, time\n"
        "def model_fn(model_dir):\n"
        f"    while not os.path.exists({str(gate)!r}): time.sleep(0.02)\n"
        "def transform_fn(model, data, content_type, accept): return data\n"
    )
    with server(tmp_path / "model", ready=False) as process:
        wait_for(lambda: "Booting worker" in process.log())
        assert process.get("/ping")[0] == 503
        status, headers, body = process.get("/invocations", data=b"x")
        assert (status, headers["Retry-After"]) == (503, "5")
        assert b"loading" in body
        gate.touch()
        process.wait_until_ready()
        assert process.get("/invocations", data=b"echo")[2] == b"echo"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"SAGEMAKER_BIND_TO_PORT": "http"}, "SAGEMAKER_BIND_TO_PORT"),
        ({"KENNEL_URL_HOSTS": "https://x/"}, "KENNEL_URL_HOSTS"),
        ({"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "image/png"}, "DEFAULT_INVOCATIONS_ACCEPT"),
    ],
)
def test_a_wrong_setting_ends_the_server_before_it_listens_for_long(environment, words):
    with server(colour_bundle(), environment, ready=False) as process:
        assert process.process.wait(WAIT_SECONDS) != 0
        assert words in process.log()
        assert "Traceback" not in process.log()


def test_a_taken_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        environment = {"SAGEMAKER_BIND_TO_PORT": port}
        with server(colour_bundle(), environment, ready=False) as process:
            assert process.process.wait(WAIT_SECONDS) == 1
            assert f"cannot listen on 127.0.0.1:{port}" in process.log()


def test_the_model_is_found_below_the_base_directory_and_written_to_by_nobody(tmp_path):
    shutil.copytree(colour_bundle(), tmp_path / "model")
    before = sorted(os.listdir(tmp_path / "model"))
    environment = {"SAGEMAKER_BASE_DIR": str(tmp_path), "KENNEL_BUNDLE": ""}
    with server(None, environment) as process:
        assert process.get("/invocations", data=picture())[0] == 200
    assert sorted(os.listdir(tmp_path / "model")) == before


def test_serving_on_a_cpu_never_imports_torch():
    """Importing it takes seconds and memory, and the CPU image does not have it."""
    with server(colour_bundle()) as process:
        assert process.get("/invocations", data=picture())[0] == 200
        children = f"/proc/{process.process.pid}/task/{process.process.pid}/children"
        with open(children) as file:
            (worker,) = file.read().split()
        with open(f"/proc/{worker}/maps") as file:
            assert "libtorch" not in file.read()


def test_with_several_processes_a_good_ping_means_all_of_them():
    with server(colour_bundle(), {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}) as process:
        replies = [process.get("/invocations", data=picture())[0] for _ in range(40)]
    assert replies == [200] * 40


def test_an_overload_is_refused_in_words_and_never_by_a_reset():
    environment = {"KENNEL_MAX_IN_FLIGHT": "1"}
    with server(colour_bundle(), environment) as process, ThreadPoolExecutor(24) as pool:
        large = picture(size=(1500, 1500), form="BMP")
        ask = pool.map(lambda _: process.get("/invocations", data=large), range(60))
        statuses = {status for status, _, _ in ask}
        assert process.get("/ping")[0] == 200
    assert 200 in statuses
    assert statuses <= {200, 503}
