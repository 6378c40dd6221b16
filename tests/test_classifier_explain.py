"""Heat maps from the exported graphs. The oracle: Grad-CAM by torch's autograd on the network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from explaining import explained, preprocess_of, trained
from training import manifest_for

from classifier.bundle import Bundle
from classifier.explain import EXPLAIN_NAME, Explainer
from classifier.network import Network
from contract.errors import BundleError, ExplainError

LABELS = ("ant", "bee", "cow", "dog")
SIDE = 64
# The module whose output are the maps, as papers and tutorials choose it for each family.
MAPS_OF = {
    "resnet18": "layer4",
    "mobilenet_v3_small": "features",
    "squeezenet1_1": "features",
    "efficientnet_b0": "features",
}


@pytest.fixture(scope="module", params=MAPS_OF)
def case(request, tmp_path_factory):
    """The name of an architecture, a network and its bundle."""
    return request.param, *built(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return built("squeezenet1_1", tmp_path_factory.mktemp("bundle"))[1]


def built(arch, folder):
    network = trained(arch, len(LABELS), SIDE)
    manifest = manifest_for(arch, LABELS, preprocess_of(arch, SIDE))
    return network, explained(network, manifest, folder)


def pictures(count):
    return np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def grad_cam(network, module, pixels, index):
    """Plain Grad-CAM: keep the maps, go back from one logit, weigh, add, keep what is positive."""
    kept = []
    hook = network.trunk.get_submodule(module).register_forward_hook(
        lambda _module, _inputs, maps: kept.append(maps)
    )
    logits = network(torch.from_numpy(pixels[None]))
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[0, index], kept[0])
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * kept[0]).sum(dim=1))[0].detach().numpy()


@pytest.mark.parametrize("index", range(len(LABELS)))
def test_heat_maps_are_those_of_autograd(case, index):
    arch, network, bundle = case
    explainer = Explainer(bundle)
    for pixels in pictures(2):
        expected = grad_cam(network, MAPS_OF[arch], pixels, index)
        got = explainer.heat_map(pixels, index)
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= 1e-3 * max(expected.max(), 1e-6)


def test_no_weights_are_stored_twice(bundle):
    sizes = {path.name: path.stat().st_size for path in bundle.folder.iterdir()}
    added = sum(size for name, size in sizes.items() if name.startswith("explain"))
    assert added < 60_000 < sizes["model.bin"]


def test_a_linear_head_on_pooled_maps_gives_the_class_activation_map(tmp_path):
    maps, head = torch.nn.Conv2d(3, 6, 3, stride=4), torch.nn.Linear(6, len(LABELS))
    trunk = torch.nn.Sequential(maps, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    network = Network(trunk, head, torch.zeros(3), torch.ones(3)).eval()
    manifest = manifest_for("resnet18", LABELS, preprocess_of("resnet18", SIDE))
    explainer = Explainer(explained(network, manifest, tmp_path))
    (pixels,) = pictures(1)
    planes = maps(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)[0]
    for index in range(len(LABELS)):
        weighted = torch.einsum("c,chw->hw", head.weight[index], planes) / planes[0].numel()
        expected = weighted.clamp(min=0).detach().numpy()
        assert np.allclose(explainer.heat_map(pixels, index), expected, atol=1e-5)


def test_a_network_without_maps_near_its_end_says_so_and_still_has_its_bundle(tmp_path):
    trunk = torch.nn.Sequential(torch.nn.Flatten(), *(torch.nn.Linear(48, 48) for _ in range(50)))
    network = Network(trunk, torch.nn.Linear(48, 4), torch.zeros(3), torch.ones(3)).eval()
    manifest = manifest_for("resnet18", LABELS, preprocess_of("resnet18", 4))
    bundle = explained(network, manifest, tmp_path)
    assert list(bundle.manifest.files) == [EXPLAIN_NAME]
    explainer = Explainer(bundle)
    assert "no spatial maps" in explainer.reason()
    with pytest.raises(ExplainError, match="no spatial maps"):
        explainer.heat_map(np.zeros((4, 4, 3), np.uint8), 0)


def test_a_bundle_from_before_explanations_says_so(tmp_path):
    manifest = manifest_for("resnet18", LABELS, preprocess_of("resnet18", SIDE))
    explainer = Explainer(Bundle(folder=tmp_path, manifest=manifest))
    assert "version of Kennel" in explainer.reason()


def test_names_that_do_not_fit_the_graph_are_a_damaged_bundle(bundle, tmp_path):
    for path in bundle.folder.iterdir():
        os.link(path, tmp_path / path.name)
    plan = json.loads((tmp_path / EXPLAIN_NAME).read_text())
    (tmp_path / EXPLAIN_NAME).unlink()
    (tmp_path / EXPLAIN_NAME).write_text(json.dumps({**plan, "maps": "nowhere"}))
    explainer = Explainer(Bundle(folder=tmp_path, manifest=bundle.manifest))
    with pytest.raises(BundleError, match="no maps"):
        explainer.heat_map(pictures(1)[0], 0)


def test_explaining_needs_no_torch(bundle):
    program = (
        "import sys, json, numpy\n"
        "sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from classifier.explain import join_graphs\n"
        "from classifier.openvino_engine import compile_graph\n"
        "folder = Path(sys.argv[1])\n"
        "plan = json.loads((folder / 'explain.json').read_text())\n"
        "graph = compile_graph(join_graphs(folder, plan))\n"
        f"print(graph([numpy.zeros((1, {SIDE}, {SIDE}, 3), 'uint8'), numpy.eye(4)[:1]])[0].ndim)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle.folder)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "3", done.stderr
