"""The serving images where the platform is tight: serverless, a quarter of a CPU, shared hosts."""

import io
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from containers import (
    Container,
    build_images,
    container,
    inspect,
    mount,
    open_to_all,
)
from PIL import Image
from random_bundles import random_bundle
from serving import colour_bundle, picture

pytestmark = pytest.mark.container

SERVING = ("serve", "serve-cpu")
PAYLOAD_MB = 4
# A user without a name or a home, no rights, nothing writable but /tmp, no /dev/shm at all.
SERVERLESS = (
    "--read-only",
    "--tmpfs=/tmp:size=64m",
    "--user=993:990",
    "--ipc=none",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    f"--env=SAGEMAKER_MAX_PAYLOAD_IN_MB={PAYLOAD_MB}",
    "--env=NVIDIA_VISIBLE_DEVICES=void",
)
ASK_INSIDE = (
    "import sys, urllib.request as u; "
    "print(u.urlopen('http://127.0.0.1:' + sys.argv[1] + '/ping', timeout=30).status)"
)


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    build_images()


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(colour_bundle(), tmp_path_factory)


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(random_bundle("resnet50"), tmp_path_factory)


def copied(bundle: Path, factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("platform")
    for path in bundle.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return open_to_all(folder)


def bitmap(side: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), (10, 220, 30)).save(data, "BMP")
    return data.getvalue()


def photograph(width: int, height: int) -> bytes:
    """A large JPEG; decoded, it takes 3 x width x height bytes."""
    coarse = np.random.default_rng(0).integers(0, 255, (height // 16, width // 16, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(data, "JPEG", quality=85)
    return data.getvalue()


def model(folder: Path) -> str:
    return mount(folder, "/opt/ml/model", "ro")


def ask_at_once(running: Container, data: bytes, requests: int, clients: int) -> Counter[int]:
    with ThreadPoolExecutor(clients) as pool:
        replies = pool.map(lambda _: running.ask("/invocations", data)[0], range(requests))
        return Counter(replies)


def label(reply: tuple[int, bytes]) -> str:
    assert reply[0] == 200, reply
    return str(json.loads(reply[1])["predictions"][0]["label"])


@pytest.mark.parametrize("target", SERVING)
def test_a_serverless_endpoint_works_without_root_disk_or_shared_memory(target, colours):
    """Ready within the three minutes that it has: `wait_until_ready` waits for two."""
    options = (*SERVERLESS, "--memory=1g", "--cpus=1", model(colours))
    with container(f"kennel-{target}", "serve", options=options) as running:
        running.wait_until_ready()
        assert label(running.ask("/invocations", picture("red"))) == "red"
        assert label(running.ask("/invocations", bitmap(1150))) == "green"  # 3.97 MB
        status, body = running.ask("/invocations", bitmap(1200))  # 4.3 MB
        assert (status, json.loads(body)["error"]) == (413, "RequestEntityTooLarge")
        assert ask_at_once(running, picture("red"), 60, 20) == {200: 60}
        assert running.stop() == 0
        for trouble in ("Traceback", "Permission denied", "Read-only", "warning"):
            assert trouble not in running.log()


def test_the_smallest_serverless_memory_holds_a_resnet50_under_large_pictures(resnet50):
    """1 GB, and each picture of 12 million pixels takes 36 MB when it is decoded."""
    options = (*SERVERLESS, "--memory=1g", "--memory-swap=1g", "--cpus=1", model(resnet50))
    with container("kennel-serve-cpu", "serve", options=options) as running:
        running.wait_until_ready()
        statuses = ask_at_once(running, photograph(4000, 3000), 60, 30)
        assert set(statuses) <= {200, 503}, statuses
        assert statuses[200] >= 10
        assert running.ask("/ping")[0] == 200
        state = inspect(running.identity)["State"]
        assert not state["OOMKilled"]
        assert "SIGKILL" not in running.log()  # nor was a process of it
        assert running.stop() == 0


def test_a_quarter_of_a_cpu_and_little_memory_will_do(colours):
    """The least that an inference component may ask for, 0.25 CPUs; memory as serve-cpu needs."""
    options = ("--cpus=0.25", "--memory=192m", "--memory-swap=192m", model(colours))
    with container("kennel-serve-cpu", "serve", options=options) as running:
        running.wait_until_ready()
        assert label(running.ask("/invocations", picture("blue"))) == "blue"
        assert '"cpus": 1' in running.log()
        assert running.stop() == 0


def test_a_tiny_dev_shm_is_enough(colours):
    options = ("--shm-size=64k", "--memory=1g", model(colours))
    with container("kennel-serve-cpu", "serve", options=options) as running:
        running.wait_until_ready()
        assert ask_at_once(running, picture("red"), 40, 16) == {200: 40}
        assert running.stop() == 0


def test_containers_of_one_endpoint_share_a_network_and_keep_to_their_ports(colours):
    """SageMaker gives each its port; addresses and the rest of the network are common."""
    shared = ("--env=SAGEMAKER_SAFE_PORT_RANGE=25000-25999", model(colours))
    with container("kennel-serve-cpu", "serve", options=shared) as first:
        first.wait_until_ready()
        network = (f"--network=container:{first.identity}", "--env=SAGEMAKER_BIND_TO_PORT=15002")
        options = (*shared, *network)
        with container("kennel-serve-cpu", "serve", options=options, published=False) as second:
            second.wait_until(lambda: '"ready"' in second.log(), "the second is not ready")
            for port in ("8080", "15002"):
                assert first.execute("python", "-c", ASK_INSIDE, port) == "200\n"
            assert second.stop() == 0
        assert label(first.ask("/invocations", picture("green"))) == "green"
        taken = (*shared, f"--network=container:{first.identity}")
        with container("kennel-serve-cpu", "serve", options=taken, published=False) as third:
            assert third.wait() == 1
            assert "cannot listen on 0.0.0.0:8080" in third.log()
