import sys

import numpy as np
import pytest
import torch
from serving import colour_bundle
from training import manifest_for, run_command

from classifier.classifier import Classifier
from classifier.engine import load_engine
from classifier.export import Extra, Variants, export_bundle
from classifier.graph import trace_network
from classifier.measure import Check
from classifier.network import build_network, preset_of
from classifier.torch_engine import read_network
from contract.errors import BundleError, HostError, KennelError
from contract.manifest import Preprocess

LABELS = ("ant", "bee", "cow")
SIDES = {"squeezenet1_1": 64, "resnet18": 64, "mobilenet_v3_small": 48}


@pytest.fixture(scope="module", params=SIDES)
def exported(request, tmp_path_factory):
    """A network with moved batch-norm statistics, and its bundle."""
    arch, side = request.param, SIDES[request.param]
    torch.manual_seed(0)
    network = build_network(arch, len(LABELS), image_size=side)
    network(torch.randint(0, 256, (8, side, side, 3), dtype=torch.uint8))
    manifest = manifest_for(arch, LABELS, preset_of(arch, side).preprocess)
    folder = tmp_path_factory.mktemp(arch)
    return network, export_bundle(network, folder, manifest)


def pictures_for(bundle, count):
    side = bundle.manifest.preprocess.crop_px
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_both_engines_answer_what_training_computes(exported, engine, count):
    network, bundle = exported
    images = pictures_for(bundle, count)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).softmax(dim=1).numpy()
    got = load_engine(bundle, engine).probabilities(images)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < 1e-5
    assert np.allclose(got.sum(axis=1), 1, atol=1e-5)


def test_the_network_comes_back_bit_by_bit(exported):
    network, bundle = exported
    again = read_network(bundle).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())


def test_the_probe_is_what_training_answers(exported):
    network, bundle = exported
    with torch.inference_mode():
        answer = network(torch.from_numpy(bundle.probe_pixels())).softmax(dim=1)[0]
    assert list(bundle.manifest.probe.probabilities) == answer.tolist()
    assert Classifier.load(bundle.folder).labels == LABELS


def test_reading_a_network_leaves_the_random_numbers_alone(exported):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    read_network(exported[1])
    assert torch.equal(torch.rand(1), expected)


SIGNAL_AFTER_ENGINES = """
import gc, os, signal, sys
from pathlib import Path
from classifier.classifier import Classifier
first, second = (Classifier.load(Path(sys.argv[1]), "openvino") for _ in range(2))
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("alive"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_process_survives_a_signal_after_engines_came_and_went():
    """OpenVINO leaves a signal stack behind that is gone when its Cores go in the wrong order."""
    done = run_command([sys.executable, "-c", SIGNAL_AFTER_ENGINES, str(colour_bundle())])
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


FIRST_LOOKS_AT_ONCE = """
import faulthandler, sys, threading
from pathlib import Path
from classifier.bundle import read_bundle
from classifier.openvino_engine import compile_graph, import_openvino, read_graph
from contract.manifest import GRAPH_NAME
faulthandler.dump_traceback_later(20, exit=True)  # works while nobody has the interpreter's lock
sys.setswitchinterval(1e-6)
compiled = compile_graph(read_graph(Path(sys.argv[1]) / GRAPH_NAME))
barrier = threading.Barrier(8)
def look():
    barrier.wait()
    import_openvino().Type.f32.to_dtype()  # as the first question of a request does
threads = [threading.Thread(target=look) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("answered")
"""


@pytest.mark.parametrize("attempt", range(3))
def test_threads_that_ask_first_together_do_not_wait_for_each_other_for_ever(attempt):
    done = run_command([sys.executable, "-c", FIRST_LOOKS_AT_ONCE, str(colour_bundle())])
    assert (done.returncode, done.stdout) == (0, "answered\n"), done.stderr


def tiny_network():
    torch.manual_seed(0)
    return build_network("squeezenet1_1", 3, image_size=32)


SMALL = manifest_for("squeezenet1_1", LABELS, Preprocess(resize_px=36, crop_px=32))


def test_extra_files_travel_along_and_stay_where_they_were(tmp_path):
    report = tmp_path / "report.html"
    report.write_text("<p>")
    extras = (Extra(name="report.html", path=report),)
    bundle = export_bundle(tiny_network(), tmp_path / "model", SMALL, extras)
    assert (bundle.folder / "report.html").read_text() == report.read_text()
    assert set(bundle.manifest.files) == {path.name for path in bundle.folder.iterdir()} - {
        "bundle.json"
    }


def test_a_network_that_answers_nan_is_not_exported(tmp_path):
    network = tiny_network()
    torch.nn.init.constant_(network.head.bias, float("nan"))
    with pytest.raises(KennelError, match="answers NaN: lower lr"):
        export_bundle(network, tmp_path / "model", SMALL)
    assert not (tmp_path / "model").exists()


def test_a_folder_that_cannot_be_written_is_the_hosts_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="file") as caught:
        export_bundle(tiny_network(), tmp_path / "file" / "model", SMALL)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused_in_one_line(tmp_path):
    bundle = export_bundle(tiny_network(), tmp_path, SMALL)
    text = (tmp_path / "bundle.json").read_text().replace("squeezenet1_1", "resnet18")
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match="does not fit resnet18 with 3 labels") as caught:
        Classifier.load(tmp_path, "torch")
    assert "\n" not in str(caught.value)
    assert bundle.folder == tmp_path


def _other_alone(graph):
    """The same graph, except that a single picture's answer says nothing."""
    from openvino import Model
    from openvino import opset13 as ops

    changed = graph.clone()
    (images,) = changed.get_parameters()
    answer = changed.outputs[0].get_node().input_value(0)
    batch = ops.gather(ops.shape_of(images), ops.constant(0), ops.constant(0))
    alone = ops.convert(ops.equal(batch, ops.constant(np.int64(1))), np.float32)
    kept = ops.multiply(answer, ops.subtract(ops.constant(np.float32(1)), alone))
    flat = ops.multiply(alone, ops.constant(np.float32(1 / len(LABELS))))
    return Model([ops.add(kept, flat)], [images], "classifier")


@pytest.mark.parametrize("is_steady", [True, False])
def test_int8_that_answers_a_picture_otherwise_alone_is_left_out(tmp_path, is_steady):
    side = 48
    torch.manual_seed(0)
    network = build_network("squeezenet1_1", len(LABELS), image_size=side).eval()
    with torch.no_grad():
        network.head.weight.mul_(20)  # sure of itself
    manifest = manifest_for("squeezenet1_1", LABELS, preset_of("squeezenet1_1", side).preprocess)
    images = np.random.default_rng(0).integers(0, 256, (128, side, side, 3), dtype=np.uint8)
    with torch.inference_mode():
        trained = network(torch.from_numpy(images)).softmax(dim=1).numpy()
    check = Check(images_NHWC=images, targets=trained.argmax(axis=1), trained=trained)
    graph = trace_network(network, side)
    int8 = graph if is_steady else _other_alone(graph)
    bundle = export_bundle(network, tmp_path, manifest, (), Variants(check=check, int8=int8))
    assert (bundle.manifest.variant("int8") is not None) == is_steady
    assert ("int8.xml" in bundle.manifest.files) == is_steady
    assert Classifier.load(bundle.folder).labels == LABELS
