"""Classifier: a bundle that is loaded, proven and warm."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.bundle import Bundle, read_bundle
from classifier.engine import Engine, choose_engine, load_chosen
from classifier.preprocess import Pixels
from contract.errors import ProbeError
from contract.manifest import Manifest, Preprocess
from contract.prediction import Prediction, predictions_from_rows


class Classifier:
    """uint8 pictures in, Predictions out. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, engine: Engine, why: str = "") -> None:
        self.bundle = bundle
        self.manifest: Manifest = bundle.manifest
        self.labels: tuple[str, ...] = bundle.manifest.labels
        self.preprocess: Preprocess = bundle.manifest.preprocess
        self.top_k: int = bundle.manifest.top_k
        self.engine_name: str = engine.name
        self.device: str = engine.device
        self.variant: str = engine.variant
        self.batch_size: int = engine.batch_size
        self.why = why  # this engine and this variant: one clause
        self._engine = engine

    @classmethod
    def load(
        cls,
        folder: Path,
        engine: str = "auto",
        variant: str = "auto",
        *,
        threads: int = 0,
        lanes: int = 0,
        batch_size: int = 0,
    ) -> "Classifier":
        """Read, verify, load, check the probe and warm up. The first request costs no extra.

        Args:
            engine: `auto`, `openvino` or `torch`.
            variant: `auto`, or one of contract.manifest.VARIANTS.
            threads, lanes, batch_size: as `classifier.engine.load_engine`.

        Raises:
            BundleError: the bundle is incomplete, damaged, or fits no engine here.
            ProbeError: it loads, but no longer computes what training computed.
        """
        bundle = read_bundle(folder)
        choice = choose_engine(bundle, engine, variant)
        loaded = load_chosen(bundle, choice, threads=threads, lanes=lanes, batch_size=batch_size)
        classifier = cls(bundle, loaded, choice.why)
        classifier._check_probe()
        return classifier

    def probabilities(self, images_NHWC: Pixels) -> NDArray[np.float32]:
        """uint8 (N, crop_px, crop_px, 3) to float32 (N, K); rows sum to 1."""
        return self._engine.probabilities(images_NHWC)

    def predict(self, images_NHWC: Pixels) -> list[Prediction]:
        """One Prediction a picture of (N, crop_px, crop_px, 3) uint8."""
        rows = self.probabilities(images_NHWC).tolist()
        return predictions_from_rows(rows, self.labels, self.top_k)

    def _check_probe(self) -> None:
        """Recompute the probe picture; also the warm-up. Raises ProbeError."""
        probe = self.manifest.probe_of(self.variant)
        got = self._engine.probabilities_everywhere(self.bundle.probe_pixels())
        difference = float(np.abs(got - np.array(probe.probabilities, dtype=np.float32)).max())
        if not difference <= probe.tolerance:  # written this way round, NaN is refused
            raise ProbeError(
                f"{self.bundle.folder} does not answer its probe picture as training did: "
                f"a probability differs by {difference:.2g}, allowed is {probe.tolerance:g} "
                f"(engine {self.engine_name}, {self.variant} on {self.device}); the files or the "
                "libraries differ from those that trained it"
            )
