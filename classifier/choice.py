"""Choice: which engine computes a bundle here, in which variant, and why.

The fastest variant whose agreement with the network as trained, and whose accuracy, were measured
within the bundle's tolerance. What this machine lacks is passed over.
"""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from contract.errors import BundleError
from contract.host import chip_name, has_int8_instructions
from contract.manifest import (
    GRAPH_NAME,
    INT8_NAME,
    VARIANTS,
    Manifest,
    Variant,
    VariantName,
)

EngineName = Literal["openvino", "torch"]
ENGINES = ("auto", "openvino", "torch")
# Fastest first, where the bundle was not measured on this chip.
_ON_A_GPU: tuple[tuple[EngineName, VariantName], ...] = (("torch", "half"), ("torch", "f32"))
_ON_A_CPU: tuple[tuple[EngineName, VariantName], ...] = (
    ("openvino", "int8"),
    ("openvino", "bf16"),
    ("openvino", "f32"),
    ("torch", "f32"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this machine and this image can compute with."""

    has_torch: bool
    has_openvino: bool
    has_gpu: bool
    precisions: frozenset[str] = frozenset()  # native ones of the CPU: "int8", "bf16"
    chip: str = ""

    @classmethod
    def here(cls, *, has_gpu: bool = False) -> "Machine":
        """The one that this process runs on; asks openvino, if there is one, for the CPU's."""
        has_openvino = importlib.util.find_spec("openvino") is not None
        precisions = {"int8"} if has_int8_instructions() else set()
        if has_openvino:
            from classifier.openvino_engine import capabilities

            precisions |= {"bf16"} if "BF16" in capabilities() else set()
        return cls(
            has_torch=importlib.util.find_spec("torch") is not None,
            has_openvino=has_openvino,
            has_gpu=has_gpu,
            precisions=frozenset(precisions),
            chip=chip_name(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An engine and a variant of the network."""

    engine: EngineName
    variant: VariantName
    why: str  # one clause
    passed_over: dict[str, str] = field(default_factory=dict)  # faster variant -> why not


def choose(
    manifest: Manifest, machine: Machine, engine: str = "auto", variant: str = "auto"
) -> Choice:
    """The fastest within tolerance, or what `engine` and `variant` pin.

    Raises BundleError: what is pinned is unknown, not in this image, or not in the bundle.
    """
    for value, known in ((engine, ENGINES), (variant, ("auto", *VARIANTS))):
        if value not in known:
            raise BundleError(f"engine {value!r}: expected one of {' | '.join(known)}")
    candidates = [
        (name, kind)
        for name, kind in _by_speed(manifest, machine)
        if engine in ("auto", name) and variant in ("auto", kind)
    ]
    passed_over: dict[str, str] = {}
    fallback: tuple[EngineName, VariantName] | None = None
    for name, kind in candidates:
        reason = _missing(manifest, machine, name, kind)
        if not reason and variant == "auto":
            fallback = fallback or (name, kind)
            reason = _refusal(manifest, machine, kind)
        if not reason:
            why = _why(manifest, machine, kind, is_pinned=variant != "auto")
            return Choice(engine=name, variant=kind, why=why, passed_over=passed_over)
        passed_over[kind] = reason
    if fallback is None:
        raise BundleError(_impossible(engine, variant, passed_over))
    why = f"no variant within tolerance can be computed here: {_listed(passed_over)}"
    return Choice(engine=fallback[0], variant=fallback[1], why=why, passed_over=passed_over)


def has_nvidia_gpu() -> bool:
    """True when a driver shows a device, found without importing torch."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _by_speed(manifest: Manifest, machine: Machine) -> list[tuple[EngineName, VariantName]]:
    """Every engine and variant, fastest first: as measured, where that was on this chip."""
    on_cpu = list(_ON_A_CPU)
    measured = {
        item.name: item.images_per_second
        for item in manifest.variants
        if item.chip == machine.chip and machine.chip
    }
    if all(kind in measured for name, kind in on_cpu if kind in _names(manifest)):
        on_cpu.sort(key=lambda item: (item[0] == "torch", -measured.get(item[1], 0.0)))
    return [*(_ON_A_GPU if machine.has_gpu else ()), *on_cpu]


def _names(manifest: Manifest) -> set[str]:
    return {item.name for item in manifest.variants}


def _missing(manifest: Manifest, machine: Machine, engine: str, kind: str) -> str:
    """What it would take to compute this; empty when all is there."""
    if engine == "torch" and not machine.has_torch:
        return "torch is not in this image"
    if engine == "openvino":
        name = INT8_NAME if kind == "int8" else GRAPH_NAME
        if name not in manifest.files:
            return f"the bundle has no {name}"
        if not machine.has_openvino:
            return "openvino is not installed"
        if kind == "bf16" and "bf16" not in machine.precisions:
            return "this chip has no bf16"
    return ""


def _refusal(manifest: Manifest, machine: Machine, kind: VariantName) -> str:
    """Why this variant is not taken unasked."""
    variant = manifest.variant(kind)
    if variant is None:
        is_trained = kind == manifest.trained
        return "" if is_trained else "not measured when the bundle was written"
    if kind == "int8" and manifest.trained != "int8" and "int8" not in machine.precisions:
        return "this chip has no instructions for int8"
    return manifest.refusal(variant)


def _why(manifest: Manifest, machine: Machine, kind: VariantName, *, is_pinned: bool) -> str:
    variant = manifest.variant(kind)
    how = "pinned" if is_pinned else "the fastest within tolerance"
    if variant is None:
        return f"{how}; the bundle holds no measurements of it"
    facts = (
        f"{how}: agrees with the network as trained on {variant.agreement:.1%} of "
        f"{variant.num_pictures} pictures, accuracy {variant.accuracy:.3f}"
    )
    others = [_speed(item) for item in manifest.variants if item.name != kind]
    where = "here" if variant.chip == machine.chip else f"on {variant.chip}"
    against = f" against {', '.join(others)}" if others else ""
    return f"{facts}; {_speed(variant)}{against} pictures/s {where}"


def _speed(variant: Variant) -> str:
    return f"{variant.name} {variant.images_per_second:.0f}"


def _listed(reasons: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


def _impossible(engine: str, variant: str, reasons: dict[str, str]) -> str:
    asked = " ".join(name for name in (engine, variant) if name != "auto") or "any engine"
    return f"engine {asked!r}: {_listed(reasons) or 'there is no such pair'}; use auto"
