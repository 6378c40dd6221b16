"""Graph: a torch network as OpenVINO IR, whole, or its trunk alone with a head put on later."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from classifier.network import Network
from classifier.openvino_engine import import_openvino
from contract.files import cannot_write


class _Probabilities(nn.Module):
    """The served function: uint8 (N, H, W, 3) to probabilities (N, K)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_NHWC: Tensor) -> Tensor:
        return self.network(images_NHWC).softmax(dim=1)


class _Features(nn.Module):
    """uint8 (N, H, W, 3) to the trunk's features (N, D)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_NHWC: Tensor) -> Tensor:
        return self.network.features(images_NHWC)


def trace_network(network: Network, crop_px: int) -> Any:
    """An openvino.Model: uint8 (N, H, W, 3) to probabilities (N, K), float32, any batch size."""
    return _trace(_Probabilities(network), crop_px)


def trace_trunk(network: Network, crop_px: int) -> Any:
    """An openvino.Model: uint8 (N, H, W, 3) to features (N, D), float32, any batch size."""
    return _trace(_Features(network), crop_px)


def add_head(trunk: Any, weight_KD: NDArray[np.float32], bias_K: NDArray[np.float32]) -> Any:
    """`trunk` followed by a linear layer and a softmax, in float32; `trunk` stays as it is."""
    openvino = import_openvino()
    from openvino import opset13 as ops

    whole = trunk.clone()
    features = whole.outputs[0].get_node().input_value(0)
    logits = ops.add(
        ops.matmul(features, ops.constant(weight_KD), False, True), ops.constant(bias_K)
    )
    return openvino.Model([ops.softmax(logits, axis=1)], whole.get_parameters(), "classifier")


def save_graph(graph: Any, path: Path) -> None:
    """Write IR: `path` and, beside it, the weights as .bin, as they are: no float16.

    float16 storage would move probabilities past the probe's tolerance on deep networks.

    Raises HostError: the folder is not writable or the disk is full.
    """
    try:
        import_openvino().save_model(graph, str(path), compress_to_fp16=False)
    except RuntimeError as error:  # what it raises for a failed write
        raise cannot_write(path, error) from error


def _trace(module: nn.Module, crop_px: int) -> Any:
    example = torch.zeros(2, crop_px, crop_px, 3, dtype=torch.uint8)
    # Inference mode: without it the tracer finds that vit_b_32 differs from call to call.
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns about every Python `if` in torchvision
        return convert(module.eval(), example, input=[-1, crop_px, crop_px, 3])


def convert(module: nn.Module, example: Any, **words: Any) -> Any:
    """`openvino.convert_model`; the process's logging is afterwards as it was, also after an error.

    OpenVINO puts the level back only when all went well: no warning of ours would be seen again.
    """
    openvino = import_openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    root = logging.getLogger()
    before = root.level, root.filters[:], root.handlers[:]
    levels = [handler.level for handler in before[2]]
    try:
        # Answers are compared elsewhere; torch's own check, tracing once more, takes longer than
        # all the rest.
        decoder = TorchScriptPythonDecoder(
            module, example_input=example, trace_kwargs={"check_trace": False}
        )
        return openvino.convert_model(decoder, **words)
    finally:
        root.setLevel(before[0])
        root.filters[:], root.handlers[:] = before[1:]
        for handler, level in zip(before[2], levels, strict=True):
            handler.setLevel(level)
