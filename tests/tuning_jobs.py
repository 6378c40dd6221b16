"""Tuning jobs for tests: trials as SageMaker lists them, and what moto has not got of them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aws_front import Aws
from training_jobs import put_outputs, write_log

BEGAN = 1_790_000_000  # seconds since 1970
TUNING = """
name = "dogs"
[hyperparameters]
epochs = 2
[tuning]
objective = "validation:loss"
max_jobs = 3
max_parallel_jobs = 2
[ranges]
lr = {{ min = 0.001, max = 0.1 }}
batch-size = [32, 64]
[aws]
image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-train:1"
role = "arn:aws:iam::123456789012:role/kennel-training"
output = "s3://kennel-test/out"
{aws}
[aws.channels]
train = "s3://kennel-test/train"
validation = "s3://kennel-test/valid"
{more}
"""
# lr, batch-size, the objective; None: the trial fails.
TRIALS = ((0.05, 32, 1.25), (0.012345678901234, 64, 0.75), (0.1, 32, None))


def tuning_file(folder: Path, aws: str = "", more: str = "") -> Path:
    """A complete description; `aws` are lines of its table, `more` comes after it."""
    path = folder / "dogs.toml"
    path.write_text(TUNING.format(aws=aws, more=more), encoding="utf-8")
    return path


def summary(job: str, number: int, status: str = "Completed", **more: Any) -> dict[str, Any]:
    """One of ListTrainingJobsForHyperParameterTuningJob, as it comes over the wire."""
    lr, batch_size, loss = TRIALS[number - 1]
    name = f"{job}-{number:03}-{0xABC0 + number:08x}"
    found: dict[str, Any] = {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
        "CreationTime": BEGAN + 10 * number,
        "TrainingStartTime": BEGAN + 10 * number + 60,
        "TrainingJobStatus": status,
        "TunedHyperParameters": {"lr": repr(lr), "batch-size": str(batch_size)},
    }
    if status != "InProgress":
        found["TrainingEndTime"] = BEGAN + 10 * number + 60 + 100 * number
    if status in ("Completed", "Stopped") and loss is not None:
        metric = {"MetricName": "validation:loss", "Value": loss, "Type": "Minimize"}
        found |= {
            "FinalHyperParameterTuningJobObjectiveMetric": metric,
            "ObjectiveStatus": "Succeeded",
        }
    if status == "Failed":
        found |= {"FailureReason": "AlgorithmError: no pictures, exit code: 2"}
    return {**found, **more}


def described(summaries: list[dict[str, Any]], status: str = "InProgress") -> dict[str, Any]:
    """What DescribeHyperParameterTuningJob says with such trials, on top of moto's answer."""
    statuses = [one["TrainingJobStatus"] for one in summaries]
    done = [one for one in summaries if "ObjectiveStatus" in one]
    best = min(
        done,
        key=lambda one: one["FinalHyperParameterTuningJobObjectiveMetric"]["Value"],
        default=None,
    )
    return {
        "HyperParameterTuningJobStatus": status,
        "CreationTime": BEGAN,
        "LastModifiedTime": BEGAN + 400,
        "HyperParameterTuningEndTime": BEGAN + 400 if status != "InProgress" else None,
        "TrainingJobStatusCounters": {
            "Completed": statuses.count("Completed"),
            "InProgress": statuses.count("InProgress"),
            "Stopped": statuses.count("Stopped"),
            "NonRetryableError": statuses.count("Failed"),
            "RetryableError": 0,
        },
        "BestTrainingJob": best,
        "TuningJobCompletionDetails": {},
        "FailureReason": "",
    }


class TuningJob:
    """A tuning job that goes on with every look at its trials. Its logs are real lines.

    Args:
        looks: the statuses of its trials, as they are at one look after another.
        curves: trials whose log there is.
    """

    def __init__(
        self,
        aws: Aws,
        *looks: tuple[str, ...],
        end: str = "Completed",
        curves: tuple[int, ...] = (1, 2),
    ) -> None:
        self._aws, self._looks, self._end, self._curves = aws, list(looks), end, curves
        self.stopped = 0
        aws.answer("ListTrainingJobsForHyperParameterTuningJob", self._listed)
        aws.answer("DescribeTrainingJob", self._described)
        aws.answer("StopHyperParameterTuningJob", self._stop)
        self._stage("")

    def _stop(self, _asked: dict[str, Any]) -> dict[str, Any]:
        self.stopped += 1
        self._looks, self._end = self._looks[:1], "Stopped"
        return {}

    def _now(self, job: str) -> list[dict[str, Any]]:
        return [
            summary(job, number, status) for number, status in enumerate(self._looks[0], start=1)
        ]

    def _stage(self, job: str) -> None:
        status = self._end if len(self._looks) == 1 else "InProgress"
        self._aws.stages("DescribeHyperParameterTuningJob", described(self._now(job), status))

    def _listed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Newest first, two a page, as nobody may rely on."""
        job = asked["HyperParameterTuningJobName"]
        every = self._now(job)[::-1]
        begin = int(asked.get("NextToken") or 0)
        page = every[begin : begin + 2]
        more = {"NextToken": str(begin + 2)} if len(every) > begin + 2 else {}
        if not more:
            if len(self._looks) > 1:
                self._looks.pop(0)
            self._stage(job)
        return {"TrainingJobSummaries": page, **more}

    def _described(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["TrainingJobName"]
        number = int(name.rpartition("-")[0].rpartition("-")[2])
        lr, batch_size, loss = TRIALS[number - 1]
        status = "Completed" if loss is not None else "Failed"
        if number in self._curves:
            write_log(self._aws, name, curve_lines(loss or 9.0))
        put_outputs(self._aws, name)
        final = [] if loss is None else [
            {"MetricName": "validation:loss", "Value": loss, "Timestamp": BEGAN},
            {"MetricName": "validation:accuracy", "Value": 0.5, "Timestamp": BEGAN},
        ]  # fmt: skip
        return {
            "TrainingJobName": name,
            "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
            "ModelArtifacts": {
                "S3ModelArtifacts": f"s3://kennel-test/out/{name}/output/model.tar.gz"
            },
            "TrainingJobStatus": status,
            "SecondaryStatus": status,
            "HyperParameters": {"lr": str(lr), "batch-size": str(batch_size), "epochs": "2"},
            "OutputDataConfig": {"S3OutputPath": "s3://kennel-test/out"},
            "CreationTime": BEGAN,
            "BillableTimeInSeconds": 100 * number,
            "FinalMetricDataList": final,
        }


def curve_lines(last: float) -> list[str]:
    """What training says of two epochs and its result."""
    return [
        "epoch 1/2  loss 3.0000  1.0 s",
        "validation:loss=2.500000;",
        "epoch 2/2  loss 2.0000  1.0 s",
        f"validation:loss={last:.6f};",
        "done   in 2.0 s; kept epoch 2 of 2",
        f"validation:loss={last:.6f};",
    ]


def moment(seconds: float) -> datetime:
    """So many seconds after the beginning."""
    return datetime.fromtimestamp(BEGAN + seconds, UTC)
