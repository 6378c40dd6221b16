"""A new head on a network that learns through its trunk: it begins by guessing, and is folded."""

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from training import CLASSES, CPU, job_for, tiny_run

from classifier.classifier import Classifier
from classifier.network import Network, freeze, set_training
from classifier.preprocess import decode_picture
from contract.job import Channel
from train.channels import read_data
from train.loop import Fit, Progressing, fit
from train.network_learner import NetworkLearner
from train.progress import Progress
from train.start import start_network
from train.stop import Stop

GUESSING = math.log(len(CLASSES))
# One of each family, with random weights.
FAMILIES = (
    "squeezenet1_1", "resnet18", "regnet_y_400mf", "shufflenet_v2_x0_5", "mnasnet0_5",
    "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "densenet121", "convnext_tiny",
    "swin_t", "vit_b_32",
)  # fmt: skip


class Larger(nn.Module):
    """What a trunk that was pretrained without batch norm may make of its features."""

    def __init__(self, factor: float, shift: float) -> None:
        super().__init__()
        self.factor, self.shift = factor, shift

    def forward(self, features):
        return features * self.factor + self.shift


def learner_for(pictures, out, *, after=None, **changes):
    """Everything before the first step; `after` follows the trunk."""
    given = {"unfreeze": "all", "arch": "squeezenet1_1", "augment": "none", **changes}
    job = job_for(pictures, out, **given)
    data = read_data(job, out / "work")
    start = start_network(job, data.labels, out / "work")
    if after is not None:
        was = start.network
        network = Network(nn.Sequential(was.trunk, after), was.head, was.mean, was.std)
        start = replace(start, network=network)
        freeze(was, given["unfreeze"])
    return NetworkLearner(start, data, CPU, Progress(enabled=False))


def first_losses(learner):
    """Of an epoch's steps, before any of them is taken."""
    set_training(learner.network)
    with torch.no_grad():
        batches = list(islice(learner.task.batches.of_epoch(1), 4))
        return [float(cross_entropy(learner.network(one.inputs), one.targets)) for one in batches]


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_begins_with_the_loss_of_guessing(pictures, tmp_path, arch):
    losses = first_losses(learner_for(pictures, tmp_path, arch=arch))
    assert np.mean(losses) == pytest.approx(GUESSING, abs=0.05)


@pytest.mark.parametrize("unfreeze", ["last-stage", "all"])
@pytest.mark.parametrize(("factor", "shift"), [(100.0, 0.0), (0.01, 0.0), (1.0, 50.0)])
def test_features_of_any_size_begin_there(pictures, tmp_path, unfreeze, factor, shift):
    after = Larger(factor, shift)
    learner = learner_for(pictures, tmp_path, after=after, unfreeze=unfreeze)
    assert np.mean(first_losses(learner)) == pytest.approx(GUESSING, abs=0.05)


def test_how_large_features_are_changes_nothing_of_what_is_learnt(pictures, tmp_path):
    """A power of two as a factor costs no digit."""
    losses = []
    for factor in (128.0, 4096.0):
        after = Larger(factor, 0.0)
        learner = learner_for(pictures, tmp_path, after=after, lr="0.0001", epochs="2")
        state = Fit(task=learner.task, values=learner.values, device=CPU)
        fit(state, Stop(), Progressing())
        losses.append([row.metrics["train:loss"] for row in state.rows])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_looking_at_features_leaves_the_network_as_it_was(pictures, tmp_path):
    job = job_for(pictures, tmp_path, unfreeze="all", arch="resnet18")
    data = read_data(job, tmp_path / "work")
    start = start_network(job, data.labels, tmp_path / "work")
    before = {name: value.clone() for name, value in start.network.trunk.state_dict().items()}
    NetworkLearner(start, data, CPU, Progress(enabled=False))
    after = start.network.trunk.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_finished_network_has_a_plain_head_that_answers_as_it_did(pictures, tmp_path):
    tiny = tiny_run(pictures, tmp_path, unfreeze="all", epochs="2")
    network, state = tiny.fit(), tiny.state
    assert type(network.head) is nn.Linear
    assert set(network.state_dict()) == {
        name for name in state.best_state if not name.startswith("head.feature_")
    }
    again = tiny.learner.judge(tiny.data.validation).scores
    assert torch.allclose(again.probabilities, state.best_scores.probabilities, atol=1e-5)


def test_fine_tuning_begins_where_the_earlier_model_stopped(pictures, tiny_bundle, tmp_path):
    job = job_for(pictures, tmp_path, unfreeze="last-stage")
    job.channels["model"] = Channel(name="model", path=tiny_bundle)
    data = read_data(job, tmp_path / "work")
    begun = start_network(job, data.labels, tmp_path / "work")
    learner = NetworkLearner(begun, data, CPU, Progress(enabled=False))
    earlier = Classifier.load(tiny_bundle, "torch")
    learner.network.eval()
    for picture in data.test.pictures[::4]:
        pixels = decode_picture(picture.path.read_bytes(), begun.preprocess)[None]
        with torch.inference_mode():
            answer = learner.network(torch.from_numpy(pixels)).softmax(dim=1).numpy()
        assert np.abs(answer - earlier.probabilities(pixels)).max() < 1e-4
