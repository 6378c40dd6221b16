"""TrunkCache: the graphs of a frozen trunk, from an earlier job where there was one."""

import json
import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

import classifier.graph
import classifier.network
import classifier.quantize
from classifier.network import Network
from classifier.trunk_graph import TrunkGraph
from contract.host import chip_name
from train.cache import Cache, Shelf, digest_of, digest_of_code

log = logging.getLogger(__name__)

_XML, _WEIGHTS, _FACTS = digest_of(b"xml"), digest_of(b"weights"), digest_of(b"facts")
Facts = Mapping[str, Any]
_SHARE = 0.2  # of the cache, that one graph may take


def digest_of_trunk(network: Network) -> str:
    """Hexadecimal; of the trunk's weights and of the normalisation, on any device."""
    parts: list[bytes | memoryview] = []
    tensors = {**network.trunk.state_dict(), " mean": network.mean, " std": network.std}
    for name in sorted(tensors):
        value: Tensor = tensors[name].detach().cpu().contiguous()
        parts.append(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        parts.append(memoryview(value.reshape(-1).view(torch.uint8).numpy()))
    return digest_of(*parts).hex()


def versions_of(*names: str) -> dict[str, str]:
    """Of installed packages, for a key."""
    return {name: metadata.version(name) for name in names}


class TrunkCache:
    """The graphs of one frozen trunk."""

    def __init__(
        self, cache: Cache, network: Network, arch: str, crop_px: int, *, threads: int
    ) -> None:
        self._cache, self._network, self._threads = cache, network, threads
        self._arch, self._crop_px = arch, crop_px

    @cached_property
    def digest(self) -> str:
        """Of the weights. Empty where no cache asks for it."""
        return digest_of_trunk(self._network) if self._cache.is_on else ""

    @cached_property
    def f32(self) -> TrunkGraph:
        """The trunk as it is. Its network must not be trained meanwhile."""
        code = digest_of_code(classifier.network, classifier.graph)
        key = self._key("f32", code=code, **versions_of("torch", "torchvision", "openvino"))
        shelf = self._cache.shelf("graph", key)
        found = self._load(shelf, "f32", key)
        if found is not None:
            return found
        device = self._network.mean.device
        graph = TrunkGraph.of(
            self._network.cpu(), self._crop_px, threads=self._threads, recipe=_recipe(key)
        )
        self._network.to(device)
        self._save(shelf, graph, {})
        return graph

    def int8(
        self, calibration: Mapping[str, Any], make: Callable[[str], tuple[TrunkGraph, Facts]]
    ) -> tuple[TrunkGraph, Facts, bool]:
        """The trunk quantised on what `calibration` names: graph, facts, and whether it was kept.

        `make` quantises, given the graph's recipe, and returns graph and facts. Raises as it.
        """
        key = self._key(
            "int8",
            calibration=calibration,
            code=digest_of_code(classifier.network, classifier.graph, classifier.quantize),
            chip=chip_name(),  # whose float32 decides the ranges
            **versions_of("torch", "torchvision", "openvino", "nncf"),
        )
        shelf = self._cache.shelf("graph", key)
        found = self._load(shelf, "int8", key)
        if found is not None:
            return found, self._facts(shelf), True
        graph, facts = make(_recipe(key))
        self._save(shelf, graph, facts)
        return graph, facts, False

    def _key(self, variant: str, **more: Any) -> dict[str, Any] | None:
        if not self._cache.is_on:
            return None
        of_trunk = {"trunk": self.digest, "arch": self._arch, "crop_px": self._crop_px}
        return {"variant": variant, **of_trunk, **more}

    def _load(self, shelf: Shelf, variant: str, key: Mapping[str, Any] | None) -> TrunkGraph | None:
        xml, weights = shelf.get(_XML), shelf.get(_WEIGHTS)
        if xml is None or weights is None or not self._facts(shelf):
            return None
        return TrunkGraph.from_bytes(
            (xml, weights), variant=variant, threads=self._threads, recipe=_recipe(key)
        )

    def _facts(self, shelf: Shelf) -> Facts:
        return json.loads(shelf.get(_FACTS) or b"{}")

    def _save(self, shelf: Shelf, graph: TrunkGraph, facts: Facts) -> None:
        if not shelf.is_on:
            return
        xml, weights = graph.to_bytes()
        if len(weights) > _SHARE * self._cache.limit_bytes:
            return
        shelf.put(_XML, xml)
        shelf.put(_WEIGHTS, weights)
        shelf.put(_FACTS, json.dumps({"kept": True, **facts}).encode())
        shelf.flush()


def _recipe(key: Mapping[str, Any] | None) -> str:
    """Names a graph by everything that it was made of; empty without a cache to ask."""
    return "" if key is None else digest_of(json.dumps(key, sort_keys=True).encode()).hex()
