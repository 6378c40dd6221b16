"""What asynchronous endpoints, pipelines and multi-container endpoints ask of the server."""

import io
import json
import os
import socket
import time
from pathlib import Path

import pytest
from load import below
from multi_model import MULTI, load, write_program
from PIL import Image
from serving import colour_bundle, picture, server

# As seen in a real endpoint's log.
PLATFORM = {
    "SAGEMAKER_SAFE_PORT_RANGE": "25000-25999",
    "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/none",
}
MOST_SHOWN = 2048  # characters of an error's body that SageMaker passes on to the caller


def listening_ports(pid):
    """Of a process and all below it, on any address, TCP and UDP."""
    owned = set()
    for process in [pid, *below(pid)]:
        for link in Path(f"/proc/{process}/fd").iterdir():
            try:
                owned.add(os.readlink(link))
            except OSError:
                continue
    ports = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            is_open = words[3] == "0A" or table.startswith("udp")  # 0A: LISTEN
            if is_open and f"socket:[{words[9]}]" in owned:
                ports.add(int(words[1].rpartition(":")[2], 16))
    return ports


def bitmap(side):
    """An uncompressed picture: many bytes for few pixels' work."""
    data = io.BytesIO()
    Image.new("RGB", (side, side), (10, 220, 30)).save(data, "BMP")
    return data.getvalue()


def label(reply):
    status, _, body = reply
    assert status == 200, body
    return json.loads(body)["predictions"][0]["label"]


@pytest.fixture(scope="module")
def running():
    with server(colour_bundle(), PLATFORM) as process:
        yield process


# ---- several containers on one host: SAGEMAKER_BIND_TO_PORT, SAGEMAKER_SAFE_PORT_RANGE ----


def test_the_given_port_is_the_only_one_that_is_opened(running):
    assert label(running.get("/invocations", data=picture("blue"))) == "blue"
    assert listening_ports(running.process.pid) == {running.port}


def test_a_multi_model_server_with_programs_opens_no_port_for_them(tmp_path):
    with server(None, {**MULTI, **PLATFORM}) as process:
        load(process, "program", write_program(tmp_path / "program"))
        load(process, "bundle", colour_bundle())
        assert listening_ports(process.process.pid) == {process.port}


def test_two_servers_share_a_host_and_do_not_meet(running):
    with server(colour_bundle(), PLATFORM) as other:
        assert label(other.get("/invocations", data=picture("red"))) == "red"
        assert label(running.get("/invocations", data=picture("green"))) == "green"


# ---- inference pipelines: one container's answer is the next one's request -------------------


PREPARE = """
import io
import numpy as np
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    pixels = np.frombuffer(data, np.uint8).reshape(32, 32, 3)
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    return buffer.getvalue(), "application/x-npy"
"""
SUMMARISE = """
import json
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    assert content_type == "application/json", content_type
    return json.dumps(json.loads(data)["predictions"][0]["label"].upper()), "application/json"
"""


def program(folder, source):
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "inference.py").write_text(source)
    return folder


def test_a_bundle_stands_in_the_middle_of_a_pipeline(running, tmp_path):
    """The platform passes the body and its Content-Type on, and nothing else."""
    pixels = Image.new("RGB", (32, 32), (20, 40, 230)).tobytes()
    with (
        server(program(tmp_path / "prepare", PREPARE)) as first,
        server(program(tmp_path / "summarise", SUMMARISE)) as last,
    ):
        body, kind = pixels, "application/octet-stream"
        for stage in (first, running, last):
            status, headers, body = stage.get(
                "/invocations", data=body, headers={"Content-Type": kind}
            )
            assert status == 200, body
            kind = headers["Content-Type"]
    assert (body.strip(), kind) == (b'"BLUE"', "application/json")


# ---- asynchronous inference: a gigabyte, an hour ------------------------------------------------


def test_a_body_of_100_mb_is_answered_when_the_operator_allows_it():
    environment = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1024"}
    data = bitmap(5900)
    assert len(data) > 100_000_000
    with server(colour_bundle(), environment) as process:
        assert label(process.get("/invocations", data=data)) == "green"


def test_a_real_time_server_refuses_it_with_the_limit_in_words(running):
    """Without a body that large being sent: what is declared is enough."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as link:
        head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 104430054\r\n\r\n"
        link.sendall(head)
        link.shutdown(socket.SHUT_WR)
        answer = link.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"the limit is 33,554,432" in answer


def test_an_invocation_may_take_longer_than_it_may_wait(tmp_path):
    """SAGEMAKER_MODEL_SERVER_TIMEOUT bounds waiting for bytes or for a turn, never the work."""
    slow = (
        "import time\n"
        "def model_fn(model_dir): return None\n"
        "def transform_fn(model, data, content_type, accept):\n"
        "    time.sleep(2.5)\n"
        "    return b'done'\n"
    )
    with server(program(tmp_path / "slow", slow), {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "1"}) as it:
        started = time.monotonic()
        assert it.get("/invocations", data=b"x")[2] == b"done"
        assert time.monotonic() - started >= 2.5
        assert it.get("/ping")[0] == 200


# ---- headers: whatever the platform adds -------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Amzn-SageMaker-Custom-Attributes": "c000b4f9-df62-4c85-a0bf-7c525f9104a4"},
        {"X-Amzn-SageMaker-Custom-Attributes": "a" * 1024},
        {"X-Amzn-SageMaker-Inference-Id": "i" * 64},
        {"X-Amzn-SageMaker-Session-Id": "NEW_SESSION"},
        {"X-Amzn-SageMaker-Target-Model": "dogs/v2.tar.gz"},
        {"X-Amzn-SageMaker-Target-Variant": "v" * 63},
        {"X-Amzn-SageMaker-Target-Container-Hostname": "second"},
        {"X-Amzn-SageMaker-Inference-Component": "copy-1"},
        {"X-Amzn-SageMaker-Enable-Explanations": "`true`"},
        {"X-Amzn-SageMaker-InputLocation": "s3://bucket/key", "X-Amzn-SageMaker-Filename": "out"},
        {"X-Amzn-Trace-Id": "Root=1-67891233-abcdef012345678912345678"},
        {"Accept": "*/*", "Host": "model.aws.local:8080", "User-Agent": "AHC/2.0"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_a_header_of_the_platform_neither_harms_nor_comes_back(running, headers):
    reply = running.get("/invocations", data=picture("red"), headers=headers)
    assert label(reply) == "red"
    assert not [name for name in reply[1] if name.lower().startswith("x-amzn")]


def test_an_answer_says_truly_what_it_is(running):
    """Data capture stores the body by its Content-Type: text, JSON or base64."""
    for accept, kind in (
        ("application/json", "application/json"),
        ("text/csv", "text/csv"),
        ("application/jsonlines", "application/jsonlines"),
        ("application/x-npy", "application/x-npy"),
    ):
        _, headers, body = running.get(
            "/invocations", data=picture(), headers={"Accept": accept, "Content-Type": "image/png"}
        )
        assert headers["Content-Type"].split(";")[0] == kind
        assert int(headers["Content-Length"]) == len(body)


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"x" * 5000, {"Content-Type": "image/" + "x" * 5000}),
        (b"[" * 100_000, {"Content-Type": "application/json"}),
        (json.dumps({"x" * 9000: 1}).encode(), {"Content-Type": "application/json"}),
        (picture(), {"Accept": "image/" + "y" * 5000}),
    ],
    ids=["type", "depth", "name", "accept"],
)
def test_an_errors_reason_reaches_the_caller_whole(running, data, headers):
    """The caller sees the first 2048 characters of the body, whatever the status."""
    status, _, body = running.get("/invocations", data=data, headers=headers)
    assert 400 <= status < 500
    assert len(body.decode()) <= MOST_SHOWN
    assert set(json.loads(body)) == {"error", "message"}
