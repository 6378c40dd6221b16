"""A rule as a processing job: laid out as SageMaker does, evaluated by the train image."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tensor_runs import clean_environment, write_steps

from contract.errors import SpecError
from debugger.processing import read_processing

BUCKET = "s3://bucket/jobs/one"
OWN = """
from smdebug.rules.rule import Rule

class Above(Rule):
    def __init__(self, base_trial, limit, other_trials=None):
        super().__init__(base_trial, other_trials=other_trials)
        self.limit = float(limit)

    def invoke_at_step(self, step):
        return self.base_trial.tensor("loss").value(step) > self.limit
"""


def lay_out(base: Path, environment: dict[str, str], *inputs: dict[str, object]) -> Path:
    """/opt/ml of a processing job; paths in it are a container's."""
    tensors = {
        "S3Uri": f"{BUCKET}/debug-output",
        "LocalPath": "/opt/ml/processing/input/tensors",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    output = {
        "S3Uri": f"{BUCKET}/rule-output/Rule",
        "LocalPath": "/opt/ml/processing/output/rule/",
        "S3UploadMode": "Continuous",
    }
    config = {
        "ProcessingJobName": "one-rule-1a2b3c4d",
        "AppSpecification": {"ImageUri": "kennel-train", "ContainerEntrypoint": None},
        "Environment": environment,
        "ProcessingInputs": [{"InputName": "Tensors", "S3Input": tensors}, *inputs],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "rule", "S3Output": output}]},
    }
    (base / "config").mkdir(parents=True)
    (base / "config/processingjobconfig.json").write_text(json.dumps(config))
    return base


def losses(base: Path, *values: float) -> None:
    write_steps(
        base / "processing/input/tensors",
        [("TRAIN", step, {"loss": np.float32(value)}) for step, value in enumerate(values)],
    )


def start(base: Path, **variables: str) -> subprocess.CompletedProcess:
    """What the image runs as `train`, without arguments."""
    environment = clean_environment() | {"SAGEMAKER_BASE_DIR": str(base)} | variables
    return subprocess.run(
        [sys.executable, "-m", "train.container"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_train_images_command_evaluates_a_built_in_rule(tmp_path):
    base = lay_out(tmp_path, {"rule_to_invoke": "LossNotDecreasing", "num_steps": "1"})
    losses(base, 3.0, 2.0, 2.5, 1.0)
    done = start(base)
    assert done.returncode == 1, done.stderr
    report = base / "processing/output/rule/LossNotDecreasing/report.json"
    result = json.loads(report.read_text())
    assert (result["status"], result["parameters"]["num_steps"]) == ("IssuesFound", 1)
    message = (base / "output/message").read_text()
    assert message.startswith(
        "RuleEvaluationConditionMet: Evaluation of the rule LossNotDecreasing at step 2 resulted"
    )
    assert json.loads(done.stdout.splitlines()[-1])["result"]["name"] == "LossNotDecreasing"


def test_a_users_rule_comes_as_an_input_and_its_parameters_as_variables(tmp_path):
    source = f"{BUCKET}/rules/own.py"
    folder = {"InputName": "source", "S3Input": {
        "S3Uri": source, "LocalPath": "/opt/ml/processing/input/source"}}  # fmt: skip
    base = lay_out(tmp_path, {}, folder)
    (base / "processing/input/source").mkdir(parents=True)
    (base / "processing/input/source/own.py").write_text(OWN)
    losses(base, 1.0, 2.0, 3.0)
    done = start(base, rule_to_invoke="Above", source_s3_uri=source, limit="2.5", end_step="2")
    assert done.returncode == 0, done.stderr  # step 2 is left out
    done = start(base, rule_to_invoke="Above", source_s3_uri=source, limit="2.5")
    assert done.returncode == 1, done.stderr
    assert "at step 2 resulted" in (base / "output/message").read_text()


def test_a_job_without_tensors_leaves_awss_kind_of_message(tmp_path):
    base = lay_out(tmp_path, {"rule_to_invoke": "VanishingGradient"})
    (base / "processing/input/tensors").mkdir(parents=True)
    (base / "processing/input/tensors/training_job_end.ts").touch()
    done = start(base)
    assert done.returncode == 3, done.stderr
    assert (base / "output/message").read_text().startswith("ClientError: no debugging data")


def test_a_wrong_description_is_refused_with_a_message(tmp_path):
    base = lay_out(tmp_path, {"rule_to_invoke": "Vanishing"})
    losses(base, 1.0)
    done = start(base)
    assert done.returncode == 2
    assert "did you mean VanishingGradient?" in done.stderr
    assert "did you mean VanishingGradient?" in (base / "output/message").read_text()


def test_where_the_input_has_no_folder_the_prefix_in_s3_is_read(tmp_path):
    base = lay_out(tmp_path, {"rule_to_invoke": "Overfit", "start_step": "7"})
    job = read_processing(base, {})
    assert job.source == f"{BUCKET}/debug-output"
    assert (job.steps, job.spec.parameters) == (None, {"start_step": "7"})  # its own parameter
    assert job.out == base / "processing/output/rule"


@pytest.mark.parametrize(
    ("given", "steps"),
    [({}, None), ({"start_step": "3"}, range(3, 2**62)), ({"end_step": "5"}, range(0, 5)),
     ({"start_step": "3", "end_step": "5"}, range(3, 5))],
)  # fmt: skip
def test_a_range_of_steps_belongs_to_every_rule(tmp_path, given, steps):
    base = lay_out(tmp_path, {"rule_to_invoke": "VanishingGradient", **given})
    job = read_processing(base, {"threshold": "1", "PATH": "/bin"})
    assert (job.steps, job.spec.parameters) == (steps, {"threshold": "1"})


def test_other_runs_are_handed_to_the_rule_that_compares(tmp_path):
    others = {"other_trial_0": "s3://a/x", "other_trial_1": "s3://a/y"}
    base = lay_out(tmp_path, {"rule_to_invoke": "SimilarAcrossRuns", **others})
    assert read_processing(base, {}).spec.parameters == {"other_trials": "s3://a/x,s3://a/y"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda config: config.update(ProcessingInputs=[]), "expected an input Tensors"),
        (lambda config: config.update(Environment={}), "rule_to_invoke"),
        (lambda config: config["Environment"].update(start_step="x"), "whole numbers"),
        (lambda config: config["Environment"].update(source_s3_uri="gone.py"), "gone.py"),
        (lambda config: config["ProcessingInputs"][0].update(S3Input={}), "neither a folder"),
    ],
)
def test_what_is_missing_in_the_description_is_named(tmp_path, change, says):
    base = lay_out(tmp_path, {"rule_to_invoke": "VanishingGradient"})
    path = base / "config/processingjobconfig.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    with pytest.raises(SpecError, match=says):
        read_processing(base, {})


def test_a_stop_file_among_the_tensors_ends_the_wait(tmp_path):
    base = lay_out(tmp_path, {"rule_to_invoke": "LossNotDecreasing"})
    losses(base, 1.0)
    (base / "processing/input/tensors/training_job_end.ts").unlink()
    (base / "processing/input/tensors/stop.json").touch()
    done = start(base, SAGEMAKER_ENV_RULE_STOP_SIGNAL_FILE="stop.json")
    assert done.returncode == 0, done.stderr
    assert "not enough data" in done.stdout


class SageMaker(http.server.BaseHTTPRequestHandler):
    """The two calls that stop a job: it knows two jobs of similar names, and what it was told."""

    def do_POST(self) -> None:
        call = self.headers["X-Amz-Target"].rpartition(".")[2]
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((call, asked))
        jobs = [
            {"TrainingJobName": name, "TrainingJobArn": f"arn:{name}", "CreationTime": 0,
             "TrainingJobStatus": "InProgress"}
            for name in ("Dogs-1", "old-Dogs-1")
        ]  # fmt: skip
        reply = json.dumps({"TrainingJobSummaries": jobs} if call == "ListTrainingJobs" else {})
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply.encode())

    def log_message(self, *_: object) -> None:
        pass


def test_the_action_stop_training_stops_the_one_job_whose_name_begins_so(tmp_path):
    actions = [{"name": "StopTraining", "training_job_prefix": "Dogs-"}]
    given = {"rule_to_invoke": "LossNotDecreasing", "num_steps": "1"}
    base = lay_out(tmp_path, {**given, "action_json": json.dumps(actions)})
    losses(base, 1.0, 2.0, 3.0)
    server = http.server.HTTPServer(("127.0.0.1", 0), SageMaker)
    server.heard = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = start(
            base, AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_port}",
            AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing",
        )  # fmt: skip
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    assert done.returncode == 1, done.stderr
    assert [call for call, _ in server.heard] == ["ListTrainingJobs", "StopTrainingJob"]
    assert server.heard[1][1] == {"TrainingJobName": "Dogs-1"}
