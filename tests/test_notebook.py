"""notebooks/train_and_deploy.ipynb runs from top to bottom: here, and in an account's stand-in."""

import ast
import json
from itertools import pairwise

import pytest
from aws_front import Reply
from aws_world import no_provisioned
from batch_player import Player
from course_account import CourseAccount
from executing import NOTEBOOK, execute
from lambdas import function
from serving import server

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The notebook as it is in the repository, once for all tests."""
    return execute(tmp_path_factory.mktemp("here"))


def put_images(aws):
    """Both images, as they are after a push."""
    ecr = aws.client("ecr")
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER,
        "config": {"digest": "sha256:0", "size": 1},
    }
    for name in ("kennel-train", "kennel-serve-cpu"):
        ecr.create_repository(repositoryName=name)
        ecr.put_image(
            repositoryName=name,
            imageManifest=json.dumps({**manifest, "layers": []}),
            imageManifestMediaType=DOCKER,
            imageTag="latest",
        )


def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def documents(executed):
    folder = executed.folder / "course" / "evidence"
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_it_is_kept_without_outputs():
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert len(code) > 15
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}


def test_every_cell_says_why_first():
    kinds = [cell["cell_type"] for cell in cells()]
    before = [first for first, second in pairwise(kinds) if second == "code"]
    assert set(before) == {"markdown"}


def test_it_imports_nothing_that_a_setup_does_not_bring():
    code = "\n".join("".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code")
    found = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    ours = {"json", "os", "shlex", "subprocess", "sys", "tempfile", "urllib", "pathlib"}
    assert found == ours | {"matplotlib", "IPython", "boto3", "control"}


def test_it_runs_from_top_to_bottom_here(here):
    assert here.error == ""
    assert all(cell["execution_count"] for cell in here.cells)
    assert here.pictures == 6
    found = documents(here)
    assert found["data"]["pictures"] == 1000
    assert len(found["predict"]["predictions"]) == 10
    assert found["batch"]["answered"] == 200
    first = found["predict"]["predictions"][0]
    through = found["lambda-test"]["predictions"][0]
    assert (through["label"], through["probability"]) == (first["label"], first["probability"])


def test_the_model_has_learnt_digits(here):
    (run,) = (here.folder / "course" / "runs").glob("0002-*")
    found = json.loads((run / "run.json").read_text())
    assert found["metrics"]["test:accuracy"] > 0.8  # of ten classes
    answers = documents(here)["predict"]["predictions"]
    right = [one["label"] == one["picture"].split("/")[-2] for one in answers]
    assert sum(right) >= 7


def test_what_is_missing_is_what_only_an_account_has(here):
    (folder,) = (here.folder / "course" / "runs").glob("*-submission")
    text = (folder / "checklist.md").read_text()
    assert "4 missing: notebook, upload, endpoint, cleanup." in text
    assert (folder / "images" / "predictions.png").is_file()


@pytest.fixture
def there(here, aws, tmp_path):
    """The same notebook with one variable changed, in an account where jobs end as those here."""
    account = CourseAccount(aws, here.folder / "course" / "runs")
    put_images(aws)
    folder = tmp_path / "there"
    folder.mkdir()
    models = {"SAGEMAKER_MULTI_MODEL": "true", "KENNEL_MODELS_DIR": str(account.models(tmp_path))}
    with (
        server(account.run / "model") as one,
        server(None, models) as many,
        function(aws, tmp_path / "lambda") as ask,
    ):
        aws.serve_endpoints(one.url, many.url)
        aws.after("CreateTransformJob", Player(aws=aws, url=one.url))
        no_provisioned(aws)
        aws.answer("DescribeScalingActivities", {"ScalingActivities": []})  # moto lacks it
        aws.answer("Invoke", lambda event: Reply(body=json.dumps(ask(event)).encode()))
        yield execute(folder, {**aws.environment, "KENNEL_POLL_SECONDS": "0.05"}, WHERE="aws")


def test_one_variable_takes_it_to_aws(here, there, aws):
    assert there.error == ""
    made = {one.operation for one in aws.seen if one.operation.startswith("Create")}
    assert made >= {
        *("CreateBucket", "CreateHyperParameterTuningJob", "CreateTrainingJob", "CreateModel"),
        *("CreateEndpointConfig", "CreateEndpoint", "CreateTransformJob", "CreateFunction"),
    }
    ours, theirs = documents(there), documents(here)
    assert (
        ours["predict"]["predictions"][0]["label"] == theirs["predict"]["predictions"][0]["label"]
    )
    assert ours["cleanup"]["left"] == []
    assert aws.client("sagemaker").list_endpoints()["Endpoints"] == []
    (folder,) = (there.folder / "course" / "runs").glob("*-submission")
    assert "1 missing: notebook." in (folder / "checklist.md").read_text()
