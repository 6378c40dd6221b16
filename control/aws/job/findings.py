"""Findings: what the rules of a training job in AWS came to, as those of a local run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from contract.errors import HostError, SpecError
from contract.files import read_json, write_json
from contract.rule_result import REPORT_NAME, RULE_OUTPUT, RuleResult, RuleStatus
from control.aws.account import Account
from control.aws.job.ending import rules_of
from control.aws.job.outputs import fetch_findings
from control.aws.job.watch import Description, describe_training_job
from control.aws.waiting import wait_for
from control.s3 import S3Uri
from control.terminal import complain, say

# Each is a processing job, which has minutes to look at the rest once the training has ended.
PATIENCE_SECONDS = 1_200.0
UNDER_WAY = frozenset({"InProgress", "Stopping"})
STATUSES: Mapping[str, RuleStatus] = {
    "NoIssuesFound": "NoIssuesFound",
    "IssuesFound": "IssuesFound",
    "Error": "Error",
    "Stopping": "Stopping",
    "Stopped": "Stopped",
}


def evaluations_of(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What DescribeTrainingJob says of every rule."""
    return [
        *(found.get("DebugRuleEvaluationStatuses") or []),
        *(found.get("ProfilerRuleEvaluationStatuses") or []),
    ]


def wait_for_rules(
    account: Account, found: Description, look_again: str, echo: TextIO
) -> Description:
    """The description once every rule has ended, or the last one when our patience is over."""
    if all(_is_done(one) for one in evaluations_of(found)):
        return found
    say(f"rules:   {len(evaluations_of(found))} are still being evaluated", to=echo)
    name, answers = found["TrainingJobName"], [found]
    try:
        return wait_for(
            lambda: account.send(describe_training_job(name), f"training job {name}"),
            lambda answer: all(_is_done(one) for one in evaluations_of(answer)),
            what=f"the evaluation of the rules of {name}",
            limit_seconds=PATIENCE_SECONDS,
            look_again=look_again,
            on_answer=answers.append,
        )
    except HostError as error:
        complain(f"note: {error}")
        return answers[-1]


def findings_of(found: Description, folder: Path) -> tuple[RuleResult, ...]:
    """Every rule's result: its own report where it left one, else what AWS says.

    Raises AwsError, HostError, ChannelError: the reports cannot be fetched.
    """
    evaluations = evaluations_of(found)
    if not evaluations:
        return ()
    output = found["OutputDataConfig"]["S3OutputPath"]
    fetch_findings(S3Uri.parse(output).join(found["TrainingJobName"]), folder)
    reports = _reports_in(folder / RULE_OUTPUT)
    kinds = {rule.name: rule.rule for rule in rules_of(found)}
    return tuple(_result(one, reports, kinds) for one in evaluations)


def _reports_in(folder: Path) -> dict[str, RuleResult]:
    """By the rule's name in the job, which its container is not told: it gets it here."""
    found: dict[str, RuleResult] = {}
    for path in sorted(folder.glob(f"*/{REPORT_NAME}")):
        result = RuleResult.from_json(read_json(path, SpecError))
        name = path.parent.name
        if result.name != name:
            result = replace(result, name=name)
            write_json(path, result.to_json())
        found[name] = result
    return found


def _result(
    evaluation: Mapping[str, Any],
    reports: Mapping[str, RuleResult],
    kinds: Mapping[str, str],
) -> RuleResult:
    name = str(evaluation.get("RuleConfigurationName", ""))
    status = STATUSES.get(str(evaluation.get("RuleEvaluationStatus")), "InProgress")
    if name in reports:  # AWS's word on how its container ended counts, too
        own = reports[name]
        return own if status in UNDER_WAY or own.status == status else replace(own, status=status)
    return RuleResult(
        name=name,
        rule=kinds.get(name, name),
        status=status,
        details=str(evaluation.get("StatusDetails", "")),
    )


def _is_done(evaluation: Mapping[str, Any]) -> bool:
    return evaluation.get("RuleEvaluationStatus") not in UNDER_WAY
