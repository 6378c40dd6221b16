"""Bundle: the folder that leaves training and enters serving. Atomic, checksummed, no pickle.

Torch-free: weights and graph arrive here as files or bytes that other modules made.
"""

import functools
import io
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from classifier.preprocess import Pixels, decode_picture
from contract.errors import BundleError
from contract.files import cannot_write, replacing, sha256_of, staging, sync, write_json
from contract.manifest import (
    GRAPH_NAME,
    MANIFEST_NAME,
    PROBE_NAME,
    WEIGHTS_NAME,
    Manifest,
    Preprocess,
    read_manifest,
)

PROBE_SIDE_PX = (320, 260)  # not square, so that a swapped axis shows
_NEXT = ".bundle-next"  # a whole bundle on its way into the folder around it


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A complete bundle on disk: every file is there and has the digest that was written."""

    folder: Path
    manifest: Manifest

    @property
    def weights_file(self) -> Path:
        """safetensors of classifier.network.Network."""
        return self.folder / WEIGHTS_NAME

    @property
    def graph_file(self) -> Path | None:
        """OpenVINO IR: uint8 (N, H, W, 3) to probabilities (N, K); None when not exported."""
        return self.folder / GRAPH_NAME if GRAPH_NAME in self.manifest.files else None

    @property
    def probe_shape(self) -> tuple[int, int, int, int]:
        """(1, H, W, 3): what the network takes of one picture."""
        side = self.manifest.preprocess.crop_px
        return 1, side, side, 3

    def probe_pixels(self) -> Pixels:
        """The probe picture as the network sees it, (1, H, W, 3) uint8."""
        data = (self.folder / PROBE_NAME).read_bytes()
        return decode_picture(data, self.manifest.preprocess)[None]


@functools.cache
def probe_picture() -> bytes:
    """A synthetic PNG with edges, gradients and noise: never a customer's photograph."""
    width, height = PROBE_SIDE_PX
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(20240229).integers(0, 64, (height, width))
    planes = (x * 191 // width + noise, y * 191 // height + noise, (x // 16 + y // 16) % 2 * 192)
    buffer = io.BytesIO()
    Image.fromarray(np.stack(planes, axis=2).astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def probe_pixels(preprocess: Preprocess) -> Pixels:
    """What `Bundle.probe_pixels` will be, before the bundle exists."""
    return decode_picture(probe_picture(), preprocess)[None]


def write_bundle(folder: Path, manifest: Manifest, files: Mapping[str, Path]) -> Bundle:
    """Put `files` (name -> finished file, moved from where it lies) into `folder` as a bundle.

    A process that is killed meanwhile leaves the older bundle, if there was one, or this one:
    `read_bundle` never sees a mixture. `manifest.files` is filled in here.

    Raises HostError when the folder is not writable or the disk is full.
    """
    try:
        _settle(folder)
        with staging(folder) as staged:
            (staged / PROBE_NAME).write_bytes(probe_picture())
            for name, source in files.items():
                shutil.move(source, staged / name)
            digests: dict[str, str] = {}
            for name in [*files, PROBE_NAME]:
                (staged / name).chmod(0o644)  # a server may run as another user than training did
                sync(staged / name)
                digests[name] = sha256_of(staged / name)
            complete = replace(manifest, files=digests)
            write_json(staged / MANIFEST_NAME, complete.to_json())
            staged.chmod(0o755)
            staged.rename(folder / _NEXT)
        _settle(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return Bundle(folder=folder, manifest=complete)


def _settle(folder: Path) -> None:
    """Move the bundle that lies whole in `folder`/.bundle-next to where users look for it.

    Its files get second names first, so that it stays whole until bundle.json is the new one.
    """
    waiting = folder / _NEXT
    if not waiting.is_dir():
        return
    names = [*read_manifest(waiting).files, MANIFEST_NAME]
    for name in names:
        with replacing(folder / name) as temporary:
            temporary.unlink()
            try:
                os.link(waiting / name, temporary)
            except OSError:  # a file system without links
                shutil.copyfile(waiting / name, temporary)
    with staging(folder) as gone:
        waiting.rename(gone / _NEXT)  # in one step: half removed, it would be taken for damaged


def read_bundle(folder: Path, *, verify: bool = True) -> Bundle:
    """The bundle in `folder`; with `verify` every file's digest is recomputed.

    Where writing it was cut short, its folder is the hidden one in which it lies whole.

    Raises BundleError: no bundle, a missing or altered file, another format version.
    """
    folder = folder / _NEXT if (folder / _NEXT).is_dir() else folder
    manifest = read_manifest(folder)
    for name, digest in manifest.files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise BundleError(f"{folder}: {name} is missing; copy or unpack the whole bundle")
        if verify and sha256_of(path) != digest:
            raise BundleError(f"{path} is not the file that training wrote (sha256 differs)")
    if PROBE_NAME not in manifest.files:
        raise BundleError(f"{folder}: the manifest names no {PROBE_NAME}")
    return Bundle(folder=folder, manifest=manifest)
