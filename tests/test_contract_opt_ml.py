import json

import pytest

from contract.errors import ChannelError, HyperparameterError, JobError
from contract.opt_ml import OptMl, base_dir, is_job_present, read_job, write_failure, write_job


def put(base, name, value):
    path = base / "input" / "config" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def channels(base, *names, **settings):
    for name in names:
        (base / "input" / "data" / name).mkdir(parents=True)
    put(base, "inputdataconfig.json", dict.fromkeys(names, settings))
    return base


def test_what_is_written_is_read_back(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "weights.pth").write_bytes(b"")
    base = tmp_path / "opt_ml"
    write_job(
        base,
        {"epochs": "3", "sagemaker_region": '"eu-west-1"'},
        {"train": tmp_path / "pictures", "pretrained": tmp_path / "weights.pth"},
        hosts=("algo-2", "algo-1"),
        current_host="algo-2",
    )
    job = read_job(base, {"TRAINING_JOB_NAME": "dogs-1"})
    assert (job.name, job.hyperparameters.values.epochs, job.cluster.rank) == ("dogs-1", 3, 1)
    assert job.channels["train"].path.resolve() == tmp_path / "pictures"
    assert job.channels["pretrained"].path.resolve() == tmp_path / "weights.pth"
    assert job.outputs.checkpoint_dir == base / "checkpoints"
    assert job.outputs.model_dir == base / "model"
    assert is_job_present(base)


def test_writing_the_same_job_twice_is_harmless(tmp_path):
    for _ in range(2):
        write_job(tmp_path / "ml", {"epochs": "1"}, {"train": tmp_path})
    assert read_job(tmp_path / "ml", {}).channels["train"].path.resolve() == tmp_path


def test_an_empty_base_is_a_job_of_defaults(tmp_path):
    job = read_job(tmp_path, {})
    assert (job.name, dict(job.channels), job.outputs.checkpoint_dir) == ("local", {}, None)
    assert job.cluster.hosts == ("algo-1",)
    assert not is_job_present(tmp_path)


def test_a_resource_config_from_before_2022_is_enough(tmp_path):
    old = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    put(tmp_path, "resourceconfig.json", {**old, "network_interface_name": "ethwe"})
    cluster = read_job(tmp_path, {}).cluster
    assert (cluster.rank, len(cluster.hosts), cluster.network_interface) == (0, 2, "ethwe")


def test_a_host_outside_of_its_own_cluster_is_refused(tmp_path):
    put(tmp_path, "resourceconfig.json", {"current_host": "algo-3", "hosts": ["algo-1"]})
    with pytest.raises(JobError, match="'algo-3' is not among hosts"):
        read_job(tmp_path, {})


@pytest.mark.parametrize(
    ("given", "ours"),
    [("training", "train"), ("val", "validation"), ("valid", "validation"), ("Val", "validation")],
)
def test_other_peoples_channel_names_are_understood(tmp_path, given, ours):
    job = read_job(channels(tmp_path, given, ContentType="image/png"), {})
    assert set(job.channels) == {ours}
    assert job.channels[ours].path.name == given
    assert job.channels[ours].content_type == "image/png"


def test_two_names_of_one_channel_are_refused(tmp_path):
    with pytest.raises(ChannelError, match="'val' and 'valid' both mean 'validation': give one"):
        read_job(channels(tmp_path, "val", "valid"), {})


def test_pipe_mode_is_refused_with_what_to_use(tmp_path):
    with pytest.raises(ChannelError, match=r"'train' uses input mode Pipe: use File or FastFile"):
        read_job(channels(tmp_path, "train", TrainingInputMode="Pipe"), {})


def test_folders_without_config_are_channels_and_strange_ones_are_named(tmp_path):
    for name in ("train", "lists"):
        (tmp_path / "input" / "data" / name).mkdir(parents=True)
    (tmp_path / "input" / "data" / "train-manifest").write_text("[]")
    job = read_job(tmp_path, {})
    assert (set(job.channels), job.ignored_channels) == ({"train"}, ("lists",))


@pytest.mark.parametrize("text", ["{", "[]", '"x"', ""])
def test_a_damaged_config_file_is_named(tmp_path, text):
    put(tmp_path, "hyperparameters.json", text)
    with pytest.raises(JobError, match=r"hyperparameters\.json"):
        read_job(tmp_path, {})


def test_hand_written_numbers_and_booleans_count_as_strings(tmp_path):
    put(tmp_path, "hyperparameters.json", {"epochs": 3, "pretrained": False, "lr": 0.5})
    values = read_job(tmp_path, {}).hyperparameters.values
    assert (values.epochs, values.pretrained, values.lr) == (3, False, 0.5)


def test_a_wrong_hyperparameter_fails_while_reading(tmp_path):
    put(tmp_path, "hyperparameters.json", {"epohcs": "3"})
    with pytest.raises(HyperparameterError, match="did you mean 'epochs'"):
        read_job(tmp_path, {})


def test_the_checkpoint_path_may_lie_anywhere(tmp_path):
    put(tmp_path, "checkpointconfig.json", {"LocalPath": "/somewhere/else", "S3Uri": "s3://b/c"})
    assert str(read_job(tmp_path, {}).outputs.checkpoint_dir) == "/somewhere/else"


def test_the_failure_file_keeps_the_first_reason_and_1024_characters(tmp_path):
    path = OptMl(tmp_path).failure_file
    write_failure(path, "x" * 3000)
    write_failure(path, "later")
    assert path.read_text() == "x" * 1024


def test_the_environment_moves_the_base():
    assert str(base_dir({})) == "/opt/ml"
    assert str(base_dir({"SAGEMAKER_BASE_DIR": ""})) == "/opt/ml"
    assert str(base_dir({"SAGEMAKER_BASE_DIR": "/x"})) == "/x"
