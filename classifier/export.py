"""A trained network to the files of a bundle. Training's side only; needs torch and openvino."""

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from classifier.bundle import Bundle, probe_pixels, write_bundle
from classifier.choice import Choice, Machine
from classifier.engine import load_chosen
from classifier.explain_export import write_explanation
from classifier.graph import save_graph, trace_network
from classifier.measure import Check, is_steady, measure
from classifier.network import Network
from contract.errors import HostError, KennelError
from contract.files import cannot_write, staging
from contract.manifest import (
    GRAPH_NAME,
    GRAPH_WEIGHTS_NAME,
    INT8_NAME,
    INT8_WEIGHTS_NAME,
    WEIGHTS_NAME,
    Manifest,
    Probe,
    Variant,
    VariantName,
)

log = logging.getLogger(__name__)

_OTHER_BYTES = 2_000_000  # graph, report, probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """A file that travels in the bundle besides the network."""

    name: str
    path: Path
    # Called before anything is measured and the file is copied: it may be written meanwhile.
    await_it: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """What a bundle may hold besides float32, and what to measure each variant on."""

    check: Check
    graph: Any = None  # an openvino.Model of the network in float32; None: traced at export
    int8: Any = None  # an openvino.Model of the whole network; None: there is no int8
    has_gpu: bool = False
    threads: int = 0
    # Pictures a second of a variant on this chip, where they were measured earlier; and who wants
    # to know them.
    speed_of: Callable[[VariantName], float | None] = lambda name: None
    on_speed: Callable[[VariantName, float], None] = lambda name, images_per_second: None


def export_bundle(
    network: Network,
    folder: Path,
    manifest: Manifest,
    extras: tuple[Extra, ...] = (),
    variants: Variants | None = None,
) -> Bundle:
    """Write `network` to `folder` as a bundle: weights, graphs, probe and `extras`.

    `manifest.probe`, `variants` and `files` are filled in here. The network is moved to the CPU
    and to evaluation mode. Without `variants` there is float32 alone, and nothing is measured.

    Raises HostError: the folder is not writable or the disk is full. KennelError: the network
    answers NaN.
    """
    network = network.cpu().float().eval()
    pixels = torch.from_numpy(probe_pixels(manifest.preprocess))
    with torch.inference_mode():
        probabilities = network(pixels).softmax(dim=1)[0]
    if not bool(torch.isfinite(probabilities).all()):
        raise KennelError("the trained network answers NaN: lower lr or set gradient-clip")
    manifest = replace(manifest, probe=Probe(probabilities=tuple(probabilities.tolist())))
    _check_room(network, folder)
    try:
        with staging(folder) as staged:
            files = _write_networks(network, staged, manifest, variants)
            for extra in extras:
                extra.await_it()
            if variants is not None:
                written = replace(manifest, files=dict.fromkeys(files, ""))
                bundle = Bundle(folder=staged, manifest=written)
                manifest = replace(manifest, variants=tuple(_measure(bundle, variants)))
                files = _without_refused(files, manifest)
            for extra in extras:
                files[extra.name] = Path(shutil.copy(extra.path, staged / extra.name))
            return write_bundle(folder, manifest, files)
    except (OSError, SafetensorError) as error:
        raise cannot_write(folder, error) from error


def _check_room(network: Network, folder: Path) -> None:
    """Refuse before the older bundle's folder fills up. Raises HostError."""
    weights = sum(value.nbytes for value in network.state_dict().values())
    needed = int(2.25 * weights) + _OTHER_BYTES  # model.safetensors, model.bin, int8.bin
    folder = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    disk = shutil.disk_usage(folder)
    if disk.total and disk.free < needed:  # some network disks do not say how large they are
        raise HostError(
            f"cannot write the bundle to {folder}: it takes about {needed / 1e6:,.0f} MB and "
            f"{disk.free / 1e6:,.0f} MB are free: give the job a larger volume"
        )


def _write_networks(
    network: Network, staged: Path, manifest: Manifest, variants: Variants | None
) -> dict[str, Path]:
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, staged / WEIGHTS_NAME)
    graph = variants.graph if variants is not None else None
    if graph is None:
        graph = trace_network(network, manifest.preprocess.crop_px)
    save_graph(graph, staged / GRAPH_NAME)
    names = [WEIGHTS_NAME, GRAPH_NAME, GRAPH_WEIGHTS_NAME]
    if variants is not None and variants.int8 is not None:
        save_graph(variants.int8, staged / INT8_NAME)
        names += [INT8_NAME, INT8_WEIGHTS_NAME]
    explanation = write_explanation(network, probe_pixels(manifest.preprocess), staged)
    return {name: staged / name for name in names} | explanation


def variant_names(*, has_int8: bool, has_gpu: bool) -> list[VariantName]:
    """Every variant that this machine measures of a network."""
    names: list[VariantName] = ["f32"]
    names += ["bf16"] if "bf16" in Machine.here().precisions else []
    names += ["int8"] if has_int8 else []
    return names + (["half"] if has_gpu else [])


def _measure(bundle: Bundle, variants: Variants) -> Iterator[Variant]:
    """Every variant that this machine can compute, on the pictures of the check."""
    probe = probe_pixels(bundle.manifest.preprocess)
    for name in variant_names(has_int8=variants.int8 is not None, has_gpu=variants.has_gpu):
        choice = Choice(
            engine="torch" if name == "half" else "openvino", variant=name, why="to be measured"
        )
        engine = load_chosen(bundle, choice, threads=variants.threads)
        speed = variants.speed_of(name)
        variant = measure(name, engine, probe, variants.check, speed)
        if speed is None:
            variants.on_speed(name, variant.images_per_second)
        if name != bundle.manifest.trained and not is_steady(variant, engine, probe):
            log.info(
                "note   no %s: one picture is answered otherwise alone than among others", name
            )
            continue
        yield variant


def _without_refused(files: dict[str, Path], manifest: Manifest) -> dict[str, Path]:
    """int8 goes when it is out of tolerance: nobody would serve it, and it is a quarter more."""
    int8 = manifest.variant("int8")
    if int8 is not None and not manifest.refusal(int8):
        return files
    return {
        name: path for name, path in files.items() if name not in (INT8_NAME, INT8_WEIGHTS_NAME)
    }
