import shutil
import tarfile

import numpy as np
import pytest
import torch
from serving import colour_bundle
from training import flags, run_job, tiny_run, write_pictures

from classifier.bundle import read_bundle
from classifier.preprocess import decode_picture
from classifier.torch_engine import read_network
from contract.errors import BundleError, HyperparameterError, WeightsError
from contract.job import Channel
from contract.labels import Labels
from train.start import start_network
from training import job_for

NAMES = ("bars", "disc", "rings")


def start(pictures, tmp_path, model=None, names=NAMES, **changes):
    """A start of a job with a channel model."""
    job = job_for(pictures, tmp_path, **changes)
    if model is not None:
        job.channels["model"] = Channel(name="model", path=model)
    return start_network(job, Labels(names), tmp_path / "work")


def archive_of(bundle, folder):
    folder.mkdir()
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for path in bundle.iterdir():
            archive.add(path, path.name)
    return folder


def answers(network, pictures):
    paths = sorted((pictures / "test").glob("*/*"))
    preprocess = tiny_preprocess
    pixels = np.stack([decode_picture(path.read_bytes(), preprocess) for path in paths])
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(pixels)).softmax(dim=1)


