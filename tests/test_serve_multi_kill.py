"""kill -9 of a multi-model server's process: the next one has what SageMaker believes it has."""

import http.client
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from multi_model import MULTI, children_of, invoke, load, unload, write_program
from serving import WAIT_SECONDS, colour_bundle, picture, server

from serve.remembered import MOST_STARTS, scratch_folder

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def running():
    with server(None, MULTI) as process:
        yield process


def kill_worker(process):
    """kill -9, and wait until the main process has started another."""
    (old,) = children_of(process.process.pid)
    os.kill(old, signal.SIGKILL)
    deadline = time.monotonic() + WAIT_SECONDS
    while children_of(process.process.pid) in ([old], []):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ping(process):
    status, _, body = process.get("/ping")
    return status, json.loads(body)


def test_all_that_was_loaded_is_listed_and_answers_after_a_kill(running, tmp_path):
    program = write_program(tmp_path / "program")
    entries = []
    for name, folder in (("a/b", colour_bundle()), ("gone", colour_bundle()), ("one", program)):
        assert load(running, name, folder)[0] == 200
        entries.append({"modelName": name, "modelUrl": str(folder)})
    unload(running, "gone")
    del entries[1]
    kill_worker(running)
    assert json.loads(running.get("/models")[2]) == {"models": entries}
    assert ping(running) == (200, {"status": "ready", "num_models": 2})
    assert load(running, "a/b", colour_bundle())[0] == 409
    label = json.loads(invoke(running, "a/b", picture("green"))[2])["predictions"][0]["label"]
    assert label == "green"
    assert json.loads(invoke(running, "one", b"x")[2])[0] == "program"
    assert invoke(running, "gone", picture())[0] == 404
    assert unload(running, "a/b")[0] == 200
    assert load(running, "a/b", colour_bundle())[0] == 200


def test_only_the_requests_that_the_killed_process_held_fail(running):
    load(running, "m", colour_bundle())
    ended, failed, stop = [], [], threading.Event()

    def run():
        while not stop.is_set():
            started = time.monotonic()
            try:
                ended.append(invoke(running, "m", picture())[0])
            except (OSError, http.client.HTTPException):  # before its answer, or in the middle
                failed.append(started)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    kill_worker(running)
    killed = time.monotonic()
    while ping(running)[0] != 200:
        time.sleep(0.02)
    assert invoke(running, "m", picture())[0] == 200
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert set(ended) == {200}
    assert len(failed) <= len(threads)
    assert all(started < killed for started in failed)


def test_a_model_that_cannot_be_loaded_again_makes_ping_fail(running, tmp_path):
    """SageMaker would send requests for it, so the container must be replaced."""
    folder = tmp_path / "model"
    shutil.copytree(colour_bundle(), folder)
    load(running, "m", folder)
    shutil.rmtree(folder)
    kill_worker(running)
    assert invoke(running, "m", picture())[0] in (404, 503)
    status, body = ping(running)
    assert status == 503
    assert f"the model from {folder} cannot be loaded again" in body["reason"]
    assert load(running, "other", colour_bundle())[0] == 200  # it is no worse off for that


def test_processes_that_die_again_and_again_make_ping_fail(running):
    load(running, "m", colour_bundle())
    for _ in range(MOST_STARTS):
        assert ping(running)[0] == 200
        kill_worker(running)
    status, body = ping(running)
    assert status == 503
    assert f"{MOST_STARTS + 1} processes ended within minutes" in body["reason"]


def test_a_process_without_models_may_die_as_often_as_it_likes(running):
    for _ in range(MOST_STARTS):
        kill_worker(running)
    assert ping(running)[0] == 200


def test_nothing_is_left_on_the_disk_when_the_server_ends():
    with server(None, MULTI) as process:
        load(process, "m", colour_bundle())
        folder = scratch_folder(process.process.pid)
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not Path(folder).exists()
