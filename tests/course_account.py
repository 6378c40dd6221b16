"""An account in which the course's notebook runs: jobs end with what a run of here has left."""

import json
import time
from pathlib import Path
from typing import Any

from aws_front import Aws
from training_jobs import archive_of, write_log

from contract.study import read_study

CONTAINERS = {"output/tensors": "debug-output", "output/profiler": "profiler-output"}
OBJECTIVE = "test:loss"


class CourseAccount:
    """Training and tuning jobs of `runs`: 0001 is a study, 0002 the job that was watched."""

    def __init__(self, aws: Aws, runs: Path) -> None:
        self.aws = aws
        (self.study_folder,) = runs.glob("0001-*")
        (self.run,) = runs.glob("0002-*")
        self.study = read_study(self.study_folder / "output" / "data" / "study.json")
        self.began = int(time.time()) - 600
        self.bucket = ""
        self.jobs: dict[str, dict[str, Any]] = {}  # by name, as they are described
        aws.answer("DescribeTrainingJob", lambda asked: self.jobs[asked["TrainingJobName"]])
        aws.after("CreateTrainingJob", self._trained)
        aws.answer("ListTrainingJobsForHyperParameterTuningJob", self._trials)
        aws.after("CreateHyperParameterTuningJob", self._tuned)

    def models(self, folder: Path) -> Path:
        """The two models of the multi-model endpoint, as the container finds them."""
        found = folder / "models"
        found.mkdir()
        for name, run in {"trial": self.study_folder, "final": self.run}.items():
            (found / f"{name}.tar.gz").write_bytes(_packed(run / "model"))
        return found

    def _trained(self, request: dict[str, Any]) -> None:
        """The job has ended: its log, archives, tensors, profile and findings are there."""
        name, output = request["TrainingJobName"], request["OutputDataConfig"]["S3OutputPath"]
        self.bucket, _, prefix = output.removeprefix("s3://").partition("/")
        job = f"{prefix}/{name}"
        write_log(self.aws, name, (self.run / "train.log").read_text().splitlines())
        self._put(f"{job}/output/model.tar.gz", _packed(self.run / "model"))
        self._put(f"{job}/output/output.tar.gz", _packed(self.run / "output" / "data"))
        for local, remote in CONTAINERS.items():
            self._put_folder(self.run / local, f"{job}/{remote}")
        self._put_folder(self.run / "rule-output", f"{job}/rule-output")
        told = json.loads((self.run / "run.json").read_text())
        statuses = [
            {"RuleConfigurationName": one["name"], "RuleEvaluationStatus": one["status"]}
            for one in told["rules"]
        ]
        ended = {
            "TrainingJobStatus": "Completed",
            "SecondaryStatus": "Completed",
            "CreationTime": self.began,
            "TrainingStartTime": self.began + 60,
            "TrainingEndTime": self.began + 300,
            "TrainingTimeInSeconds": 240,
            "BillableTimeInSeconds": 240,
            "DebugRuleEvaluationStatuses": statuses,
        }
        kept = {key: value for key, value in request.items() if key != "Tags"}
        arn = f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}"
        model = {"S3ModelArtifacts": f"{output}/{name}/output/model.tar.gz"}
        self.jobs[name] = {**kept, **ended, "TrainingJobArn": arn, "ModelArtifacts": model}

    def _tuned(self, request: dict[str, Any]) -> None:
        name = request["HyperParameterTuningJobName"]
        summaries = self._summaries(name)
        best = summaries[(self.study.best or 1) - 1]
        output = request["TrainingJobDefinition"]["OutputDataConfig"]["S3OutputPath"]
        self.bucket, _, prefix = output.removeprefix("s3://").partition("/")
        model = _packed(self.study_folder / "model")
        self._put(f"{prefix}/{best['TrainingJobName']}/output/model.tar.gz", model)
        for one in summaries:
            self.jobs[one["TrainingJobName"]] = self._trial(one["TrainingJobName"], output)
        counters = {"Completed": len(summaries), "InProgress": 0, "Stopped": 0}
        self.aws.stages(
            "DescribeHyperParameterTuningJob",
            {
                "HyperParameterTuningJobStatus": "Completed",
                "CreationTime": self.began,
                "HyperParameterTuningEndTime": self.began + 400,
                "TrainingJobStatusCounters": {
                    **counters,
                    "NonRetryableError": 0,
                    "RetryableError": 0,
                },
                "BestTrainingJob": best,
                "FailureReason": "",
            },
        )

    def _trials(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"TrainingJobSummaries": self._summaries(asked["HyperParameterTuningJobName"])}

    def _summaries(self, job: str) -> list[dict[str, Any]]:
        return [
            {
                "TrainingJobName": f"{job}-{trial.number:03}-0000abcd",
                "TrainingJobArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/trial",
                "CreationTime": self.began,
                "TrainingStartTime": self.began + 30,
                "TrainingEndTime": self.began + 30 + round(trial.seconds),
                "TrainingJobStatus": "Completed",
                "TunedHyperParameters": {
                    key: str(value) for key, value in trial.hyperparameters.items()
                },
                "FinalHyperParameterTuningJobObjectiveMetric": {
                    "MetricName": OBJECTIVE,
                    "Value": trial.objective,
                    "Type": "Minimize",
                },
                "ObjectiveStatus": "Succeeded",
            }
            for trial in self.study.trials
        ]

    def _trial(self, name: str, output: str) -> dict[str, Any]:
        number = int(name.split("-")[-2])
        trial = self.study.trials[number - 1]
        return {
            "TrainingJobName": name,
            "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
            "ModelArtifacts": {"S3ModelArtifacts": f"{output}/{name}/output/model.tar.gz"},
            "TrainingJobStatus": "Completed",
            "SecondaryStatus": "Completed",
            "HyperParameters": {key: str(one) for key, one in trial.hyperparameters.items()},
            "OutputDataConfig": {"S3OutputPath": output},
            "CreationTime": self.began,
            "BillableTimeInSeconds": 60,
            "FinalMetricDataList": [
                {"MetricName": key, "Value": value, "Timestamp": self.began}
                for key, value in trial.metrics.items()
            ],
        }

    def _put_folder(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder).as_posix()}"
                self._put(key, path.read_bytes())

    def _put(self, key: str, data: bytes) -> None:
        self.aws.client("s3").put_object(Bucket=self.bucket, Key=key, Body=data)


def _packed(folder: Path) -> bytes:
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return archive_of(files)
