from dataclasses import replace

import pytest
from training import manifest_for

from classifier.choice import Machine, choose
from contract.errors import BundleError
from contract.manifest import Manifest, Preprocess, Probe, Variant

CHIP = "a chip"
CPU = Machine(
    has_torch=True,
    has_openvino=True,
    has_gpu=False,
    precisions=frozenset({"int8", "bf16"}),
    chip=CHIP,
)
SPEEDS = {"f32": 10.0, "bf16": 20.0, "int8": 40.0, "half": 900.0}


def variant(name: str, agreement: float = 1.0, accuracy: float = 0.5, **more) -> Variant:
    known = {"num_pictures": 200, "images_per_second": SPEEDS[name], "chip": CHIP}
    probe = Probe(probabilities=(0.5, 0.5))
    return Variant(
        name=name, agreement=agreement, accuracy=accuracy, probe=probe, **{**known, **more}
    )


def manifest(*variants: Variant, trained: str = "f32") -> Manifest:
    names = ["model.xml", "model.bin", "int8.xml", "int8.bin", "model.safetensors"]
    blank = manifest_for("resnet18", ("a", "b"), Preprocess(resize_px=64, crop_px=64))
    files = dict.fromkeys(names, "")
    return replace(blank, files=files, variants=variants, trained=trained)


ALL = (variant("f32"), variant("bf16"), variant("int8"))


def test_the_fastest_within_tolerance_is_taken_and_says_why():
    choice = choose(manifest(*ALL), CPU)
    assert (choice.engine, choice.variant) == ("openvino", "int8")
    assert "agrees with the network as trained on 100.0% of 200 pictures" in choice.why
    assert "int8 40 against f32 10, bf16 20 pictures/s here" in choice.why


@pytest.mark.parametrize(
    ("int8", "reason"),
    [
        (variant("int8", agreement=0.98), "agreement"),
        (variant("int8", accuracy=0.48), "accuracy"),
        (variant("int8", num_pictures=20), "20 pictures only"),
    ],
)
def test_out_of_tolerance_is_passed_over_with_the_reason(int8, reason):
    choice = choose(manifest(variant("f32"), variant("bf16"), int8), CPU)
    assert choice.variant == "bf16"
    assert reason in choice.passed_over["int8"]


def test_what_was_trained_needs_no_agreement():
    bundle = manifest(
        variant("f32", agreement=0.9), variant("int8", num_pictures=3), trained="int8"
    )
    assert choose(bundle, CPU).variant == "int8"


def test_a_chip_without_bf16_or_int8_gets_float32():
    old = replace(CPU, precisions=frozenset())
    choice = choose(manifest(*ALL), old)
    assert choice.variant == "f32"
    assert choice.passed_over == {
        "int8": "this chip has no instructions for int8",
        "bf16": "this chip has no bf16",
    }


def test_the_order_measured_on_this_chip_beats_the_usual_one():
    slow = variant("int8", images_per_second=5.0)
    assert choose(manifest(variant("f32"), variant("bf16"), slow), CPU).variant == "bf16"
    elsewhere = replace(CPU, chip="another chip")
    assert choose(manifest(variant("f32"), variant("bf16"), slow), elsewhere).variant == "int8"


def test_a_gpu_takes_half_where_it_was_measured_and_float32_where_not():
    gpu = replace(CPU, has_gpu=True)
    choice = choose(manifest(*ALL, variant("half", agreement=0.995)), gpu)
    assert (choice.engine, choice.variant) == ("torch", "half")
    choice = choose(manifest(*ALL), gpu)
    assert (choice.engine, choice.variant) == ("torch", "f32")
    assert "not measured" in choice.passed_over["half"]


@pytest.mark.parametrize("name", ["f32", "bf16", "int8"])
def test_a_pinned_variant_is_taken_whatever_was_measured(name):
    bundle = manifest(variant("f32"), variant("bf16", agreement=0.1), variant("int8", agreement=0))
    choice = choose(bundle, CPU, variant=name)
    assert choice.variant == name
    assert choice.why.startswith("pinned")


def test_what_cannot_be_is_refused_with_the_reason():
    bundle = replace(manifest(variant("f32")), files={"model.xml": ""})
    with pytest.raises(BundleError, match="the bundle has no int8"):
        choose(bundle, CPU, variant="int8")
    with pytest.raises(BundleError, match="torch is not in this image"):
        choose(bundle, replace(CPU, has_torch=False), engine="torch")
    with pytest.raises(BundleError, match="this chip has no bf16"):
        choose(bundle, replace(CPU, precisions=frozenset()), variant="bf16")
    with pytest.raises(BundleError, match="expected one of auto"):
        choose(bundle, CPU, engine="tensorrt")


def test_a_bundle_without_measurements_is_served_in_float32():
    assert choose(manifest(), CPU).variant == "f32"
