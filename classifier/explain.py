"""Explain: Grad-CAM heat maps from a bundle's graphs. No torch: training traced the gradient.

explain.xml computes, from the last spatial maps of the network and one class, where in the
picture that class comes from. It has no weights: explain.json says by name which nodes of
model.xml give the maps and the weights, and here the two become one graph.

Source: Selvaraju et al., "Grad-CAM", 2017, equations 1 and 2.
"""

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.bundle import Bundle
from classifier.openvino_engine import compile_graph, import_openvino, read_graph
from classifier.preprocess import Pixels
from contract.errors import BundleError, ExplainError
from contract.files import read_json
from contract.manifest import GRAPH_NAME

EXPLAIN_NAME = "explain.json"
EXPLAIN_GRAPH_NAME = "explain.xml"
EXPLAIN_WEIGHTS_NAME = "explain.bin"
MAPS, TARGET = "maps", "target"  # inputs of explain.xml; the others are weights


class Explainer:
    """Heat maps of one bundle. Thread-safe; what computes them is made at the first."""

    def __init__(self, bundle: Bundle, threads: int = 0) -> None:
        """Cheap. `threads`: processor threads; 0 leaves it to OpenVINO."""
        self._folder, self._files, self._threads = bundle.folder, bundle.manifest.files, threads
        self._num_labels = len(bundle.manifest.labels)
        self._lock = threading.Lock()
        self._compiled: Any = None

    def reason(self) -> str:
        """Why there are no heat maps; empty when there are."""
        if EXPLAIN_NAME not in self._files:
            return "it was exported by a version of Kennel that did not explain"
        return str(self._plan.get("reason", ""))

    def heat_map(self, pixels_HWC: Pixels, label_index: int) -> NDArray[np.float32]:
        """How much each place speaks for the label, (h, w), >= 0; coarse, some 7 x 7 places.

        Raises ExplainError when this network cannot be explained.
        """
        target = np.zeros((1, self._num_labels), dtype=np.float32)
        target[0, label_index] = 1
        request = self._graph().create_infer_request()
        result = request.infer([np.ascontiguousarray(pixels_HWC)[None], target])
        return np.array(result[0], dtype=np.float32)[0]

    def _graph(self) -> Any:
        with self._lock:  # one compiles, the others wait for it
            if self._compiled is None:
                if reason := self.reason():
                    raise ExplainError(reason)
                self._compiled = compile_graph(
                    join_graphs(self._folder, self._plan), threads=self._threads
                )
            return self._compiled

    @functools.cached_property
    def _plan(self) -> dict[str, Any]:
        plan = read_json(self._folder / EXPLAIN_NAME, BundleError)
        if not isinstance(plan, dict):
            raise BundleError(f"{self._folder / EXPLAIN_NAME}: expected a JSON object")
        return plan


def join_graphs(folder: Path, plan: dict[str, Any]) -> Any:
    """An openvino.Model: uint8 (1, H, W, 3) and a target (1, K) to a heat map (1, h, w)."""
    network, gradient = read_graph(folder / GRAPH_NAME), read_graph(folder / EXPLAIN_GRAPH_NAME)
    nodes = {node.get_friendly_name(): node for node in network.get_ops()}
    names = {MAPS: plan.get(MAPS), **plan.get("weights", {})}
    target = None
    for parameter in gradient.get_parameters():
        name = parameter.get_friendly_name()
        if name == TARGET:
            target = parameter
            continue
        source = nodes.get(names.get(name))
        if source is None:
            raise BundleError(f"{folder}: {EXPLAIN_NAME} does not fit {GRAPH_NAME}: no {name}")
        for place in parameter.output(0).get_target_inputs():
            place.replace_source_output(source.output(0))
    return import_openvino().Model(
        [gradient.get_results()[0]], [network.get_parameters()[0], target], "explain"
    )
