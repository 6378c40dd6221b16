"""A job description is read closed and checked before anything starts."""

import pytest

from contract.errors import ChannelError, HyperparameterError, SpecError, UsageError
from control.job_spec import Overrides, read_job_spec
from control.s3 import S3Uri


@pytest.fixture
def write_spec(tmp_path):
    """Write a job description beside a pictures folder; returns its path."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()

    def write(text, name="dogs.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


CHANNELS = '[channels]\ntrain = "pictures"\n'


def test_channel_paths_are_relative_to_the_file(write_spec, tmp_path):
    spec = read_job_spec(write_spec(CHANNELS))
    assert spec.channels == {"train": tmp_path / "pictures"}


def test_toml_scalars_become_the_strings_that_sagemaker_sends(write_spec):
    text = '[hyperparameters]\nlr = 0.01\nepochs = 3\npretrained = false\narch = "resnet18"\n'
    spec = read_job_spec(write_spec(text + CHANNELS))
    assert spec.hyperparameters == {
        "lr": "0.01",
        "epochs": "3",
        "pretrained": "false",
        "arch": "resnet18",
    }


def test_the_job_is_named_after_its_file(write_spec):
    assert read_job_spec(write_spec(CHANNELS, "my_dogs v2.toml")).name == "my-dogs-v2"


def test_unknown_name_is_refused_with_the_nearest_one(write_spec):
    with pytest.raises(SpecError, match="'chanels'; did you mean 'channels'"):
        read_job_spec(write_spec('[chanels]\ntrain = "pictures"\n'))


def test_unknown_hyperparameter_is_refused_with_the_nearest_one(write_spec):
    with pytest.raises(HyperparameterError, match="did you mean 'epochs'"):
        read_job_spec(write_spec("[hyperparameters]\nepoochs = 3\n" + CHANNELS))


def test_an_array_is_no_hyperparameter(write_spec):
    with pytest.raises(SpecError, match=r"hyperparameters\.lr: expected one value, got list"):
        read_job_spec(write_spec("[hyperparameters]\nlr = [0.1]\n" + CHANNELS))


def test_channel_aliases_are_read_as_ours(write_spec):
    spec = read_job_spec(write_spec(CHANNELS + 'valid = "pictures"\n'))
    assert sorted(spec.channels) == ["train", "validation"]


def test_two_names_of_one_channel_are_refused(write_spec):
    with pytest.raises(ChannelError, match="two channels mean 'validation'"):
        read_job_spec(write_spec(CHANNELS + 'valid = "pictures"\nval = "pictures"\n'))


def test_unknown_channel_is_refused_with_the_nearest_one(write_spec):
    with pytest.raises(ChannelError, match="did you mean 'test'"):
        read_job_spec(write_spec(CHANNELS + 'tests = "pictures"\n'))


@pytest.mark.parametrize(
    ("channels", "says"),
    [
        ("", "no train channel"),
        ('[channels]\ntrain = "nowhere"\n', "does not exist"),
        ('[channels]\ntrain = "empty"\n', "is empty"),
    ],
)
def test_a_channel_without_pictures_stops_the_job_before_it_starts(
    write_spec, tmp_path, channels, says
):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ChannelError, match=says):
        read_job_spec(write_spec(channels))


def test_a_channel_may_be_in_s3(write_spec, tmp_path):
    spec = read_job_spec(write_spec('[channels]\ntrain = "s3://bucket/a b"\nval = "pictures"\n'))
    assert spec.channels == {
        "train": S3Uri("bucket", "a b"),
        "validation": tmp_path / "pictures",
    }
    with pytest.raises(UsageError, match="expected s3://BUCKET/PREFIX"):
        read_job_spec(write_spec('[channels]\ntrain = "s3:///train"\n'))


def test_the_command_line_wins_over_the_file(write_spec, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.png").touch()
    path = write_spec('name = "a"\n[hyperparameters]\nlr = 0.1\nepochs = 2\n' + CHANNELS)
    spec = read_job_spec(
        path,
        Overrides(
            name="b",
            hyperparameters={"learning_rate": "0.5"},
            channels={"training": tmp_path / "other"},
        ),
    )
    assert spec.name == "b"
    assert spec.hyperparameters == {"epochs": "2", "learning_rate": "0.5"}
    assert spec.channels == {"train": tmp_path / "other"}


@pytest.mark.parametrize("name", ["-a", "a_b", "a b", "x" * 64])
def test_a_name_that_sagemaker_would_refuse_is_refused(write_spec, name):
    with pytest.raises(SpecError, match="at most 63 letters"):
        read_job_spec(write_spec(CHANNELS), Overrides(name=name))


@pytest.mark.parametrize("limit", ["0", '"60"', "true", "99999999"])
def test_a_wrong_time_limit_is_refused(write_spec, limit):
    with pytest.raises(SpecError, match="max_run_seconds"):
        read_job_spec(write_spec(f"max_run_seconds = {limit}\n" + CHANNELS))


@pytest.mark.parametrize(("text", "says"), [("name = ", "as TOML"), ("name = 3\n", "text in")])
def test_broken_descriptions_name_the_file(write_spec, text, says):
    with pytest.raises(SpecError, match=rf"dogs\.toml.*{says}"):
        read_job_spec(write_spec(text))
