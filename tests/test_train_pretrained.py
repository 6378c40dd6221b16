import functools
import hashlib
import http.server
import pickle
import threading
from dataclasses import dataclass, field

import pytest
import torch
from safetensors.torch import save_file
from serving import free_port
from torchvision import models

from classifier.network import build_network
from contract.errors import HostError, WeightsError
from train.pretrained import fetch, fill_trunk, find_weights, load_pretrained, read_weights

ARCH = "squeezenet1_1"
# One of each family: their last layers and their old names differ.
FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "resnet18",
    "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32",
)  # fmt: skip


@pytest.fixture(scope="module")
def weights():
    """What torchvision would give for download, with a classifier of 1,000 labels."""
    torch.manual_seed(7)
    return models.get_model(ARCH, weights=None).state_dict()


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network(ARCH, 3, image_size=32)


def loaded(network, weights):
    """True when the trunk holds exactly those weights."""
    trunk = network.trunk.state_dict()
    names = {name: name.replace("classifier.1.", "classifier.convolution.") for name in weights}
    return all(torch.equal(trunk[names[name]], value) for name, value in weights.items())


WRAPPERS = {
    "plain": lambda weights: weights,
    "state_dict": lambda weights: {"epoch": 3, "state_dict": weights},
    "model": lambda weights: {"model": weights},
    "parallel": lambda weights: {f"module.{name}": value for name, value in weights.items()},
    "lightning": lambda weights: {
        "state_dict": {f"module.{name}": value for name, value in weights.items()}
    },
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_pth_is_read_however_it_is_wrapped(network, weights, tmp_path, wrapper):
    torch.save(WRAPPERS[wrapper](weights), tmp_path / "any.pth")
    head = network.head.weight.detach().clone()
    said = load_pretrained(network, ARCH, tmp_path)
    assert said == "weights from channel pretrained (any.pth)"
    assert loaded(network, weights)
    assert torch.equal(network.head.weight, head)


def test_safetensors_are_read_and_the_channel_may_be_the_file(network, weights, tmp_path):
    save_file(weights, tmp_path / "w.safetensors")
    load_pretrained(network, ARCH, tmp_path / "w.safetensors")
    assert loaded(network, weights)


@pytest.mark.parametrize("arch", FAMILIES)
def test_torchvisions_own_state_dict_fits_in_every_family(arch):
    with torch.device("meta"):
        extra = {"init_weights": False} if arch in ("googlenet", "inception_v3") else {}
        theirs = models.get_model(arch, weights=None, **extra).state_dict()
        fill_trunk(build_network(arch, 3), theirs, "file")


def test_densenets_old_names_are_understood():
    with torch.device("meta"):
        theirs = models.densenet121(weights=None).state_dict()
        old = {}
        for name, value in theirs.items():
            for part in ("norm1", "norm2", "conv1", "conv2"):
                if "denselayer" in name:
                    name = name.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")
            old[name] = value
        assert any("denselayer1.norm.1.weight" in name for name in old)
        fill_trunk(build_network("densenet121", 3), old, "file")


def test_counters_that_old_files_lack_do_not_matter():
    network = build_network("resnet18", 2, image_size=32)
    theirs = models.resnet18(weights=None).state_dict()
    old = {name: value for name, value in theirs.items() if "num_batches" not in name}
    fill_trunk(network, old, "file")
    assert torch.equal(network.trunk.conv1.weight, theirs["conv1.weight"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda w: {**w, "extra.weight": torch.zeros(1)}, r"has unknown extra.weight;"),
        (lambda w: {n: v for n, v in w.items() if "features.0." not in n}, r"lacks features\.0\."),
        (lambda w: {**w, "features.0.bias": torch.zeros(2)}, r"differs in features.0.bias;"),
        (lambda w: models.resnet18(weights=None).state_dict(), r"lacks features.0.weight and \d+"),
    ],
)
def test_weights_of_another_network_are_refused_by_layer(network, weights, change, problem):
    with pytest.raises(WeightsError, match=f"file does not fit this arch: it {problem}") as caught:
        fill_trunk(network, change(weights), "file")
    assert "set arch to the network that the weights belong to" in str(caught.value)


@dataclass
class Trap:
    """Unpickling this would leave a mark."""

    marks: list = field(default_factory=list)

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled')",)


def test_a_whole_pickled_model_is_refused_and_nothing_of_it_runs(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap()))
    torch.save({"a": Trap()}, tmp_path / "zip.pth")
    for path in tmp_path.iterdir():
        with pytest.raises(WeightsError, match=r"save model\.state_dict\(\), not the model") as e:
            read_weights(path)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("data", [b"", b"not weights at all", b"PK\x03\x04 cut", b"\x80\x04."])
def test_damaged_files_are_refused_in_one_line(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match="holds no state dict") as caught:
        read_weights(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {"a": 3}, torch.zeros(2)])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="expected a state dict"):
        read_weights(tmp_path / "w.pth")


def test_among_many_files_the_one_named_after_the_arch_is_taken(tmp_path):
    for name in ("resnet18-f37072fd.pth", "squeezenet1_1.safetensors", ".hidden.pth", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert find_weights(tmp_path, "resnet18").name == "resnet18-f37072fd.pth"
    with pytest.raises(
        WeightsError, match=r"starts with vgg11; found resnet18-f37072fd\.pth, squee"
    ):
        find_weights(tmp_path, "vgg11")


def test_an_empty_channel_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"expected one \.pth or \.safetensors .* found none"):
        find_weights(tmp_path, "resnet18")


@pytest.fixture
def site(tmp_path):
    """A web server on the loopback: its folder and its address."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            """Nothing on stderr."""

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


DATA = b"weights" * 100_000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("name", [f"net-{DIGEST[:8]}.pth", "net.pth"])
def test_a_file_is_fetched_whole_and_checked_by_its_name(site, tmp_path, name):
    folder, address = site
    (folder / name).write_bytes(DATA)
    fetch(f"{address}/{name}", tmp_path / "cache" / name)
    assert (tmp_path / "cache" / name).read_bytes() == DATA


def test_other_bytes_than_the_name_promises_are_thrown_away(site, tmp_path):
    folder, address = site
    name = f"net-{DIGEST[:8]}.pth"
    (folder / name).write_bytes(DATA[:-1])
    with pytest.raises(HostError, match=f"expected a SHA-256 that starts with {DIGEST[:8]}, got "):
        fetch(f"{address}/{name}", tmp_path / "cache" / name)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_file_and_a_closed_port_are_the_hosts_error(site, tmp_path):
    _, address = site
    closed = f"http://127.0.0.1:{free_port()}"
    for url in (f"{address}/none.pth", f"{closed}/net.pth"):
        with pytest.raises(HostError, match="cannot be fetched") as caught:
            fetch(url, tmp_path / "cache" / "net.pth", timeout_seconds=5)
        assert url in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []
