"""Export of explanations: the gradient behind a heat map as a graph. Training's side only.

Grad-CAM needs the gradient of one logit by the last spatial maps. torch traces it once; what
serves has no torch.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from classifier.explain import (
    EXPLAIN_GRAPH_NAME,
    EXPLAIN_NAME,
    EXPLAIN_WEIGHTS_NAME,
    MAPS,
    TARGET,
    join_graphs,
)
from classifier.graph import convert, save_graph
from classifier.network import Network
from classifier.openvino_engine import compile_graph, import_openvino, read_graph
from classifier.preprocess import Pixels
from classifier.tail import Tail, find_tail
from contract.errors import BundleError, ExplainError
from contract.files import write_json
from contract.manifest import GRAPH_NAME

TOLERANCE = 1e-3  # of the largest value of a heat map, between torch and the graph
_SMALL_BYTES = 1_000_000  # weights that model.xml does not have in the same form are copied

aten = torch.ops.aten


def write_explanation(network: Network, pixels: Pixels, folder: Path) -> dict[str, Path]:
    """Write what `classifier.explain` reads beside the graph in `folder`; name -> file.

    A network that cannot be explained gets a file that says why, and nothing fails.

    Args:
        network: on the CPU, in evaluation mode, as `folder`/model.xml computes it.
        pixels: the probe picture, uint8 (1, H, W, 3).
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():  # there must be a gradient
            plan = _write_graph(network, pixels, folder)
        names = [EXPLAIN_NAME, EXPLAIN_GRAPH_NAME, EXPLAIN_WEIGHTS_NAME]
    except (ExplainError, BundleError) as error:
        plan, names = {"reason": str(error)}, [EXPLAIN_NAME]
    write_json(folder / EXPLAIN_NAME, plan)
    return {name: folder / name for name in names}


def heat_map(tail: Tail, maps_NCHW: Tensor, target_NK: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Grad-CAM, (1, h, w): the maps weighted by their mean gradients, and only what speaks for it.

    Source: Selvaraju et al., "Grad-CAM", 2017, equations 1 and 2.
    """
    _, pull_back = torch.func.vjp(lambda maps: tail(maps, weights), maps_NCHW)
    (gradient,) = pull_back(target_NK)
    return torch.relu((gradient.mean((2, 3), keepdim=True) * maps_NCHW).sum(1))


def _write_graph(network: Network, pixels: Pixels, folder: Path) -> dict[str, Any]:
    tail = find_tail(network, torch.from_numpy(pixels))
    target = torch.nn.functional.one_hot(tail.logits.argmax(1), tail.logits.shape[1]).float()
    graph = _trace(tail, target)
    network_graph = read_graph(folder / GRAPH_NAME)
    plan = {
        MAPS: _find_maps(network_graph, pixels, tail.maps.numpy()),
        "weights": _link_weights(graph, network_graph, tail),
    }
    save_graph(graph, folder / EXPLAIN_GRAPH_NAME)
    expected = heat_map(tail, tail.maps, target, tail.constants).detach().numpy()
    got = compile_graph(join_graphs(folder, plan))([pixels, target.numpy()])[0]
    if not np.abs(got - expected).max() <= TOLERANCE * max(1e-3, expected.max()):
        raise ExplainError("the exported gradient is not the one that torch computes")
    return plan


def _trace(tail: Tail, target_NK: Tensor) -> Any:
    """An openvino.Model of `heat_map` whose inputs are maps, target and weight0, weight1, ..."""
    inputs = (tail.maps, target_NK, *tail.constants)
    import_openvino()  # before anything else of it: nothing may call home
    from openvino.frontend import OpConversionFailure

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, about values that are constants
            traced = make_fx(
                torch.func.functionalize(
                    lambda maps, target, *weights: heat_map(tail, maps, target, weights),
                    remove="mutations",
                ),
                decomposition_table=_decompositions(),
            )(*inputs)
            traced.graph.eliminate_dead_code()  # the logits themselves
            traced.recompile()
            graph = convert(traced, inputs)
    # What torch and OpenVINO raise for operations that they cannot differentiate or convert.
    except (
        OpConversionFailure, RuntimeError, TypeError, ValueError, KeyError, IndexError
    ) as error:  # fmt: skip
        raise ExplainError(f"its end has no exportable gradient: {_first_line(error)}") from error
    names = (MAPS, TARGET, *(f"weight{index}" for index in range(len(tail.constants))))
    for parameter, name in zip(graph.get_parameters(), names, strict=True):
        parameter.set_friendly_name(name)
    return graph


def _find_maps(graph: Any, pixels: Pixels, maps_NCHW: NDArray[np.float32]) -> str:
    """The node of model.xml that gives these maps: found by value, for names are no promise."""
    shape = list(maps_NCHW.shape[1:])
    names = [
        node.get_friendly_name()
        for node in graph.get_ordered_ops()
        if node.get_output_size() == 1
        and node.get_type_name() not in ("Constant", "Parameter", "Result")
        and node.output(0).partial_shape.rank == 4
        and [str(size) for size in list(node.output(0).partial_shape)[1:]] == list(map(str, shape))
    ]
    watched = graph.clone()
    watched.add_outputs([(name, 0) for name in names])
    results = compile_graph(watched)([pixels])
    scale = max(1e-6, float(np.abs(maps_NCHW).max()))
    first = len(graph.outputs)
    for index in reversed(range(len(names))):
        if np.abs(results[first + index] - maps_NCHW).max() <= 1e-4 * scale:
            return names[index]
    raise ExplainError("the exported graph has no node with the network's last spatial maps")


def _link_weights(graph: Any, network_graph: Any, tail: Tail) -> dict[str, str]:
    """Which constant of model.xml each weight is; what it lacks becomes a constant of `graph`."""
    constants = [node for node in network_graph.get_ops() if node.get_type_name() == "Constant"]
    links: dict[str, str] = {}
    for parameter in graph.get_parameters()[2:]:
        name = parameter.get_friendly_name()
        places = parameter.output(0).get_target_inputs()
        if places:  # a bias, say, has no part in a gradient
            value = tail.constants[int(name.removeprefix("weight"))].detach().numpy()
            same = [node for node in constants if _is_same(node, value)]
            if same:
                links[name] = same[0].get_friendly_name()
                continue
            if value.nbytes > _SMALL_BYTES:
                raise ExplainError("the exported graph holds its weights in another form")
            copied = import_openvino().opset13.constant(value)
            for place in places:
                place.replace_source_output(copied.output(0))
        graph.remove_parameter(parameter)
    return links


def _is_same(constant: Any, value: NDArray[np.float32]) -> bool:
    if list(constant.shape) != list(value.shape) or constant.get_byte_size() != value.nbytes:
        return False
    return np.array_equal(constant.data, value)


def _decompositions() -> dict[Any, Any]:
    """How to write operations that OpenVINO does not know with those that it does."""
    more = (
        aten.native_layer_norm,
        aten.native_batch_norm,
        aten._native_batch_norm_legit_no_training,
    )
    own = {
        aten.convolution_backward.default: _convolution_backward,
        aten._to_copy.default: _to_copy,
    }
    return {**core_aten_decompositions(), **get_decompositions(more), **own}


def _convolution_backward(
    gradient: Tensor, maps: Tensor, weight: Tensor, _bias_sizes: Any, *geometry: Any
) -> tuple[Tensor, None, None]:
    """The gradient by the input alone: the transposed convolution."""
    stride, padding, dilation, _transposed, _output_padding, groups, _mask = geometry
    extra = [
        maps.shape[2 + axis]
        - (gradient.shape[2 + axis] - 1) * stride[axis]
        + 2 * padding[axis]
        - dilation[axis] * (weight.shape[2 + axis] - 1)
        - 1
        for axis in range(2)
    ]
    by_input = aten.convolution.default(
        gradient, weight, None, stride, padding, dilation, True, extra, groups
    )
    return by_input, None, None


def _to_copy(tensor: Tensor, **options: Any) -> Tensor:
    """A change of nothing: everything here is float32 on the CPU."""
    if options.get("dtype") not in (None, tensor.dtype):
        raise RuntimeError(f"a change from {tensor.dtype} to {options['dtype']}")
    return tensor


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
