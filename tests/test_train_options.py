import pytest

from contract.errors import ChannelError, HyperparameterError
from contract.hyperparameters import SETTINGS, Hyperparameters
from train.options import build_parser, job_from_flags


def job(tmp_path, *words):
    (tmp_path / "dogs").mkdir(exist_ok=True)
    return job_from_flags(["--train", str(tmp_path / "dogs"), *words])


def test_every_hyperparameter_is_a_flag_and_the_defaults_are_the_tables(tmp_path):
    page = build_parser().format_help()
    for setting in SETTINGS:
        assert f"--{setting.name}" in page
    assert job(tmp_path).hyperparameters.values == Hyperparameters()


@pytest.mark.parametrize("flag", ["--batch-size=4", "--batch_size=4", "--mini_batch_size=4"])
def test_a_flag_may_be_spelt_as_the_hyperparameter_may(tmp_path, flag):
    assert job(tmp_path, flag).hyperparameters.values.batch_size == 4


def test_a_flag_may_be_followed_by_its_value(tmp_path):
    values = job(tmp_path, "--lr", "0.001", "--learning-rate", "0.001").hyperparameters.values
    assert values.lr == 0.001


def test_channels_go_by_all_their_names(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    words = ["--training", "a", "--val", "b", "--testing", "c"]
    got = job_from_flags([str(tmp_path / word) if len(word) == 1 else word for word in words])
    assert {name: channel.path.name for name, channel in got.channels.items()} == {
        "train": "a",
        "validation": "b",
        "test": "c",
    }


def test_pretrained_is_a_file_or_a_truth(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"")
    by_file = job(tmp_path, "--pretrained", str(tmp_path / "w.pth"))
    assert by_file.channels["pretrained"].path == tmp_path / "w.pth"
    assert by_file.hyperparameters.values.pretrained is True
    by_word = job(tmp_path, "--pretrained", "False")
    assert "pretrained" not in by_word.channels
    assert by_word.hyperparameters.values.pretrained is False


def test_outputs_and_name_are_flags(tmp_path):
    got = job(tmp_path, "--model-dir", "m", "--output-dir", "o", "--checkpoint-dir", "c")
    outputs = got.outputs
    assert (str(outputs.model_dir), str(outputs.checkpoint_dir)) == ("m", "c")
    assert (str(outputs.data_dir), str(outputs.failure_file)) == ("o", "o/failure")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epohcs", "3"], "did you mean 'epochs'"),
        (["--epohcs"], "did you mean 'epochs'"),
        (["--epochs", "0"], "'epochs': expected a whole number >= 1"),
        (["stray"], "a flag; see python -m train --help"),
        (["--lr", "0.1", "--learning-rate", "0.2"], "same knob"),
    ],
)
def test_a_wrong_flag_is_refused_as_a_hyperparameter(tmp_path, words, message):
    with pytest.raises(HyperparameterError, match=message):
        job(tmp_path, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "3"], "expected --train DIR, got none"),
        (["--train", "no/such/folder"], "--train no/such/folder: there is no such"),
    ],
)
def test_a_channel_that_is_not_there_is_refused(words, message):
    with pytest.raises(ChannelError, match=message):
        job_from_flags(words)


def test_percent_signs_and_braces_survive_the_help_page(capsys):
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(["--help"])
    assert caught.value.code == 0
    assert "example:" in capsys.readouterr().out
