"""Target models by name from one folder: found, loaded at first use, unloaded for others."""

import json
import shutil
import tarfile
import threading
import time

import pytest
from multi_model import Gated, in_background, write_program
from serving import WAIT_SECONDS, colour_bundle, picture

from contract.manifest import MANIFEST_NAME
from serve.memory import MIB, MemoryBudget
from serve.models import Models
from serve.multi import create_multi_app
from serve.settings import ServeSettings
from serve.targets import HEADER, Targets


def bundle(folder, *labels):
    """A copy of the colour bundle whose blue, green and red are called otherwise."""
    shutil.copytree(colour_bundle(), folder)
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    manifest["labels"] = labels
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two bundles, one of them a run's, an archive and a program. Do not write."""
    folder = tmp_path_factory.mktemp("models")
    bundle(folder / "colours", "blue", "green", "red")
    bundle(folder / "runs" / "0001-gems" / "model", "sapphire", "emerald", "ruby")
    write_program(folder / "program")
    packed = bundle(folder / "packed", "sky", "grass", "blood")
    with tarfile.open(folder / "nature.tar.gz", "w:gz") as tar:
        tar.add(packed, ".")
    shutil.rmtree(packed)
    return folder


class Server:
    """A server of target models in this process, and its client."""

    def __init__(self, root, scratch, **settings):
        chosen = ServeSettings(multi_model=True, models_dir=str(root), **settings)
        budget = MemoryBudget(chosen.models_memory_mib * MIB)
        self.models = Models(chosen, 2, budget)
        targets = Targets(self.models, root, scratch, chosen.timeout_seconds)
        self.client = create_multi_app(self.models, chosen, None, targets).test_client()

    def ask(self, target, data=None, kind="image/png"):
        headers = {HEADER: target} if target is not None else {}
        data = picture("red") if data is None else data
        return self.client.post("/invocations", data=data, content_type=kind, headers=headers)

    def label(self, target):
        return self.ask(target).json["predictions"][0]["label"]

    def close(self):
        for name in self.models.names():
            self.models.unload(name)


@pytest.fixture
def start(tmp_path):
    running = []

    def make(root, **settings):
        running.append(Server(root, tmp_path / "scratch", **settings))
        return running[-1]

    yield make
    for server in running:
        server.close()


def test_the_header_picks_the_model_which_is_loaded_at_first_use(root, start):
    server = start(root)
    assert server.models.names() == []
    names = ("colours", "runs/0001-gems", "nature.tar.gz")
    assert [server.label(name) for name in names] == ["red", "ruby", "blood"]
    assert server.ask("program", b"x").json[0] == "program"
    assert server.models.names() == sorted([*names, "program"])
    assert server.client.get("/models/colours").json["modelUrl"] == str(root / "colours")


@pytest.mark.parametrize(
    "name",
    [
        "../models/colours",
        "colours/../colours",
        "./colours",
        "colours/",
        "/etc",
        "..",
        ".",
        "runs/0001-gems/model",
        "runs",
        "nature",
        "colours/bundle.json",
        "s3://bucket/colours",
        "x" * 5000,
        "caf\u00e9",
    ],
)
def test_any_other_name_is_404_and_the_offer_is_shown(root, start, name):
    server = start(root)
    reply = server.ask(name)
    assert reply.status_code == 404
    assert "colours, nature.tar.gz, program, runs/0001-gems" in reply.json["message"]
    assert server.models.names() == []


def test_without_a_name_it_is_400(root, start):
    server = start(root)
    for name in (None, ""):
        reply = server.ask(name)
        assert reply.status_code == 400
        assert HEADER in reply.json["message"]
        assert "here are: colours" in reply.json["message"]


def test_the_least_recently_used_model_makes_room(tmp_path, start):
    for name in "abc":
        bundle(tmp_path / "models" / name, *(f"{name} {colour}" for colour in ("b", "g", "r")))
    server = start(tmp_path / "models", models_memory_mib=80)  # each counts 32 MiB and a little
    for name, loaded in (("a", "a"), ("b", "ab"), ("a", "ab"), ("c", "ac"), ("b", "bc")):
        assert server.label(name) == f"{name} r"
        assert server.models.names() == list(loaded)


def test_a_model_that_does_not_fit_alone_is_507(root, start):
    reply = start(root, models_memory_mib=20).ask("colours")
    assert reply.status_code == 507
    assert "KENNEL_MODELS_MEMORY leaves 20 MiB" in reply.json["message"]


def test_a_model_at_work_is_not_unloaded_for_another(tmp_path, start):
    gated = Gated(tmp_path / "models" / "gated")
    gated.open("load")
    bundle(tmp_path / "models" / "other", "b", "g", "r")
    server = start(tmp_path / "models", models_memory_mib=390)  # the program alone counts 368
    asking, answers = in_background(server.ask, "gated", b"x")
    gated.wait_until("answering")
    waiting, labels = in_background(server.label, "other")
    time.sleep(0.3)
    assert server.models.names() == ["gated"]
    gated.open("answer")
    for thread in (asking, waiting):
        thread.join(WAIT_SECONDS)
    assert (answers[0].data, labels) == (b"done", ["r"])
    assert server.models.names() == ["other"]


def test_many_first_requests_load_a_model_once(root, start, caplog):
    caplog.set_level("INFO")
    server = start(root)
    replies = []
    threads = [
        threading.Thread(target=lambda: replies.append(server.label("colours"))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert replies == ["red"] * 12
    assert [record.message for record in caplog.records].count("loaded") == 1


def test_many_requests_for_more_models_than_fit_are_all_answered(tmp_path, start):
    for name in "abcd":
        bundle(tmp_path / "models" / name, f"{name}0", f"{name}1", f"{name}2")
    server = start(tmp_path / "models", models_memory_mib=120)  # three of the four
    wrong = []

    def run(number):
        for step in range(5):
            name = "abcd"[(number * 3 + step) % 4]
            reply = server.ask(name)
            if reply.status_code != 200 or reply.json["predictions"][0]["label"] != f"{name}2":
                wrong.append(reply.json)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert wrong == []
    assert [server.label(name) for name in "abcd"] == ["a2", "b2", "c2", "d2"]
    assert len(server.models.names()) <= 3


def test_a_model_put_there_later_is_found_and_a_damaged_one_says_why(tmp_path, start):
    server = start(tmp_path)
    assert "here are: none" in server.ask("late").json["message"]
    bundle(tmp_path / "late", "b", "g", "r")
    assert server.label("late") == "r"
    (tmp_path / "damaged.tar.gz").write_bytes(b"no archive")
    reply = server.ask("damaged.tar.gz")
    assert reply.status_code == 500
    assert "BundleError" in reply.json["message"]


def test_a_memory_error_of_a_model_unloads_the_others_and_asks_again(root, start):
    """SageMaker does so when an invocation is answered 507; here the model never has enough."""
    server = start(root)
    server.label("colours")
    assert server.ask("program", b"too much").status_code == 507
    assert server.models.names() == ["program"]


def test_unknown_names_leave_nothing_behind(root, start):
    server = start(root)
    for number in range(50):
        server.ask(f"unknown-{number}")
    targets = server.client.application.view_functions["invocations"].__closure__
    (kept,) = [cell.cell_contents for cell in targets if isinstance(cell.cell_contents, Targets)]
    assert not kept._last_used
    assert not kept._in_use
