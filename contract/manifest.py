"""Manifest: bundle.json, the page that says what a bundle holds and how to use it.

A bundle is one folder: bundle.json, model.safetensors, the exported graph (model.xml and
model.bin), the quantised one (int8.xml and int8.bin), probe.png, report.html. bundle.json is
written last and names every file with its digest, so a bundle without it, or with a file that
differs, is incomplete.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from contract.errors import BundleError
from contract.files import read_json
from contract.labels import Labels

FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)  # 1 had no variants
MANIFEST_NAME = "bundle.json"
WEIGHTS_NAME = "model.safetensors"
GRAPH_NAME = "model.xml"
GRAPH_WEIGHTS_NAME = "model.bin"
INT8_NAME = "int8.xml"
INT8_WEIGHTS_NAME = "int8.bin"
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
    tolerance: float = 1e-3  # largest absolute difference of any probability; f32's


VariantName = Literal["f32", "bf16", "int8", "half"]
VARIANTS: tuple[VariantName, ...] = ("f32", "bf16", "int8", "half")
# On fewer pictures an agreement says little: one flip of 30 is more than 3 %.
FEWEST_PICTURES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way of computing the network, as measured when the bundle was written.

    f32 and bf16 compute model.xml, int8 computes int8.xml, half is float16 on a GPU.
    """

    name: VariantName
    agreement: float  # share of pictures with the top label of the network as trained, 0..1
    accuracy: float  # top-1 on the same validation pictures
    num_pictures: int  # that both were measured on
    images_per_second: float  # on all processors of `chip`
    chip: str
    probe: Probe

    def __post_init__(self) -> None:
        if self.name not in VARIANTS:
            raise BundleError(f"bundle.json: unknown variant {self.name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far from the network as trained a variant may be, to be served unasked."""

    agreement: float = 0.99  # at least
    accuracy: float = 0.01  # at most this much lower


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
    trained: VariantName = "f32"  # the variant that training's own scores belong to
    variants: tuple[Variant, ...] = ()  # empty: f32 alone, not measured
    tolerance: Tolerance = Tolerance()
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        Labels(self.labels)
        for probe in (self.probe, *(variant.probe for variant in self.variants)):
            if len(probe.probabilities) != len(self.labels):
                raise BundleError(
                    f"bundle.json: {len(self.labels)} labels but "
                    f"{len(probe.probabilities)} probe probabilities"
                )

    def variant(self, name: str) -> Variant | None:
        """The measured variant of this name."""
        return next((item for item in self.variants if item.name == name), None)

    def probe_of(self, name: str) -> Probe:
        """What the variant must answer to the probe picture; unmeasured ones as f32."""
        variant = self.variant(name)
        return variant.probe if variant else self.probe

    def refusal(self, variant: Variant) -> str:
        """Why the variant is not within the tolerance; empty when it is."""
        if variant.name == self.trained:
            return ""
        if variant.num_pictures < FEWEST_PICTURES:
            return f"measured on {variant.num_pictures} pictures only"
        if variant.agreement < self.tolerance.agreement:
            return (
                f"its agreement with the network as trained, {variant.agreement:.3f}, is below "
                f"{self.tolerance.agreement:g}"
            )
        trained = self.variant(self.trained)
        lost = trained.accuracy - variant.accuracy if trained else 0.0
        if lost > self.tolerance.accuracy + 1e-9:
            return f"its accuracy is {lost:.3f} lower than as trained"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> "Manifest":
        """Raises BundleError: another format version, a missing name, an unknown name."""
        version = data.get("format_version") if isinstance(data, dict) else None
        if version not in READABLE_VERSIONS:
            raise BundleError(
                f"bundle.json has format_version {version!r}; this Kennel reads "
                f"{' and '.join(map(str, READABLE_VERSIONS))}: serve it with the version that "
                "wrote it, or train again"
            )
        try:
            return cls(
                **{
                    **data,
                    "labels": tuple(data["labels"]),
                    "preprocess": Preprocess(**data["preprocess"]),
                    "probe": _probe(data["probe"]),
                    "variants": tuple(
                        Variant(**{**item, "probe": _probe(item["probe"])})
                        for item in data.get("variants", ())
                    ),
                    "tolerance": Tolerance(**data.get("tolerance", {})),
                }
            )
        except (KeyError, TypeError) as error:
            raise BundleError(f"bundle.json is not one we know: {error}") from error


def _probe(data: dict[str, Any]) -> Probe:
    return Probe(**{**data, "probabilities": tuple(data["probabilities"])})


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle in `folder`. Raises BundleError."""
    if not (folder / MANIFEST_NAME).is_file():
        raise BundleError(
            f"{folder} holds no {MANIFEST_NAME}: it is not a Kennel bundle, or writing it was "
            "cut short; train again or point to the folder that model.tar.gz unpacks to"
        )
    return Manifest.from_json(read_json(folder / MANIFEST_NAME, BundleError))
