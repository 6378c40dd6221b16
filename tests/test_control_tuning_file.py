"""TUNING.toml: a base job, what is searched, and where; checked before anything starts."""

import re
import tomllib
from pathlib import Path

import pytest

from contract.errors import ChannelError, HyperparameterError, SpecError
from contract.tuning import TUNING_KEY, TuningSpec
from control.job_spec import Overrides
from control.tuning_file import TOP, TUNING, read_tuning

ROOT = Path(__file__).resolve().parents[1]
JOB = """
name = "dogs"
max_run_seconds = 600
[hyperparameters]
epochs = 30
learning_rate = 0.01
[channels]
train = "pictures"
test = "pictures"
"""
SEARCH = """
[tuning]
objective = "average test loss"
max_jobs = 20
[ranges]
lr = { min = 0.001, max = 0.1 }
batch-size = [32, 64]
"""
AWS = """
[aws]
image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/kennel-train:1"
role = "arn:aws:iam::123456789012:role/kennel"
output = "s3://bucket/out"
[aws.channels]
training = "s3://bucket/train"
test = "s3://bucket/test"
"""


@pytest.fixture
def read(tmp_path):
    """Write dogs.toml and a tuning description beside a picture; read the latter."""
    (tmp_path / "jobs" / "pictures").mkdir(parents=True)
    (tmp_path / "jobs" / "pictures" / "a.png").touch()
    (tmp_path / "jobs" / "dogs.toml").write_text(JOB)

    def read(text, *arguments, head='job = "dogs.toml"\n', **options):
        path = tmp_path / "jobs" / "dogs_tuning.toml"
        path.write_text(head + text)
        return read_tuning(path, *arguments, **options)

    return read


def test_the_base_job_gives_what_is_not_searched(read, tmp_path):
    tuning = read(SEARCH)
    assert tuning.spec.name == "dogs"
    assert tuning.spec.static == {"epochs": "30"}
    assert tuning.channels["train"] == tmp_path / "jobs" / "pictures"
    assert tuning.limit_seconds == 20 * 600


def test_what_stands_higher_wins_over_the_base_job(read):
    overrides = Overrides(name="mine", hyperparameters={"num_layers": "18"})
    tuning = read('[hyperparameters]\nepoch = 5\narch = "resnet50"\n' + SEARCH, overrides, 3)
    assert tuning.spec.static == {"epoch": "5", "num_layers": "18"}
    assert (tuning.spec.name, tuning.spec.num_jobs) == ("mine", 3)


def test_a_study_needs_no_base_job(read, tmp_path):
    inline = '[hyperparameters]\nepochs = 2\n[channels]\ntrain = "pictures"\ntest = "pictures"\n'
    tuning = read(inline + SEARCH, head="")
    assert (tuning.spec.name, tuning.job) == ("dogs-tuning", None)
    assert tuning.study_job().channels["test"] == tmp_path / "jobs" / "pictures"


def test_the_whole_study_is_one_training_job(read):
    job = read(SEARCH).study_job()
    assert job.hyperparameters.keys() == {"epochs", TUNING_KEY}
    spec = TuningSpec.from_hyperparameter(job.hyperparameters[TUNING_KEY], {"epochs": "30"})
    assert spec == read(SEARCH).spec


def test_a_budget_of_time_leaves_time_for_the_farewell(read):
    tuning = read(SEARCH.replace("max_jobs = 20", "max_jobs = 20\nmax_runtime_seconds = 900"))
    assert tuning.limit_seconds == 1500


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tunning]\n" + SEARCH, "did you mean 'tuning'"),
        ("", "expected the tables [tuning] and [ranges], there is neither: a job is run by"),
        (SEARCH.replace("max_jobs", "max_job"), "tuning: unknown name 'max_job'; did you mean"),
        (SEARCH.replace("20", "2000"), "dogs_tuning.toml: tuning.max_jobs: expected >= 1"),
        ('job = "cats.toml"\n' + SEARCH, "as TOML"),
        (SEARCH + '[warm_start]\ntype = "TransferLearning"\n', "warm_start.parents: expected"),
        (SEARCH.replace("min = 0.001", "min = 0"), "dogs_tuning.toml: hyperparameter 'lr': exp"),
        (SEARCH.replace("[32, 64", "[-1, 64"), "dogs_tuning.toml: hyperparameter 'batch-size'"),
        (SEARCH.replace("min =", "mni ="), "dogs_tuning.toml: ranges.lr: unknown name 'mni'"),
        ("[hyperparameters]\nepoch = 0\n" + SEARCH, "dogs_tuning.toml: hyperparameter 'epochs'"),
        (SEARCH + "[aws]\n", "aws.output: expected where results go"),
        (
            SEARCH + AWS.replace("arn:aws:iam", "iam"),
            "aws.role: expected a role's name, or its ARN",
        ),
        (SEARCH + AWS.replace("s3://bucket/out", "bucket"), "aws.output: expected s3://"),
        (SEARCH + AWS.replace("training", "trian"), "did you mean 'train'"),
        (SEARCH + AWS.replace("[aws.ch", "spot = 1\n[aws.ch"), "aws.spot: expected true or false"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(read, text, says):
    with pytest.raises(SpecError) as caught:
        read(text)
    assert says in str(caught.value)
    assert "dogs_tuning.toml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(SpecError, match=r"cats\.toml does not exist; paths are relative"):
        read(SEARCH, head='job = "cats.toml"\n')
    with pytest.raises(SpecError, match="give the path of a tuning description"):
        read_tuning(tmp_path / "nowhere.toml")


def test_what_is_searched_cannot_be_set_too(read):
    with pytest.raises(HyperparameterError, match="either a range or one value, not both"):
        read(SEARCH, Overrides(hyperparameters={"lr": "0.5"}))


def test_a_test_objective_needs_a_test_channel(read):
    tuning = read('[channels]\ntrain = "pictures"\n' + SEARCH, head="")
    with pytest.raises(ChannelError, match="test:loss needs a test channel"):
        tuning.study_job()


def test_pictures_in_s3_need_none_here(read):
    tuning = read(SEARCH + AWS, in_aws=True)
    assert {name: str(uri) for name, uri in tuning.channels.items()} == {
        "train": "s3://bucket/train/",
        "test": "s3://bucket/test/",
    }
    assert tuning.aws.role.endswith("role/kennel")


def test_a_channel_of_this_machine_says_how_to_bring_it_to_aws(read):
    with pytest.raises(ChannelError, match=r"`kennel data push .*pictures s3://bucket/dogs/train`"):
        read(SEARCH + AWS.replace("training", "validation"), in_aws=True)


def test_a_study_takes_its_place_in_aws_from_its_job(read, tmp_path):
    (tmp_path / "jobs" / "dogs.toml").write_text(JOB + AWS)
    assert read(SEARCH, in_aws=True).aws.output == "s3://bucket/out"
    assert read(SEARCH + AWS.replace("bucket/out", "mine"), in_aws=True).aws.output == "s3://mine"


def test_the_page_about_tuning_describes_files_that_are_read(read):
    page = (ROOT / "docs" / "tuning.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    tuning = read("\n".join(blocks), head="")
    assert tuning.spec.warm_start.parents == ("0003-dogs-tuning",)
    assert tuning.aws.channels.keys() == {"train", "validation"}
    named = {*TOP, *TUNING} - {"name", "job", "aws", "goal", "seed"}
    assert [name for name in named if f"`{name}`" not in page and f"[{name}]" not in page] == []


def test_the_example_is_the_courses_classic_search():
    path = ROOT / "jobs" / "dogs_tuning.toml"
    spec = read_tuning(path).spec
    assert (spec.objective.metric, spec.num_jobs, spec.static["epochs"]) == ("test:loss", 20, "5")
    assert tomllib.loads(path.read_text())["job"] == "dogs.toml"
