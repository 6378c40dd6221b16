"""Rubric: what the reviewers of two courses look for, which files show it, and what makes them."""

from collections.abc import Mapping
from dataclasses import dataclass

from control.submission.evidence import COMMANDS, Evidence

TRAIN = "kennel run JOB.toml --from best --debug --profile"
TUNE = "kennel tune TUNING.toml"
AGAIN = "run and save all its cells, then: kennel submission --notebook FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing to be shown. It is there when every one of `files` is in the package."""

    key: str
    what: str
    files: tuple[str, ...]  # PREFIX* is any file of that beginning
    how: str = ""  # what makes it; evidence has its own commands
    evidence: str = ""  # the kind of document that it rests on
    is_extra: bool = False  # nothing is missing without it

    def advice(self, evidence: Evidence) -> str:
        """The command that makes what is missing."""
        return self.how or evidence.command(self.evidence)


def _kept(key: str, what: str, kind: str, *files: str, is_extra: bool = False) -> Line:
    if kind not in COMMANDS:
        raise KeyError(kind)
    more = files or (f"evidence/{kind}.json",)
    return Line(key=key, what=what, files=more, evidence=kind, is_extra=is_extra)


DATA = (
    _kept("data", "the data set: classes and counts", "data", "tables/classes.csv"),
    _kept("upload", "the data in S3", "push"),
)
TUNING = (
    Line(
        key="ranges",
        what="two or more hyperparameters with their ranges",
        files=("tables/ranges.csv",),
        how=TUNE,
    ),
    Line(
        key="tuning",
        what="the tuning job: two or more trials with values and results",
        files=("cards/tuning.svg", "tables/trials.csv", "reports/study.html"),
        how=TUNE,
    ),
    Line(key="best", what="the best hyperparameters", files=("tables/best.json",), how=TUNE),
)
TRAINING = (
    Line(
        key="metrics",
        what="metrics logged during training",
        files=("tables/metrics.csv", "logs/train.log"),
        how="kennel run JOB.toml --from best",
    ),
    Line(key="jobs", what="completed training jobs", files=("cards/job-*",), how=TRAIN),
    Line(key="curves", what="loss and accuracy curves", files=("images/curves.png",), how=TRAIN),
)
DEBUGGING = (
    Line(key="rules", what="debugger hook and rules", files=("reports/rules.json",), how=TRAIN),
    Line(
        key="variable",
        what="a debugger variable over time",
        files=("images/debugger.png",),
        how=TRAIN,
    ),
    Line(
        key="anomaly",
        what="what the debugger found, and what it means",
        files=("reports/findings.txt",),
        how=TRAIN,
    ),
    Line(
        key="profiler",
        what="the profiler's report as HTML",
        files=("reports/profiler-report.html",),
        how=TRAIN,
    ),
    Line(
        key="insights",
        what="what the profiler's report says",
        files=("reports/profiler.txt",),
        how=TRAIN,
    ),
)
ENDPOINT = (
    _kept(
        "endpoint",
        "the deployed endpoint, in service, and code that asks it",
        "deploy",
        "cards/endpoint.svg",
        "scripts/ask_endpoint.py",
    ),
    _kept("prediction", "predictions for pictures", "predict", "tables/predictions.csv"),
)
CLEANED = (_kept("cleanup", "the endpoint deleted", "cleanup"),)
README = (
    Line(key="readme", what="README.md with every heading", files=("README.md",), how=TRAIN),
    Line(
        key="pictures",
        what="pictures in the README",
        files=("images/*", "cards/*"),
        how=TRAIN,
    ),
)
NOTEBOOK = (
    Line(
        key="notebook",
        what="the notebook, all cells run",
        files=("notebook/train_and_deploy.ipynb",),
        how=AGAIN,
    ),
)
SCRIPTS = (
    Line(key="scripts", what="what was run, to run again", files=("scripts/job.toml",), how=TRAIN),
)
LAMBDA = (
    _kept("lambda", "the Lambda function", "lambda-deploy"),
    _kept("lambda-test", "what the Lambda function answered", "lambda-test"),
)
SCALING = (_kept("scaling", "autoscaling of the endpoint", "scale-show"),)


def _extra(*lines: Line) -> tuple[Line, ...]:
    return tuple(
        Line(
            key=line.key,
            what=line.what,
            files=line.files,
            how=line.how,
            evidence=line.evidence,
            is_extra=True,
        )
        for line in lines
    )


COURSES: Mapping[str, tuple[Line, ...]] = {
    "image-classification": (
        *NOTEBOOK,
        *SCRIPTS,
        *README,
        *DATA,
        *TUNING,
        *TRAINING,
        *DEBUGGING,
        *ENDPOINT,
        *CLEANED,
        _kept("batch", "batch transform", "batch", is_extra=True),
        _kept("multi", "many models behind one endpoint", "deploy-multi", is_extra=True),
        *_extra(*LAMBDA, *SCALING),
        _kept("simulated", "scaling, played beforehand", "scaling", is_extra=True),
    ),
    "ops": (
        *NOTEBOOK,
        *SCRIPTS,
        *README,
        *DATA,
        *TRAINING,
        Line(
            key="several",
            what="training on several machines",
            files=("tables/jobs-several.csv",),
            how="kennel run JOB.toml --on aws --instances 2",
        ),
        Line(
            key="ec2",
            what="training on a machine of EC2",
            files=("tables/jobs-ec2.csv",),
            how="kennel run JOB.toml --on ec2",
        ),
        *ENDPOINT,
        *LAMBDA,
        _kept("security", "the roles' policies", "iam"),
        Line(
            key="concurrency",
            what="provisioned or reserved concurrency",
            files=("tables/concurrency.csv",),
            how="kennel lambda deploy NAME --endpoint NAME --reserved-concurrency 5 "
            "--provisioned-concurrency 1 -o json > evidence/lambda-deploy.json",
        ),
        *SCALING,
        _kept("simulated", "scaling, played beforehand", "scaling", is_extra=True),
        *CLEANED,
        _kept("cost", "what it costs", "cost-before", is_extra=True),
    ),
}
