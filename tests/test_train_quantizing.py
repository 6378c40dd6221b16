import numpy as np
import pytest
import torch
from training import CPU, tiny_run

from classifier.classifier import Classifier
from classifier.engine import load_engine
from classifier.export import export_bundle
from classifier.preprocess import decode_picture
from classifier.trunk_graph import TrunkGraph
from contract.errors import HyperparameterError
from contract.manifest import Manifest, Probe
from train.group import Group
from train.quantizing import _refuse, noise_share, variants_of


def bundle_of(run, folder):
    """What process.py does after training."""
    judged = run.learner.judge(run.data.validation)
    variants = variants_of(run.start, run.data, run.learner, judged, device=CPU, is_hurried=False)
    manifest = Manifest(
        arch=run.start.values.arch,
        labels=run.data.labels.names,
        preprocess=run.start.preprocess,
        probe=Probe(probabilities=(0.0,) * len(run.data.labels)),
        files={},
        trained="int8" if run.learner.int8 else "f32",
    )
    return judged, export_bundle(run.learner.network, folder, manifest, variants=variants)


@pytest.fixture(scope="module", params=["squeezenet1_1", "mobilenet_v3_large", "resnet50"])
def frozen(request, pictures, tmp_path_factory):
    """A head that was trained on an int8 trunk, what training said of validation, the bundle."""
    out = tmp_path_factory.mktemp(request.param)
    run = tiny_run(pictures, out, arch=request.param, quantize="int8", unfreeze="none", epochs="4")
    run.fit()
    return run, *bundle_of(run, out / "model")


@pytest.mark.parametrize("lanes", [0, 1, 2, 3])
def test_the_server_answers_what_the_head_learned_on_the_int8_trunk(frozen, lanes):
    _, judged, bundle = frozen
    classifier = Classifier.load(bundle.folder, lanes=lanes)
    assert (classifier.engine_name, classifier.variant) == ("openvino", "int8")
    rows = [
        classifier.probabilities(
            decode_picture(item.path.read_bytes(), bundle.manifest.preprocess)[None]
        )[0]
        for item in judged.pictures
    ]
    assert np.abs(np.stack(rows) - judged.scores.probabilities.numpy()).max() < 1e-4


def test_the_bundle_has_what_was_measured_of_each_variant(frozen):
    _, judged, bundle = frozen
    variants = {item.name: item for item in bundle.manifest.variants}
    assert bundle.manifest.trained == "int8"
    assert {"f32", "int8"} <= set(variants)
    assert variants["int8"].agreement == 1.0
    assert variants["int8"].accuracy == pytest.approx(judged.scores.accuracy)
    assert all(item.num_pictures == len(judged.pictures) for item in variants.values())
    assert all(item.images_per_second > 0 for item in variants.values())


def test_what_is_known_of_a_variant_is_what_its_engine_says(frozen):
    """Agreement and accuracy come from features; the engine computes whole pictures."""
    _, judged, bundle = frozen
    images = np.stack(
        [decode_picture(item.read_bytes(), bundle.manifest.preprocess) for item in judged.pictures]
    )
    targets = np.array([item.class_index for item in judged.pictures])
    trained = judged.scores.probabilities.numpy().argmax(axis=1)
    for item in bundle.manifest.variants:
        said = load_engine(bundle, variant=item.name).probabilities(images).argmax(axis=1)
        assert item.agreement == pytest.approx((said == trained).mean())
        assert item.accuracy == pytest.approx((said == targets).mean())


def test_every_variant_answers_its_own_probe_and_can_be_pinned(frozen):
    for item in frozen[2].manifest.variants:
        assert Classifier.load(frozen[2].folder, variant=item.name).variant == item.name


def test_a_batch_and_its_pictures_one_by_one_are_the_same(frozen):
    bundle = frozen[2]
    side = bundle.manifest.preprocess.crop_px
    images = np.random.default_rng(0).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    engine = load_engine(bundle, variant="int8", lanes=2, batch_size=4)
    alone = np.concatenate([engine.probabilities(image[None]) for image in images])
    assert np.abs(engine.probabilities(images) - alone).max() < 1e-5


def test_a_trunk_travels_as_bytes_to_the_other_hosts(pictures, tmp_path):
    run = tiny_run(pictures, tmp_path, quantize="int8", unfreeze="none", epochs="1")
    trunk = run.learner.int8
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    again = TrunkGraph.from_bytes(trunk.to_bytes(), variant="int8")
    assert np.array_equal(again.features(images), trunk.features(images))


def test_a_fine_tuned_network_is_quantised_afterwards_and_kept_only_within_tolerance(
    pictures, tmp_path
):
    run = tiny_run(pictures, tmp_path, quantize="auto", unfreeze="all", epochs="2")
    assert run.learner.int8 is None
    run.fit()
    _, bundle = bundle_of(run, tmp_path / "model")
    int8 = bundle.manifest.variant("int8")
    assert bundle.manifest.trained == "f32"
    # Fifteen pictures are too few to trust any agreement.
    assert "pictures only" in bundle.manifest.refusal(int8)
    assert "int8.xml" not in bundle.manifest.files
    assert Classifier.load(bundle.folder).variant in ("f32", "bf16")


def test_none_and_a_gpu_leave_the_trunk_as_it_is(pictures, tmp_path):
    assert tiny_run(pictures, tmp_path, quantize="none", unfreeze="none").learner.int8 is None


def test_auto_goes_on_without_int8_where_there_is_too_little_to_calibrate_on(pictures, tmp_path):
    few = tmp_path / "few"
    for split in ("train", "validation", "test"):
        for folder in (pictures / split).iterdir():
            (few / split / folder.name).mkdir(parents=True)
            for path in sorted(folder.iterdir())[:2]:
                (few / split / folder.name / path.name).write_bytes(path.read_bytes())
    run = tiny_run(few, tmp_path / "out", quantize="auto", unfreeze="none")
    assert run.learner.int8 is None


def test_what_must_be_int8_and_cannot_says_why(pictures, tmp_path):
    with pytest.raises(HyperparameterError, match="quantize"):
        _refuse("int8", "an unknown layer", Group())


def test_noise_is_a_share_of_what_features_vary():
    own = np.random.default_rng(0).normal(size=(64, 100)).astype(np.float32)
    assert noise_share(own, own) == 0
    assert noise_share(own, np.zeros_like(own)) == pytest.approx(1, abs=0.05)
    assert noise_share(np.zeros((4, 2), np.float32), np.ones((4, 2), np.float32)) == 1


def test_openvino_quantised_weights_are_the_same_bytes_again(pictures, tmp_path):
    torch.manual_seed(0)
    first, second = (
        tiny_run(pictures, tmp_path / name, quantize="int8", unfreeze="none").learner.int8
        for name in ("a", "b")
    )
    assert first.to_bytes()[1] == second.to_bytes()[1]
