import json
import shutil
import tarfile

import numpy as np
import pytest
import torch
from serving import colour_bundle
from torchvision import models
from training import CPU, job_for, run_job, tiny_run

from classifier.bundle import read_bundle
from classifier.classifier import Classifier
from classifier.network import split_trunk
from classifier.preprocess import decode_picture
from classifier.torch_engine import read_network
from contract.errors import BundleError, HyperparameterError, WeightsError
from contract.job import Channel
from contract.labels import Labels
from train.channels import read_data
from train.head_learner import HeadLearner
from train.progress import Progress
from train.start import Start, start_network
from train.unfilled import Unfilled

NAMES = ("bars", "disc", "rings")


def start(pictures, tmp_path, *, model=None, names=NAMES, **changes) -> Start:
    """The network that a job with a channel `model` starts from."""
    job = job_for(pictures, tmp_path, **changes)
    if model is not None:
        job.channels["model"] = Channel(name="model", path=model)
    return start_network(job, Labels(names), tmp_path / "work")


def packed(bundle, folder):
    """The channel as SageMaker mounts it: a folder with model.tar.gz."""
    folder.mkdir()
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(bundle, ".")
    return folder


def logits(network, pictures, preprocess):
    crops = [
        decode_picture(path.read_bytes(), preprocess)
        for path in sorted((pictures / "test").glob("*/*"))
    ]
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(np.stack(crops)))


@pytest.mark.parametrize("form", ["folder", "archive in a folder", "archive"])
def test_a_model_continues_with_the_same_answers(pictures, tiny_bundle, tmp_path, form):
    model = tiny_bundle if form == "folder" else packed(tiny_bundle, tmp_path / "model")
    model = model / "model.tar.gz" if form == "archive" else model
    got = start(pictures, tmp_path, model=model)
    earlier = read_network(read_bundle(tiny_bundle))
    assert got.continues
    assert got.origin == "the earlier model of channel model, head included"
    assert got.preprocess == read_bundle(tiny_bundle).manifest.preprocess
    assert torch.equal(
        logits(got.network, pictures, got.preprocess), logits(earlier, pictures, got.preprocess)
    )


def test_head_training_begins_where_the_earlier_model_stopped(pictures, tiny_bundle, tmp_path):
    """Its head works on standardised features; before the first step it answers as before."""
    job = job_for(pictures, tmp_path)
    job.channels["model"] = Channel(name="model", path=tiny_bundle)
    data = read_data(job, tmp_path / "work")
    begun = start_network(job, data.labels, tmp_path / "work")
    learner = HeadLearner(begun, data, CPU, Progress(enabled=False))
    untrained = learner.finish(learner.task.module.state_dict())
    earlier = Classifier.load(tiny_bundle, "torch")
    for picture in data.test.pictures[::4]:
        pixels = decode_picture(picture.path.read_bytes(), begun.preprocess)[None]
        with torch.inference_mode():
            answer = untrained(torch.from_numpy(pixels)).softmax(dim=1).numpy()
        assert np.abs(answer - earlier.probabilities(pixels)).max() < 1e-4


def test_changed_classes_keep_the_rows_they_share(pictures, tiny_bundle, tmp_path):
    got = start(pictures, tmp_path, model=tiny_bundle, names=("arcs", "disc", "rings", "zigzag"))
    old = read_network(read_bundle(tiny_bundle)).head
    new = got.network.head
    assert got.origin.endswith("its head is refitted: 2 labels kept, 2 new, 1 dropped")
    assert torch.equal(new.weight[1:3], old.weight[1:3])
    assert torch.equal(new.bias[1:3], old.bias[1:3])
    assert got.continues
    assert not new.weight[[0, 3]].any()  # random ones would speak louder than what was learnt
    assert not new.bias[[0, 3]].any()


def test_a_head_of_other_classes_alone_is_a_new_one(pictures, tiny_bundle, tmp_path):
    got = start(pictures, tmp_path, model=tiny_bundle, names=("arcs", "zigzag"))
    fresh = start(pictures, tmp_path, names=("arcs", "zigzag"))
    assert got.origin.endswith("its head is refitted: 0 labels kept, 2 new, 3 dropped")
    assert not got.continues
    assert torch.equal(got.network.head.weight, fresh.network.head.weight)


def test_the_earlier_arch_and_size_are_taken_over(pictures, tiny_bundle, tmp_path):
    job = job_for(pictures, tmp_path)
    parsed = job.hyperparameters
    given = parsed.given - {"arch", "image-size"}
    bare = type(parsed)(values=parsed.values, given=given, reserved={}, notes=())
    job = type(job)(
        name="again",
        hyperparameters=bare,
        channels={**job.channels, "model": Channel(name="model", path=tiny_bundle)},
        outputs=job.outputs,
    )
    values = start_network(job, Labels(NAMES), tmp_path / "work").values
    assert (values.arch, values.image_size) == ("squeezenet1_1", 32)


def test_another_arch_than_the_earlier_models_is_refused(pictures, tiny_bundle, tmp_path):
    with pytest.raises(WeightsError, match="holds a squeezenet1_1, but arch=resnet18: leave arch"):
        start(pictures, tmp_path, model=tiny_bundle, arch="resnet18")


def test_a_model_channel_without_a_bundle_is_refused(pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        start(pictures, tmp_path, model=tmp_path / "empty")


def test_a_damaged_earlier_model_is_refused(pictures, tmp_path):
    copy = shutil.copytree(colour_bundle(), tmp_path / "copy")
    (copy / "model.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match="sha256 differs"):
        start(pictures, tmp_path, model=copy)


def test_an_unknown_arch_is_refused_before_anything_is_built(pictures, tmp_path):
    with pytest.raises(HyperparameterError, match="did you mean 'resnet18'"):
        start(pictures, tmp_path, arch="resnet_18")


def test_the_seed_decides_the_random_weights(pictures, tmp_path):
    states = [start(pictures, tmp_path, seed=seed).network.state_dict() for seed in ("4", "4", "5")]
    name = "trunk.features.0.weight"
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0][name], states[2][name])


@pytest.mark.parametrize("arch", ["squeezenet1_1", "mobilenet_v3_small", "swin_t", "mnasnet0_5"])
def test_weights_that_were_not_drawn_are_all_filled(pictures, tmp_path, arch):
    torch.manual_seed(9)
    model = models.get_model(arch, weights=None)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    job = job_for(pictures, tmp_path, arch=arch, pretrained="true", image_size="64")
    job.channels["pretrained"] = Channel(name="pretrained", path=tmp_path / "weights.pth")
    trunk = start_network(job, Labels(NAMES), tmp_path / "work").network.trunk
    expected = split_trunk(model)[0]
    assert trunk.state_dict().keys() == expected.state_dict().keys()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(trunk.eval()(x), expected.eval()(x), atol=1e-5)


@pytest.mark.parametrize("bounds", [(-2.0, 2.0), (0.1, 2.0), (-2.0, -0.2), (1.5, 3.0)])
def test_a_truncated_normal_that_is_not_drawn_comes_to_an_end_within_its_bounds(bounds):
    with Unfilled(is_on=True):
        weight = torch.nn.init.trunc_normal_(torch.full((7, 9), torch.nan), 0.0, 1.0, *bounds)
    assert bounds[0] <= weight.min() <= weight.max() <= bounds[1]


@pytest.mark.parametrize("unfreeze", ["none", "last-stage", "all"])
def test_what_learns_is_what_was_asked_for(pictures, tmp_path, unfreeze):
    before = start(pictures, tmp_path, unfreeze=unfreeze).network.state_dict()
    run = tiny_run(pictures, tmp_path, unfreeze=unfreeze, epochs="1", lr="0.01")
    after = run.fit().state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    trunk = {name for name, _ in run.start.network.named_parameters() if name.startswith("trunk")}
    assert {"head.weight", "head.bias"} <= moved
    assert (moved & trunk == set()) == (unfreeze == "none")
    assert (moved & trunk == trunk) == (unfreeze == "all")
    assert "mean" not in moved


def test_a_job_may_continue_from_the_artifact_of_an_earlier_one(pictures, tiny_bundle, tmp_path):
    """End to end, with a class that is gone."""
    words = ["--train", str(pictures / "train"), "--validation", str(pictures / "validation")]
    fewer = shutil.copytree(pictures, tmp_path / "fewer")
    for folder in fewer.glob("*/bars"):
        shutil.rmtree(folder)
    words = [word.replace(str(pictures), str(fewer)) for word in words]
    model = packed(tiny_bundle, tmp_path / "model-channel")
    words += ["--model", str(model), "--epochs", "1", "--lr", "0.0001", "--precision", "fp32"]
    words += ["--model-dir", str(tmp_path / "m"), "--output-dir", str(tmp_path / "o")]
    code, output = run_job(words)
    assert code == 0, output
    assert "its head is refitted: 2 labels kept, 0 new, 1 dropped" in output
    manifest = json.loads((tmp_path / "m" / "bundle.json").read_text())
    assert manifest["labels"] == ["disc", "rings"]
    assert manifest["metrics"]["validation:accuracy"] >= 0.9
