import math

import pytest
import torch
from torch import nn
from torchvision import models

from classifier.network import (
    PooledAndEvidence,
    architectures,
    build_network,
    freeze,
    load_state,
    new_head,
    preset_of,
    set_training,
)
from contract.architectures import ARCHITECTURES
from contract.errors import HyperparameterError

# Built on torch's meta device, where weights cost nothing. RegNet's builder reads its numbers
# back, which meta tensors have not: its smallest is built for real.
GIANTS = (
    {"densenet161", "densenet169", "densenet201", "convnext_large", "vit_l_16", "vit_l_32"}
    | {"efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "wide_resnet101_2", "resnet152"}
    | {"efficientnet_v2_m", "efficientnet_v2_l", "swin_s", "swin_v2_s", "swin_b", "swin_v2_b"}
    | {"resnext101_32x8d", "resnext101_64x4d"}
)
ON_META = [name for name in architectures() if not name.startswith("regnet") and name not in GIANTS]


def check_network(arch: str, device: str) -> None:
    with torch.device(device):
        network = build_network(arch, 7).eval()
        side = preset_of(arch).preprocess.crop_px
        pictures = torch.zeros(2, side, side, 3, dtype=torch.uint8)
        with torch.inference_mode():
            assert network(pictures).shape == (2, 7)
    assert [type(module) for name, module in network.named_children()][1] is nn.Linear
    assert all(parameter.requires_grad for parameter in network.parameters())
    counts = {}
    for unfreeze in ("none", "last-stage", "all"):
        freeze(network, unfreeze)
        assert network.head.weight.requires_grad
        counts[unfreeze] = sum(p.numel() for p in network.trunk.parameters() if p.requires_grad)
    assert counts["none"] == 0 < counts["last-stage"] < counts["all"]


@pytest.mark.parametrize("arch", ON_META)
def test_every_torchvision_classifier_gets_a_new_head_and_a_last_stage(arch):
    check_network(arch, "meta")


def test_a_regnet_is_built_like_the_others():
    check_network("regnet_y_400mf", "cpu")


@pytest.mark.parametrize("arch", architectures())
def test_the_preset_is_torchvisions(arch):
    theirs = models.get_model_weights(arch).DEFAULT.transforms()
    preset = preset_of(arch)
    ours = preset.preprocess
    assert [ours.crop_px] == theirs.crop_size
    assert [ours.resize_px] == theirs.resize_size
    assert ours.interpolation == theirs.interpolation.value
    assert (list(preset.mean), list(preset.std)) == (list(theirs.mean), list(theirs.std))


def test_another_image_size_keeps_the_ratio_of_resize_to_crop():
    assert preset_of("resnet18", 112).preprocess.resize_px == 128
    assert preset_of("vit_b_16", 64).preprocess.crop_px == 64
    network = build_network("vit_b_16", 2, image_size=64)
    assert network(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).shape == (1, 2)


def test_an_image_size_that_the_network_cannot_take_is_refused():
    with pytest.raises(HyperparameterError, match="'image-size': expected a size that vit_b_16"):
        build_network("vit_b_16", 2, image_size=65)


@pytest.mark.parametrize(("typed", "meant"), [("resnet5O", "resnet50"), ("Resnet18", "resnet18")])
def test_an_unknown_arch_is_refused_with_a_suggestion(typed, meant):
    with pytest.raises(HyperparameterError, match=f"did you mean '{meant}'"):
        build_network(typed, 2)


def test_what_torchvision_lists_beside_classifiers_is_unknown():
    for name in ("fasterrcnn_resnet50_fpn", "fcn_resnet50", "r3d_18", "quantized_resnet18"):
        with pytest.raises(HyperparameterError):
            preset_of(name)


def test_head_initialisation_has_the_variance_of_its_formula():
    torch.manual_seed(0)
    he, xavier = (new_head(500, 400, init).requires_grad_(False) for init in ("he", "xavier"))
    assert float(he.weight.std()) == pytest.approx(math.sqrt(2 / 500), rel=0.01)
    assert float(xavier.weight.std()) == pytest.approx(math.sqrt(2 / (500 + 400)), rel=0.01)
    assert float(xavier.weight.abs().max()) <= math.sqrt(6 / (500 + 400))
    assert not he.bias.any()
    assert not xavier.bias.any()


def test_pictures_are_normalised_inside_the_network():
    torch.manual_seed(0)
    network = build_network("squeezenet1_1", 3, image_size=32).eval()
    pictures = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = ((pictures.float() / 255 - mean) / std).permute(0, 3, 1, 2)
    expected = network.head(network.trunk(normalised))
    assert torch.allclose(network(pictures), expected, atol=1e-5)


def test_the_trunk_is_the_torchvision_network_up_to_its_last_layer():
    torch.manual_seed(0)
    network = build_network("resnet18", 5, image_size=64).eval()
    theirs = models.resnet18(weights=None).eval()
    theirs.fc = network.head
    theirs.load_state_dict(network.trunk.state_dict(), strict=False)
    pixels = torch.rand(2, 3, 64, 64)
    assert torch.allclose(network.head(network.trunk(pixels)), theirs(pixels), atol=1e-5)


def test_squeezenets_features_are_pooled_maps_beside_pooled_evidence():
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 3, 1)
    maps = torch.randn(2, 4, 5, 6)
    got = PooledAndEvidence(convolution)(maps)
    weight, bias = convolution.weight[:, :, 0, 0], convolution.bias
    for picture in range(2):
        flat = maps[picture].reshape(4, 30)
        evidence = (weight @ flat + bias[:, None]).clamp_min(0).mean(dim=1)
        expected = torch.cat([flat.mean(dim=1), evidence])
        assert torch.allclose(got[picture], expected, atol=1e-6)


def test_squeezenet_answers_for_imagenet_from_its_evidence():
    """The second half of its features *is* what torchvision's network answers."""
    torch.manual_seed(0)
    theirs = models.squeezenet1_1(weights=None).eval()
    network = build_network("squeezenet1_1", 2, image_size=64).eval()
    state = {
        name.replace("classifier.1.", "classifier.convolution."): value
        for name, value in theirs.state_dict().items()
    }
    network.trunk.load_state_dict(state)
    pixels = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network.trunk(pixels)[:, 512:], theirs(pixels), atol=1e-5)


@pytest.mark.parametrize("unfreeze", ["none", "last-stage", "all"])
def test_frozen_batch_norms_keep_their_statistics_while_others_learn(unfreeze):
    torch.manual_seed(0)
    network = build_network("resnet18", 2, image_size=32)
    freeze(network, unfreeze)
    set_training(network)
    before = {name: value.clone() for name, value in network.trunk.named_buffers()}
    network(torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8))
    moved = {
        name.split(".")[0]
        for name, value in network.trunk.named_buffers()
        if name.endswith("running_mean") and not torch.equal(value, before[name])
    }
    everything = {"bn1", "layer1", "layer2", "layer3", "layer4"}
    assert moved == {"none": set(), "last-stage": {"layer4"}, "all": everything}[unfreeze]


def test_only_the_dropout_of_a_learning_stage_drops():
    network = build_network("mobilenet_v3_small", 2, image_size=32)
    dropout = next(module for module in network.trunk.modules() if type(module) is nn.Dropout)
    for unfreeze, drops in (("none", False), ("last-stage", True)):
        freeze(network, unfreeze)
        set_training(network)
        assert dropout.training is drops


@pytest.mark.parametrize("arch", ["mnasnet0_5", "shufflenet_v2_x0_5"])
def test_weights_come_back_from_a_plain_dict(arch):
    """MNASNet wants to know the version of its layers, which no file of tensors tells."""
    saved = dict(build_network(arch, 3).state_dict())
    again = build_network(arch, 3)
    load_state(again, saved)
    assert all(torch.equal(value, saved[name]) for name, value in again.state_dict().items())
    with pytest.raises(RuntimeError, match="Missing key"):
        load_state(again, {"mean": saved["mean"]})


def test_the_same_seed_gives_the_same_network():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_network("shufflenet_v2_x0_5", 4).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_known_names_are_those_that_torchvision_has():
    assert list(ARCHITECTURES) == architectures()
