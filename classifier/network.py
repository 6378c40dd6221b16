"""Network: normalisation, trunk and head. uint8 pictures in, logits out; any torchvision builder.

The trunk is the torchvision network without its last linear layer; the head is a new one of the
right size. A frozen trunk's output for a picture never changes, so training may compute it once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision import models

from contract.errors import HyperparameterError
from contract.manifest import Preprocess
from contract.strict import nearest

HeadInit = Literal["he", "xavier"]
# Their pretrained weights want inputs scaled to -1..1, which torchvision hides in a flag that it
# sets only when it loads the weights itself; and they warn unless told to initialise.
_INCEPTIONS = frozenset({"googlenet", "inception_v3"})
_INCEPTION_OPTIONS = {"init_weights": True, "transform_input": True}


def architectures() -> list[str]:
    """Every classification builder that torchvision has."""
    return models.list_models(module=models)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a network expects of its input, from torchvision's weights for it."""

    preprocess: Preprocess
    mean: tuple[float, ...]
    std: tuple[float, ...]


def preset_of(arch: str, image_size: int = 0) -> Preset:
    """Input size, resize, interpolation, mean and std that torchvision states for `arch`.

    Another `image_size` (pixels, 0: the network's own) keeps the ratio of resize to crop.

    Raises HyperparameterError for a name that torchvision does not have.
    """
    known = architectures()
    if arch not in known:
        raise HyperparameterError(
            "arch", arch, "a torchvision classification builder", nearest(arch, known)
        )
    transform = models.get_model_weights(arch).DEFAULT.transforms()
    crop, resize = transform.crop_size[0], transform.resize_size[0]
    side = image_size or crop
    return Preset(
        preprocess=Preprocess(
            crop_px=side,
            resize_px=max(side, round(side * resize / crop)),
            interpolation=transform.interpolation.value,
        ),
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )


class Network(nn.Module):
    """uint8 pictures (N, H, W, 3) to logits (N, K).

    Attributes:
        trunk: (N, 3, H, W) normalised floats to features (N, D).
        head: the linear layer from D features to K logits.
    """

    def __init__(self, trunk: nn.Module, head: nn.Linear, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("std", std.view(1, 3, 1, 1))

    def forward(self, images_NHWC: Tensor) -> Tensor:
        """Logits (N, K) of uint8 pictures (N, H, W, 3)."""
        return self.head(self.features(images_NHWC))

    def features(self, images_NHWC: Tensor) -> Tensor:
        """(N, D) features of uint8 pictures (N, H, W, 3); D is `head.in_features`."""
        # A permuted NHWC tensor *is* channels-last: no copy before the first convolution.
        images_NCHW = images_NHWC.permute(0, 3, 1, 2).to(self.mean.dtype)
        return self.trunk((images_NCHW / 255.0 - self.mean) / self.std)


def build_network(
    arch: str, num_classes: int, *, head_init: HeadInit = "he", image_size: int = 0
) -> Network:
    """A network with random weights, channels-last, in training mode.

    Draws from torch's global generator: seed it first for repeatable weights.

    Raises HyperparameterError for an unknown `arch`, or an `image_size` that it cannot take.
    """
    preset = preset_of(arch, image_size)
    # The preset's size, not the builder's own: vit_h_14 is built for 224 but pretrained at 518.
    trunk, width = split_trunk(_build_torchvision(arch, preset.preprocess.crop_px))
    head = new_head(width, num_classes, head_init)
    network = Network(trunk, head, torch.tensor(preset.mean), torch.tensor(preset.std))
    return network.to(memory_format=torch.channels_last)


def new_head(width: int, num_classes: int, init: HeadInit) -> nn.Linear:
    """A linear layer initialised as He et al. (2015) or Glorot and Bengio (2010), zero bias."""
    head = nn.Linear(width, num_classes)
    if init == "he":
        nn.init.kaiming_normal_(head.weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def split_trunk(model: nn.Module) -> tuple[nn.Module, int]:
    """Turn a torchvision classifier into its trunk, in place; returns it and its width D."""
    if isinstance(model, models.SqueezeNet):
        model.classifier = PooledAndEvidence(model.classifier[1])
        return model, model.classifier.width
    name, last = [
        (name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)
    ][-1]
    parent = model.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], nn.Identity())
    for attribute in ("aux1", "aux2", "AuxLogits"):  # heads that only help pretraining
        if hasattr(model, attribute):
            setattr(model, attribute, None)
    if hasattr(model, "aux_logits"):
        model.aux_logits = False
    return model, last.in_features


class PooledAndEvidence(nn.Module):
    """SqueezeNet's end: pooled features beside the pooled evidence for its pretraining classes.

    SqueezeNet classifies with a convolution, a ReLU and a mean. That evidence is not a linear
    function of the pooled features, so a linear head gains from seeing both.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.width = convolution.in_channels + convolution.out_channels

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        """(N, width): means of the maps beside means of the evidence."""
        evidence = torch.relu(self.convolution(maps_NCHW))
        return torch.cat([maps_NCHW.mean((2, 3)), evidence.mean((2, 3))], dim=1)


def load_state(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """`module.load_state_dict` for tensors that come from a file or a plain dict.

    Those have lost the modules' version numbers, without which MNASNet refuses them.
    """
    state = module.state_dict()  # an OrderedDict that carries the versions as an attribute
    state.clear()
    state.update(tensors)
    module.load_state_dict(state)


def freeze(network: Network, unfreeze: str) -> None:
    """Set which parameters learn: the head always; `last-stage` or `all` of the trunk too."""
    network.trunk.requires_grad_(unfreeze == "all")
    if unfreeze == "last-stage":
        for module in _last_stage(network.trunk):
            module.requires_grad_(True)


def set_training(network: Network) -> None:
    """Training mode where parameters learn; frozen modules stay in evaluation mode.

    A frozen batch norm in training mode would still move its running statistics.
    """
    network.train()
    for module in network.trunk.modules():
        parameters = list(module.parameters())
        if not any(parameter.requires_grad for parameter in parameters) and parameters:
            module.eval()


def _build_torchvision(arch: str, image_size: int) -> nn.Module:
    options: dict[str, object] = dict(_INCEPTION_OPTIONS) if arch in _INCEPTIONS else {}
    if arch.startswith(("vit_", "maxvit")):
        key = "image_size" if arch.startswith("vit_") else "input_size"
        options[key] = image_size if key == "image_size" else (image_size, image_size)
    try:
        return models.get_model(arch, weights=None, **options)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise HyperparameterError(
            "image-size", image_size, f"a size that {arch} can take ({error})"
        ) from None


def _last_stage(trunk: nn.Module) -> list[nn.Module]:
    """The modules of the trunk's last stage, family by family."""
    for names in (
        ("layer4",),  # resnet, resnext, wide_resnet
        ("trunk_output.block4",),  # regnet
        ("Mixed_7a", "Mixed_7b", "Mixed_7c"),  # inception_v3
        ("inception5a", "inception5b"),  # googlenet
        ("stage4", "conv5"),  # shufflenet
        ("features.denseblock4", "features.norm5"),  # densenet
        ("encoder.layers.-1", "encoder.ln"),  # vit
        ("blocks.-1", "classifier"),  # maxvit
        ("layers.-4", "layers.-3", "layers.-2", "layers.-1"),  # mnasnet
        ("features.-2", "features.-1", "classifier", "norm"),  # the rest end in a Sequential
    ):
        found = [module for name in names if (module := _lookup(trunk, name)) is not None]
        if found and _lookup(trunk, names[0]) is not None:
            return found
    raise HyperparameterError("unfreeze", "last-stage", "none or all for this arch")


def _lookup(module: nn.Module, path: str) -> nn.Module | None:
    """Submodule by dotted path, where `-1` indexes a container from its end."""
    current: nn.Module | None = module
    for part in path.split("."):
        if current is None:
            return None
        if part.lstrip("-").isdigit():
            children = list(current.children())
            position = int(part)
            current = children[position] if -len(children) <= position < len(children) else None
        else:
            current = getattr(current, part, None)
    return current if isinstance(current, nn.Module) else None
