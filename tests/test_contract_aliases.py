import pytest

from contract.errors import HyperparameterError
from contract.hyperparameters import parse_hyperparameters


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ({"learning_rate": "0.5"}, {"lr": 0.5}),
        ({"mini_batch_size": "8"}, {"batch_size": 8}),
        ({"num_layers": "34"}, {"arch": "resnet34"}),
        ({"image_shape": "3, 64, 64"}, {"image_size": 64}),
        ({"use_pretrained_model": "1"}, {"pretrained": True}),
        ({"augmentation_type": "crop_color"}, {"augment": "crop_color"}),
        ({"lr_scheduler_step": "3,6"}, {"lr_step_epochs": "3,6", "schedule": "step"}),
        ({"lr_scheduler_factor": "0.5"}, {"lr_step_factor": 0.5}),
        ({"precision_dtype": "float16"}, {"precision": "fp16"}),
        ({"use_weighted_loss": "1"}, {"balance": "weights"}),
        ({"early_stopping": "False"}, {"early_stopping_patience": 0}),
        ({"early_stopping": "true"}, {"early_stopping_patience": 5}),
        ({"optimizer": "nesterov"}, {"optimizer": "nag"}),
        ({"train_only_on_top_layer": "False"}, {"unfreeze": "all"}),
        ({"num_classes": "133"}, {"num_classes": 133}),
        ({"multi_label": "0"}, {}),
        ({"epoch": "3"}, {"epochs": 3}),
    ],
)
def test_the_built_in_algorithms_names_are_understood(given, ours):
    values = parse_hyperparameters(given).values
    assert {name: getattr(values, name) for name in ours} == ours


def test_a_translation_is_said_aloud():
    notes = parse_hyperparameters({"learning_rate": '"0.5"', "num_training_samples": "9"}).notes
    assert notes == (
        "learning_rate=0.5 is read as lr=0.5",
        "num_training_samples is not needed: pictures are counted",
    )


def test_two_names_of_one_knob_must_agree():
    agreeing = {"lr": "0.5", "learning_rate": '"0.5"'}
    assert parse_hyperparameters(agreeing).values.lr == 0.5
    with pytest.raises(HyperparameterError, match=r"agree with lr=0.5 \(same knob\)"):
        parse_hyperparameters({"lr": "0.5", "learning_rate": "0.1"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("multi_label", "1"),
        ("num_layers", "20"),
        ("image_shape", "3,64,32"),
        ("image_shape", "1,28,28"),
        ("early_stopping", "perhaps"),
    ],
)
def test_what_we_cannot_honour_is_refused_by_its_own_name(name, text):
    with pytest.raises(HyperparameterError, match=f"hyperparameter '{name}': expected"):
        parse_hyperparameters({name: text})


@pytest.mark.parametrize("order", [1, -1])
def test_early_stopping_off_makes_its_patience_mean_nothing(order):
    given = [("early_stopping", "False"), ("early_stopping_patience", "5")][::order]
    assert parse_hyperparameters(dict(given)).values.early_stopping_patience == 0
