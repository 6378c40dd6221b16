"""Model: one resnet50 for all servers, trained by our own `train` on generated pictures.

`python -m benchmarks.model FOLDER [PICTURES]`: a program of its own, so that torch is not in the
process that measures. The trunk is random (seeded, its batch norms calibrated); the head is
trained. Our bundle is what training wrote, the peers get the same weights.
"""

import copy
import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision import models

from benchmarks.layout import (
    EXPECTED_NAME,
    INDEX_NAME,
    LABELS_NAME,
    MODEL,
    NUM_PICTURES,
    PEER_SCRIPT,
    PEER_WEIGHTS,
    PICTURES,
    cpu_only,
)
from benchmarks.pictures import make_picture, read_pictures, write_channel
from classifier.preprocess import decode_picture
from contract.manifest import WEIGHTS_NAME, Preprocess

SEED = 0
NUM_LABELS = 133  # the dog breeds of the classic
LABELS = tuple(f"breed-{index:03d}" for index in range(NUM_LABELS))
NUM_VALIDATION = 64
EPOCHS = 30
TRAIN_SECONDS = 600


def build_model(folder: Path, pictures: Path | None) -> None:
    """Write everything that servers and clients need into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_pictures(folder / PICTURES, pictures)
    start = folder / "start.pth"
    torch.save(random_trunk().state_dict(), start)
    _train(folder, start)
    network = _peer_network(folder / MODEL / WEIGHTS_NAME)
    torch.save(network.state_dict(), folder / PEER_WEIGHTS)
    _write_script(network, folder / PEER_SCRIPT)
    index = {str(number): ["", label] for number, label in enumerate(LABELS)}
    _write(folder / LABELS_NAME, LABELS)
    _write(folder / INDEX_NAME, index)
    _write(folder / EXPECTED_NAME, _expected(network, folder / PICTURES))


def _write_pictures(folder: Path, given: Path | None) -> None:
    folder.mkdir(exist_ok=True)
    if given is not None:
        pictures = read_pictures(given, NUM_PICTURES)
    else:
        step = NUM_LABELS // NUM_PICTURES
        pictures = [make_picture(99, index * step, NUM_LABELS) for index in range(NUM_PICTURES)]
    for number, data in enumerate(pictures):
        (folder / f"{number:02d}.jpg").write_bytes(data)


def random_trunk() -> nn.Module:
    """A resnet50 as it is born, but with statistics of real activations in its batch norms."""
    torch.manual_seed(SEED)
    network = models.resnet50()
    preprocess = Preprocess(resize_px=256, crop_px=224)
    images = [decode_picture(make_picture(7, index, NUM_LABELS), preprocess) for index in range(16)]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean of all batches
    with torch.no_grad():
        pixels = torch.stack([torch.from_numpy(image) for image in images])
        network.train()(pixels.permute(0, 3, 1, 2) / 255.0 * 4 - 2)
    return network


def _train(folder: Path, start: Path) -> None:
    write_channel(folder / "train", LABELS, NUM_LABELS, seed=1)
    write_channel(folder / "validation", LABELS, NUM_VALIDATION, seed=2)
    command = [sys.executable, "-m", "train", "--arch", "resnet50", "--pretrained", str(start)]
    for name in ("train", "validation", "model", "output"):
        flag = f"--{name}-dir" if name in ("model", "output") else f"--{name}"
        command += [flag, str(folder / name)]
    command += ["--epochs", str(EPOCHS), "--seed", str(SEED), "--lr", "0.01"]
    with (folder / "train.log").open("wb") as log:
        done = subprocess.run(
            command, env=cpu_only(), stdout=log, stderr=log, timeout=TRAIN_SECONDS, check=False
        )
    if done.returncode:
        raise SystemExit(f"training failed; see {folder / 'train.log'}")


def _peer_network(weights: Path) -> nn.Module:
    """torchvision's own resnet50 with the bundle's weights."""
    state = load_file(weights)
    network = models.resnet50(num_classes=NUM_LABELS)
    wanted = {
        key.removeprefix("trunk."): value for key, value in state.items() if key.startswith("trunk")
    }
    network.load_state_dict(
        {**wanted, "fc.weight": state["head.weight"], "fc.bias": state["head.bias"]}
    )
    return network.eval()


def _write_script(network: nn.Module, path: Path) -> None:
    """TorchScript, frozen and channels-last: the fastest of what torch itself has here."""
    network = copy.deepcopy(network).to(memory_format=torch.channels_last)
    example = torch.zeros(1, 3, 224, 224).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.jit.freeze(torch.jit.trace(network, example)).save(str(path))


def _expected(network: nn.Module, folder: Path) -> list[str]:
    """What torchvision's network answers, in float32 and on our pixels."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    found = []
    for data in read_pictures(folder, NUM_PICTURES):
        pixels = decode_picture(data, Preprocess(resize_px=256, crop_px=224))
        image = (torch.from_numpy(pixels) / 255.0 - mean) / std
        with torch.inference_mode():
            found.append(LABELS[int(network(image.permute(2, 0, 1)[None]).argmax())])
    return found


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


if __name__ == "__main__":
    build_model(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
