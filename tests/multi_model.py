"""For the tests of a multi-model server: one in this process, and programs to load into it."""

import json
import textwrap
import threading
import time
from pathlib import Path

from serve.memory import MIB, MemoryBudget
from serve.models import Models
from serve.multi import create_multi_app
from serve.settings import ServeSettings

WAIT_SECONDS = 60
MULTI = {"SAGEMAKER_MULTI_MODEL": "true"}
# Files of a program: its helper is imported at once and, by the same name as others', later.
PROGRAM = """
    import helper
    def model_fn(model_dir): return {name!r}
    def transform_fn(model, data, content_type, accept, context):
        import late_helper
        if data == b"crash":
            import os
            os._exit(7)
        if data == b"too much": return bytearray(1 << 62)
        if data == b"raise": raise ValueError("no good")
        return [model, helper.NAME, late_helper.NAME]
"""


class Multi:
    """A multi-model server in this process, and its client."""

    def __init__(self, **settings):
        chosen = ServeSettings(multi_model=True, **settings)
        budget = MemoryBudget(chosen.models_memory_mib * MIB)
        self.models = Models(chosen, 2, budget)
        self.client = create_multi_app(self.models, chosen).test_client()

    def load(self, name, url):
        return self.client.post("/models", json={"model_name": name, "url": str(url)})

    def invoke(self, name, data, **options):
        return self.client.post(f"/models/{name}/invoke", data=data, **options)

    def unload(self, name):
        return self.client.delete(f"/models/{name}")

    def names(self, query=""):
        return [item["modelName"] for item in self.client.get(f"/models{query}").json["models"]]


def load(process, name, folder):
    data = json.dumps({"model_name": name, "url": str(folder)}).encode()
    return process.get("/models", data=data)


def unload(process, name):
    return process.get(f"/models/{name}", method="DELETE")


def invoke(process, name, data, kind="image/png"):
    return process.get(f"/models/{name}/invoke", data=data, headers={"Content-Type": kind})


def children_of(pid):
    """Of all its threads: the one that started a process is the one that has it."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(text) for file in files for text in file.read_text().split()]


def resident_mb(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def write_program(folder):
    """A model folder in AWS's layout; its modules have everybody's names and their own values."""
    code = folder / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(textwrap.dedent(PROGRAM).format(name=folder.name))
    for module in ("helper", "late_helper"):
        (code / f"{module}.py").write_text(f"NAME = '{folder.name} {module}'\n")
    return folder


class Gated:
    """A program whose loading, or answering, waits for a file that the test makes."""

    SOURCE = """
        import os, time
        def model_fn(model_dir):
            wait("load")
            return model_dir
        def transform_fn(model, data, content_type, accept):
            wait("answer")
            return b"done"
        def wait(name):
            here = os.path.dirname(__file__)
            open(os.path.join(here, name + "ing"), "w").close()
            while not os.path.exists(os.path.join(here, name)): time.sleep(0.01)
    """

    def __init__(self, folder):
        self.folder, self.code = folder, folder / "code"
        self.code.mkdir(parents=True)
        (self.code / "inference.py").write_text(textwrap.dedent(self.SOURCE))

    def open(self, name):
        (self.code / name).touch()

    def wait_until(self, name):
        deadline = time.monotonic() + WAIT_SECONDS
        while not (self.code / name).exists():
            assert time.monotonic() < deadline, name
            time.sleep(0.01)


def in_background(function, *arguments):
    """The thread, and a list that will hold what it returned."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)))
    thread.start()
    return thread, results
