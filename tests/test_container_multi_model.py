"""Multi-model endpoints in the serving images: hardened, short of memory, and as AWS tests them."""

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from containers import (
    HARDENED,
    WAIT_SECONDS,
    Container,
    build_images,
    container,
    mount,
    open_to_all,
)
from multi_model import write_program
from serving import colour_bundle, picture

pytestmark = pytest.mark.container

MULTI = "--env=SAGEMAKER_MULTI_MODEL=true"
SERVING = ("serve", "serve-cpu")
MEMORY_MB = 512
MOST_MODELS = 40
# Inside a container without network, somebody in it must ask.
ASK = """
import json, sys, urllib.error, urllib.request
for method, path, body in json.loads(sys.argv[1]):
    data = body.encode("latin-1") if body else None
    request = urllib.request.Request("http://127.0.0.1:8080" + path, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            print(json.dumps([reply.status, json.load(reply)]))
    except urllib.error.HTTPError as error:
        print(json.dumps([error.code, json.load(error)]))
"""


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    build_images()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """/opt/ml/models: a bundle and a program, each in the folder of its hash."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(colour_bundle(), folder / "1f" / "model")
    write_program(folder / "2e" / "model")
    return open_to_all(folder)


def call(running: Container, method: str, path: str, body: bytes | None = None) -> tuple[int, dict]:
    """Status and JSON; every body of these routes must be JSON."""
    url = f"http://127.0.0.1:{running.port}{path}"
    request = urllib.request.Request(url, body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def load(running: Container, name: str, url: str) -> tuple[int, dict]:
    body = json.dumps({"model_name": name, "url": url}).encode()
    return call(running, "POST", "/models", body)


@pytest.mark.parametrize("target", SERVING)
def test_every_route_works_hardened_on_a_read_only_mount(target, models):
    picture_text = picture("green").decode("latin-1")
    asked = [
        ("GET", "/ping", ""),
        ("GET", "/models", ""),
        ("POST", "/models", '{"model_name": "1f", "url": "/opt/ml/models/1f/model"}'),
        ("POST", "/models", '{"model_name": "2e", "url": "/opt/ml/models/2e/model"}'),
        ("GET", "/models?limit=1", ""),
        ("POST", "/models/1f/invoke", picture_text),
        ("POST", "/models/2e/invoke", "x"),
        ("DELETE", "/models/1f", ""),
        ("DELETE", "/models/2e", ""),
        ("GET", "/models/1f", ""),
        ("GET", "/execution-parameters", ""),
    ]
    options = (*HARDENED, MULTI, mount(models, "/opt/ml/models", "ro"))
    with container(f"kennel-{target}", "serve", options=options, published=False) as running:
        running.wait_until(lambda: "Booting worker" in running.log(), "the server does not start")
        lines = running.execute("python", "-c", ASK, json.dumps(asked)).splitlines()
        replies = [json.loads(line) for line in lines]
        assert running.stop() == 0
    statuses = [status for status, _ in replies]
    assert statuses == [200] * 9 + [404, 200], replies
    assert replies[1][1] == {"models": []}
    assert replies[4][1]["models"] == [{"modelName": "1f", "modelUrl": "/opt/ml/models/1f/model"}]
    assert replies[5][1]["predictions"][0]["label"] == "green"
    assert replies[6][1] == ["model", "model helper", "model late_helper"]


def test_a_full_container_answers_507_and_goes_on_with_what_it_has(models):
    """The container's own memory limit is the budget, and nothing is killed for it."""
    options = (f"--memory={MEMORY_MB}m", MULTI, mount(models, "/opt/ml/models", "ro"))
    with container("kennel-serve-cpu", "serve", options=options) as running:
        running.wait_until_ready()
        statuses = []
        while len(statuses) < MOST_MODELS and 507 not in statuses:
            number = len(statuses)
            statuses.append(load(running, f"m{number}", "/opt/ml/models/2e/model")[0])
        assert statuses[-1] == 507
        loaded = len(statuses) - 1
        assert statuses[:loaded] == [200] * loaded
        assert loaded >= 1
        for number in range(loaded):
            assert call(running, "POST", f"/models/m{number}/invoke", b"x")[0] == 200
        # As the platform does: unload what is not needed until there is room.
        while load(running, "next", "/opt/ml/models/2e/model")[0] == 507:
            loaded -= 1
            assert call(running, "DELETE", f"/models/m{loaded}")[0] == 200
        assert running.ask("/ping")[0] == 200
        assert running.stop() == 0


@pytest.fixture(scope="module")
def torchscript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as AWS's tests mount it: TorchScript, the archive of it, and code/inference.py."""
    import torch

    folder = tmp_path_factory.mktemp("torchscript")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval()
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 8, 8)), folder / "traced.pt")
    (folder / "traced.tar.gz").write_bytes(b"what traced.pt was unpacked from")
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(
        "import io, json\n"
        "import torchvision.transforms as transforms\n"
        "from PIL import Image\n"
        "def transform_fn(model, payload, content_type, accept):\n"
        "    if content_type != 'application/octet-stream': raise RuntimeError(content_type)\n"
        "    steps = transforms.Compose([transforms.Resize((8, 8)), transforms.ToTensor()])\n"
        "    rows = model(steps(Image.open(io.BytesIO(payload))).unsqueeze(0))\n"
        "    return json.dumps(rows[0].tolist()), 'application/json'\n"
    )
    return open_to_all(folder)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # torch.jit, still what AWS's server takes
def test_the_steps_of_awss_own_multi_model_tests(torchscript):
    options = (MULTI, mount(torchscript, "/first"), mount(torchscript, "/second"))
    with container("kennel-serve", "serve", options=options) as running:
        running.wait_until_ready()
        assert call(running, "GET", "/models") == (200, {"models": []})
        for name in ("first", "second"):
            code, content = load(running, name, f"/{name}")
            assert (code, content["status"]) == (
                200,
                f'Model "{name}" Version: 1.0 registered with 1 initial workers',
            )
        entries = [{"modelName": name, "modelUrl": f"/{name}"} for name in ("first", "second")]
        assert call(running, "GET", "/models")[1]["models"] == entries
        unloaded = call(running, "DELETE", "/models/first")
        assert unloaded == (200, {"status": 'Model "first" unregistered'})
        assert call(running, "GET", "/models")[1]["models"] == entries[1:]
        assert load(running, "banana", "/banana")[0] == 404
        assert call(running, "DELETE", "/models/first")[0] == 404
        assert load(running, "second", "second")[0] == 409
        assert load(running, "first", "/first")[0] == 200
        for name in ("first", "second"):
            path = f"/models/{name}/invoke"
            status, body = running.ask(path, picture(), "application/octet-stream")
            assert (status, len(json.loads(body))) == (200, 10)
