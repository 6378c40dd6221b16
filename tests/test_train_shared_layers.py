"""Layers over several processes compute what one does. float64: no rounding to hide in."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from serving import free_port

from classifier.network import Network, build_network
from train.batches import Batch
from train.group import Group, JoinedGroup
from train.shared_layers import StepShare, share_layers
from train.world import World

SIZE, SIDE = 7, 64
# Batch norm; batch norm with dropout and stochastic depth; nothing of the kind.
ARCHITECTURES = ("resnet18", "efficientnet_b0", "squeezenet1_1")
HOSTS = ("a", "b", "c")


def step(arch: str) -> tuple[Network, torch.Tensor, torch.Tensor]:
    """A network, and the pictures and targets of one step."""
    torch.manual_seed(0)
    network = build_network(arch, 3, image_size=SIDE).double().train()
    pixels = torch.randint(0, 256, (SIZE, SIDE, SIDE, 3), dtype=torch.uint8)
    return network, pixels, torch.randint(0, 3, (SIZE,))


def gradients(network: Network, pixels: torch.Tensor, targets: torch.Tensor) -> dict:
    """Of the mean loss over the whole step."""
    torch.manual_seed(7)
    (F.cross_entropy(network(pixels), targets, reduction="sum") / SIZE).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def one_of_several(rank: int, port: int, places: list[list[int]], path: str) -> None:
    """A process with its share; the first writes what all computed."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=len(places)
    )
    group = JoinedGroup(World(hosts=HOSTS[: len(places)], host_index=rank), lambda: None)
    found = {}
    for arch in ARCHITECTURES:
        network, pixels, targets = step(arch)
        share = StepShare()
        share_layers(network, share)
        ours = torch.tensor(places[rank], dtype=torch.int64)
        share.begin(Batch(pixels[ours], targets[ours], ours, targets))
        gradients(network, pixels[ours], targets[ours])
        group.sum_gradients(network)
        found[arch] = (
            {name: parameter.grad for name, parameter in network.named_parameters()},
            dict(network.named_buffers()),
        )
    if rank == 0:
        torch.save(found, path)
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "places", [[[0, 1, 2], [3, 4, 5, 6]], [[5, 0], [], [6, 1, 2, 3, 4]]], ids=["even", "one empty"]
)
def test_gradients_and_statistics_are_those_of_one_process(tmp_path, places):
    path = str(tmp_path / "found.pt")
    torch.multiprocessing.spawn(
        one_of_several, (free_port(), places, path), nprocs=len(places), join=True
    )
    found = torch.load(path, weights_only=True)
    for arch in ARCHITECTURES:
        network, pixels, targets = step(arch)
        expected = gradients(network, pixels, targets)
        theirs, buffers = found[arch]
        for name, gradient in expected.items():
            scale = float(gradient.norm()) + 1e-9
            assert float((theirs[name] - gradient).norm()) < 1e-9 * max(scale, 1e-3), name
        for name, buffer in network.named_buffers():
            assert torch.allclose(buffers[name].double(), buffer.double(), atol=1e-12), name


def test_evaluation_and_weights_are_untouched():
    network, pixels, _ = step("efficientnet_b0")
    network.eval()
    before, names = network(pixels), list(network.state_dict())
    share_layers(network, StepShare())
    assert torch.equal(network(pixels), before)
    assert list(network.state_dict()) == names


def test_alone_every_operation_is_the_identity():
    group = Group()
    assert group.is_leader
    assert group.gather({"a": 1}) == [{"a": 1}]
    assert (group.share("x"), group.any(False), group.send(b"y")) == ("x", False, b"y")
