import json
import re
from dataclasses import FrozenInstanceError, asdict, replace

import pytest

from contract.errors import HyperparameterError
from contract.hyperparameters import BY_NAME, SETTINGS, Hyperparameters, parse_hyperparameters


def values(**raw: str) -> Hyperparameters:
    return parse_hyperparameters(raw).values


def test_nothing_given_means_the_defaults():
    parsed = parse_hyperparameters({})
    assert (parsed.values, parsed.given, parsed.notes) == (Hyperparameters(), frozenset(), ())


@pytest.mark.parametrize("times", [0, 1, 2])
def test_values_may_be_quoted_as_the_sdk_and_the_tuner_do(times):
    raw = {"optimizer": "adam", "batch-size": "256", "lr": "0.01", "pretrained": "false"}
    for _ in range(times):
        raw = {name: json.dumps(text) for name, text in raw.items()}
    got = parse_hyperparameters(raw).values
    assert (got.optimizer, got.batch_size, got.lr, got.pretrained) == ("adam", 256, 0.01, False)


def test_tuners_send_whole_numbers_as_floats():
    assert values(batch_size="64.0", epochs="1e1").batch_size == 64


@pytest.mark.parametrize("name", ["batch-size", "batch_size", "Batch-Size"])
def test_underscore_hyphen_and_case_do_not_matter_in_names(name):
    parsed = parse_hyperparameters({name: "7"})
    assert (parsed.values.batch_size, parsed.given) == (7, {"batch-size"})


def test_reserved_keys_never_fail_and_are_set_aside():
    reserved = {
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": "s3://bucket/source.tar.gz",
        "_tuning_objective_metric": "validation:accuracy",
        "_kfold_fold": "3",
    }
    parsed = parse_hyperparameters({**reserved, "epochs": "2"})
    assert parsed.reserved == reserved
    assert parsed.given == {"epochs"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("epohcs", "epochs"), ("learning_rte", "learning-rate"), ("weight_decey", "weight-decay")],
)
def test_unknown_hyperparameter_is_refused_with_a_suggestion(typed, meant):
    with pytest.raises(HyperparameterError) as caught:
        parse_hyperparameters({typed: "1"})
    assert caught.value.near == meant
    assert f"hyperparameter {typed!r}" in str(caught.value)
    if meant:
        assert f"did you mean {meant!r}?" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("epochs", "0"),
        ("epochs", "2.5"),
        ("lr", "nan"),
        ("lr", "0"),
        ("momentum", "1"),
        ("optimizer", "adamm"),
        ("pretrained", "maybe"),
        ("label-smoothing", "1"),
        ("seed", "-1"),
        ("lr-step-epochs", "10;20"),
        ("validation-split", "1.0"),
    ],
)
def test_a_wrong_value_names_key_value_and_what_is_allowed(name, text):
    with pytest.raises(HyperparameterError) as caught:
        parse_hyperparameters({name: text})
    assert str(caught.value).startswith(f"hyperparameter {name!r}: expected ")
    assert "got" in str(caught.value)


def test_the_table_and_the_dataclass_hold_the_same_names():
    assert [name.replace("_", "-") for name in asdict(Hyperparameters())] == list(BY_NAME)


def test_every_default_and_every_choice_is_allowed():
    for setting in SETTINGS:
        for text in (str(setting.default), *setting.choices):
            assert setting.parse(text) == (text if setting.type is str else setting.default)


def test_what_is_written_out_reads_back_the_same():
    odd = replace(
        Hyperparameters(), lr=1 / 3, arch="vgg11", pretrained=False, lr_step_epochs="3,1", epochs=7
    )
    assert parse_hyperparameters(odd.to_strings()).values == odd


def test_step_epochs_come_sorted():
    assert replace(Hyperparameters(), lr_step_epochs=" 20, 3,10 ").step_epochs() == (3, 10, 20)


def test_hyperparameters_cannot_be_changed_or_made_wrong():
    with pytest.raises(FrozenInstanceError):
        Hyperparameters().lr = 1.0  # type: ignore[misc]
    with pytest.raises(HyperparameterError):
        Hyperparameters(epochs=0)


def test_batch_size_may_be_left_to_the_job():
    auto = values(batch_size="auto")
    assert auto.batch_size == 0
    assert auto.to_strings()["batch-size"] == "auto"
    assert parse_hyperparameters(auto.to_strings()).values == auto


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("arch", "resnet5O", "expected a torchvision classification builder, got 'resnet5O'; did"),
        ("model_name", "resnet_50", "did you mean 'resnet50'"),
        ("batch-size", "0", "expected a whole number >= 1 and <= 65536, or auto, got '0'"),
    ],
)
def test_a_value_that_no_training_could_use_is_refused_before_there_is_one(name, text, says):
    with pytest.raises(HyperparameterError, match=re.escape(says)):
        parse_hyperparameters({name: text})
