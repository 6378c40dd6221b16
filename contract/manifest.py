"""Manifest: bundle.json, the page that says what a bundle holds and how to use it.

A bundle is one folder: bundle.json, model.safetensors, the exported graph (model.xml and
model.bin), probe.png, report.html. bundle.json is written last and names every file with its
digest, so a bundle without it, or with a file that differs, is incomplete.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from contract.errors import BundleError
from contract.files import read_json
from contract.labels import Labels

FORMAT_VERSION = 1
MANIFEST_NAME = "bundle.json"
WEIGHTS_NAME = "model.safetensors"
GRAPH_NAME = "model.xml"
GRAPH_WEIGHTS_NAME = "model.bin"
PROBE_NAME = "probe.png"
REPORT_NAME = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """How a picture becomes the network's input. Normalisation is inside the network."""

    resize_px: int  # the shorter side is scaled to this ...
    crop_px: int  # ... and a centred square of this side is cut out
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if not 1 <= self.crop_px <= self.resize_px <= 8192:
            raise BundleError(
                "preprocess: expected 1 <= crop_px <= resize_px <= 8192, got "
                f"crop_px={self.crop_px}, resize_px={self.resize_px}"
            )
        if self.interpolation not in ("bilinear", "bicubic"):
            raise BundleError(f"preprocess: unknown interpolation {self.interpolation!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A synthetic picture and what training's network answered: recomputed at every load."""

    probabilities: tuple[float, ...]
    tolerance: float = 1e-3  # largest absolute difference of any probability, float32 engines


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What bundle.json holds. Readers refuse unknown names and other format versions."""

    arch: str  # a torchvision builder's name
    labels: tuple[str, ...]
    preprocess: Preprocess
    probe: Probe
    files: dict[str, str]  # name -> sha256
    top_k: int = 5  # labels named in each answer
    metrics: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)  # job, versions, data, seed
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        Labels(self.labels)
        if len(self.probe.probabilities) != len(self.labels):
            raise BundleError(
                f"bundle.json: {len(self.labels)} labels but "
                f"{len(self.probe.probabilities)} probe probabilities"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> "Manifest":
        """Raises BundleError: another format version, a missing name, an unknown name."""
        version = data.get("format_version") if isinstance(data, dict) else None
        if version != FORMAT_VERSION:
            raise BundleError(
                f"bundle.json has format_version {version!r}; this Kennel reads {FORMAT_VERSION}: "
                "serve it with the version that wrote it, or train again"
            )
        try:
            return cls(
                **{
                    **data,
                    "labels": tuple(data["labels"]),
                    "preprocess": Preprocess(**data["preprocess"]),
                    "probe": Probe(
                        **{**data["probe"], "probabilities": tuple(data["probe"]["probabilities"])}
                    ),
                }
            )
        except (KeyError, TypeError) as error:
            raise BundleError(f"bundle.json is not one we know: {error}") from error


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle in `folder`. Raises BundleError."""
    if not (folder / MANIFEST_NAME).is_file():
        raise BundleError(
            f"{folder} holds no {MANIFEST_NAME}: it is not a Kennel bundle, or writing it was "
            "cut short; train again or point to the folder that model.tar.gz unpacks to"
        )
    return Manifest.from_json(read_json(folder / MANIFEST_NAME, BundleError))
