"""What lives in a multi-model server: programs kept apart, models that come and go under load."""

import itertools
import json
import shutil

import numpy as np
import pytest
from multi_model import Gated, Multi, in_background, write_program
from random_bundles import random_bundle
from serving import WAIT_SECONDS, client_for, colour_bundle, picture

from contract.manifest import MANIFEST_NAME


@pytest.fixture
def multi():
    running = Multi()
    yield running
    for name in running.names():
        assert running.unload(name).status_code == 200


@pytest.fixture
def gated(tmp_path):
    return Gated(tmp_path / "gated")


def relabelled(folder, labels):
    """A copy of the colour bundle with labels and a crop of its own."""
    shutil.copytree(colour_bundle(), folder)
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    manifest["labels"] = labels
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    return folder


def test_models_keep_their_own_labels(multi, tmp_path):
    other = relabelled(tmp_path / "other", ["azure", "lime", "ruby"])
    multi.load("colours", colour_bundle())
    multi.load("gems", other)
    labels = [
        multi.invoke(name, picture("red")).json["predictions"][0]["label"]
        for name in ("colours", "gems", "colours")
    ]
    assert labels == ["red", "ruby", "red"]


def test_models_of_different_size_keep_their_own_preprocessing(multi):
    """One sees 32 pixels of 40, the other 224 of 256; asked in turn, they answer as when alone."""
    folders = {"small": colour_bundle(), "large": random_bundle("squeezenet1_1")}
    alone = {
        name: client_for(folder).post("/invocations", data=picture("green", size=(500, 300))).data
        for name, folder in folders.items()
    }
    for name, folder in folders.items():
        multi.load(name, folder)
    for name in ("small", "large", "small", "large"):
        assert multi.invoke(name, picture("green", size=(500, 300))).data == alone[name]


ACCEPTS = ("", "application/json;verbose", "text/csv", "application/x-npy", "image/png")
BODIES = (
    (picture("blue"), "image/png"),
    (b"junk", "image/jpeg"),
    (b"{}", "application/json"),
    (np.zeros((1, 9, 9, 4), np.uint8).tobytes(), "application/x-npy"),
    (b"a,b", "text/csv"),
    (b"", "image/png"),
)


@pytest.mark.parametrize("with_code", [False, True])
def test_a_model_answers_as_it_does_alone(multi, tmp_path, with_code):
    folder = tmp_path / "model"
    shutil.copytree(colour_bundle(), folder)
    if with_code:  # one function of the user's, the rest ours
        (folder / "code").mkdir()
        code = "def predict_fn(images, model): return model.probabilities(images)[:, ::-1]\n"
        (folder / "code" / "inference.py").write_text(code)
    alone = client_for(folder)
    multi.load("m", folder)
    for (body, kind), accept in itertools.product(BODIES, ACCEPTS):
        options = {"content_type": kind, "headers": {"Accept": accept} if accept else {}}
        expected = alone.post("/invocations", data=body, **options)
        got = multi.invoke("m", body, **options)
        assert (got.status_code, got.data) == (expected.status_code, expected.data)
        assert got.content_type == expected.content_type


def test_programs_with_the_same_module_names_do_not_meet(multi, tmp_path):
    for name in ("one", "two"):
        assert multi.load(name, write_program(tmp_path / name)).status_code == 200
    for name in ("one", "two", "one"):
        assert multi.invoke(name, b"x").json == [name, f"{name} helper", f"{name} late_helper"]


def test_a_program_that_crashes_costs_one_request_and_nobody_else(multi, tmp_path):
    multi.load("one", write_program(tmp_path / "one"))
    multi.load("bundle", colour_bundle())
    crashed = multi.invoke("one", b"crash")
    assert (crashed.status_code, crashed.json["error"]) == (500, "UserCodeError")
    assert "exit status 7" in crashed.json["message"]
    assert multi.invoke("bundle", picture()).status_code == 200
    assert multi.invoke("one", b"x").json[0] == "one"


def test_a_programs_own_error_is_one_line_and_running_out_of_memory_507(multi, tmp_path):
    multi.load("one", write_program(tmp_path / "one"))
    reply = multi.invoke("one", b"raise")
    assert reply.json == {
        "error": "UserCodeError",
        "message": "inference.py: transform_fn failed: ValueError: no good",
    }
    assert multi.invoke("one", b"too much").status_code == 507
    assert multi.invoke("one", b"x").status_code == 200


@pytest.mark.parametrize(
    ("model_fn", "status", "words"),
    [
        ("return bytearray(1 << 62)", 507, "out of memory"),
        ("raise RuntimeError('CUDA out of memory. Tried to allocate')", 507, "out of memory"),
        ("raise ValueError('bad weights')", 500, "ValueError: bad weights"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 507, "killed during loading"),
        ("import os; os._exit(3)", 500, "exit status 3"),
    ],
)
def test_a_load_that_fails_says_why_and_leaves_nothing(multi, tmp_path, model_fn, status, words):
    folder = write_program(tmp_path / "one")
    good = (folder / "code" / "inference.py").read_text()
    bad = f"def model_fn(model_dir):\n    {model_fn}\n" + good.replace("def model_fn", "def old_fn")
    (folder / "code" / "inference.py").write_text(bad)
    reply = multi.load("m", folder)
    assert reply.status_code == status
    assert words in reply.json["message"]
    assert multi.names() == []
    assert multi.load("m", colour_bundle()).status_code == 200


def test_one_model_more_than_the_budget_is_507_until_another_goes():
    small = Multi(models_memory_mib=80)  # each colour bundle counts 32 MiB and its few bytes
    assert [small.load(name, colour_bundle()).status_code for name in "abc"] == [200, 200, 507]
    assert "KENNEL_MODELS_MEMORY" in small.load("c", colour_bundle()).json["message"]
    assert small.names() == ["a", "b"]
    assert small.unload("a").status_code == 200
    assert small.load("c", colour_bundle()).status_code == 200


def test_a_model_that_is_still_loading_is_409_to_load_and_404_to_use(multi, gated):
    thread, results = in_background(multi.load, "m", gated.folder)
    gated.wait_until("loading")
    assert multi.load("m", gated.folder).status_code == 409
    assert multi.invoke("m", b"x").status_code == 404
    assert multi.unload("m").status_code == 404
    assert multi.client.get("/models/m").status_code == 404
    assert multi.names() == []
    assert multi.client.get("/ping").status_code == 200
    gated.open("load")
    thread.join(WAIT_SECONDS)
    assert results[0].status_code == 200


def test_unloading_waits_for_what_is_in_flight_and_lets_nothing_new_in(multi, gated):
    gated.open("load")
    multi.load("m", gated.folder)
    asking, answers = in_background(multi.invoke, "m", b"x")
    gated.wait_until("answering")
    ending, ends = in_background(multi.unload, "m")
    while multi.names():
        pass
    assert multi.invoke("m", b"x").status_code == 404
    assert multi.load("m", gated.folder).status_code == 409
    assert ends == []
    gated.open("answer")
    asking.join(WAIT_SECONDS)
    ending.join(WAIT_SECONDS)
    assert answers[0].data == b"done"
    assert ends[0].status_code == 200


def test_a_program_that_never_ends_is_cut_off_by_unloading(gated):
    impatient = Multi(timeout_seconds=1)
    gated.open("load")
    impatient.load("m", gated.folder)
    asking, answers = in_background(impatient.invoke, "m", b"x")
    gated.wait_until("answering")
    assert impatient.unload("m").status_code == 200
    asking.join(WAIT_SECONDS)
    assert answers[0].status_code == 503
    assert impatient.names() == []


def test_one_more_than_the_limit_in_flight_is_503(gated):
    narrow = Multi(max_in_flight=1)
    gated.open("load")
    narrow.load("m", gated.folder)
    thread, results = in_background(narrow.invoke, "m", b"x")
    gated.wait_until("answering")
    assert narrow.invoke("m", b"x").status_code == 503
    gated.open("answer")
    thread.join(WAIT_SECONDS)
    assert results[0].status_code == 200
    assert narrow.unload("m").status_code == 200
