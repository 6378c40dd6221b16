from pathlib import Path

import pytest
from serving import REPOSITORY

from contract.errors import SpecError
from serve.settings import VARIABLES, ServeSettings, read_settings, settings_table, write_settings


def test_no_variable_gives_the_defaults():
    assert read_settings({}) == ServeSettings()


def test_an_empty_variable_counts_as_unset():
    assert read_settings({"SAGEMAKER_BIND_TO_PORT": " "}).port == 8080


def test_the_model_folder_is_below_the_base_directory():
    assert read_settings({}).model_dir == Path("/opt/ml/model")
    assert read_settings({"SAGEMAKER_BASE_DIR": "/srv"}).model_dir == Path("/srv/model")
    assert read_settings({"KENNEL_BUNDLE": "/b"}).model_dir == Path("/b")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "http", "a whole number >= 1 and <= 65535"),
        ("SAGEMAKER_BIND_TO_PORT", "70000", "a whole number >= 1 and <= 65535"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0", ">= 1"),
        ("KENNEL_ENGINE", "tensorrt", "auto | openvino | torch"),
        ("KENNEL_MAX_PIXELS", "-5", ">= 1"),
    ],
)
def test_a_wrong_value_is_refused_with_name_range_and_value(name, text, expected):
    with pytest.raises(SpecError) as caught:
        read_settings({name: text})
    message = str(caught.value)
    assert name in message
    assert expected in message
    assert f"got {text}" in message.replace("'", "")


def test_a_payload_limit_of_zero_means_the_largest_that_sagemaker_sends():
    assert read_settings({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}).max_body_bytes == 1024**3
    assert read_settings({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "6"}).max_body_bytes == 6 * 1024**2


def test_written_settings_are_read_back():
    values = {"port": 9000, "engine": "torch", "bundle": "/b"}
    assert read_settings(write_settings(values)) == ServeSettings(**values)


def test_every_variable_is_in_the_reference():
    reference = (REPOSITORY / "docs" / "api.md").read_text()
    assert settings_table() in reference
    assert len({setting.name for setting in VARIABLES.values()}) == len(VARIABLES)
