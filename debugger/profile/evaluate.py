"""Evaluating the profiler's rules over a profile: results in AWS's words and ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contract.files import write_json
from contract.profile_rules import PROFILER_REPORT, SINGLE_PROFILE_RULES
from contract.rule_kind import RuleKind
from contract.rule_parameter import ParameterValue
from contract.rule_result import Finding, RuleResult, RuleStatus
from contract.rules import RuleSpec, kind_of
from debugger.guard import guarded
from debugger.profile import parameters as told
from debugger.profile.aws import bottlenecks, overall, steps, usage
from debugger.profile.data import Profile
from debugger.profile.facts import Facts
from debugger.profile.headlines import rank
from debugger.profile.numbers import to_plain
from debugger.profile.rules.batch_size import judge_batch_size
from debugger.profile.rules.cpu_bottleneck import judge_cpu_bottleneck
from debugger.profile.rules.dataloader import judge_dataloader
from debugger.profile.rules.gpu_memory_increase import judge_gpu_memory_increase
from debugger.profile.rules.io_bottleneck import judge_io_bottleneck
from debugger.profile.rules.load_balancing import judge_load_balancing
from debugger.profile.rules.low_gpu_utilization import judge_low_gpu_utilization
from debugger.profile.rules.max_initialization_time import judge_max_initialization_time
from debugger.profile.rules.overall import (
    judge_overall_framework_metrics,
    judge_overall_system_usage,
)
from debugger.profile.rules.step_outlier import judge_step_outlier
from debugger.profile.verdict import State, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """How one rule is told and computed."""

    parameters: type[told.Parameters]
    judge: Callable[[Facts, Any], Verdict]  # corrected
    replay: Callable[[Profile, Any], Verdict]  # as AWS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A rule with what it was told."""

    kind: RuleKind
    name: str  # of the result
    values: Mapping[str, ParameterValue]  # defaults included
    given: frozenset[str]  # those that somebody asked for


_RULES: Mapping[str, _Rule] = {
    name: _Rule(parameters=parameters, judge=judge, replay=replay)
    for name, parameters, judge, replay in (
        ("CPUBottleneck", told.CpuBottleneck, judge_cpu_bottleneck,
         bottlenecks.replay_cpu_bottleneck),
        ("IOBottleneck", told.IoBottleneck, judge_io_bottleneck,
         bottlenecks.replay_io_bottleneck),
        ("LowGPUUtilization", told.LowGpuUtilization, judge_low_gpu_utilization,
         usage.replay_low_gpu_utilization),
        ("StepOutlier", told.StepOutlier, judge_step_outlier, steps.replay_step_outlier),
        ("GPUMemoryIncrease", told.GpuMemoryIncrease, judge_gpu_memory_increase,
         usage.replay_gpu_memory_increase),
        ("BatchSize", told.BatchSize, judge_batch_size, usage.replay_batch_size),
        ("MaxInitializationTime", told.MaxInitializationTime, judge_max_initialization_time,
         steps.replay_max_initialization_time),
        ("LoadBalancing", told.LoadBalancing, judge_load_balancing,
         usage.replay_load_balancing),
        ("OverallSystemUsage", told.Parameters, judge_overall_system_usage,
         overall.replay_overall_system_usage),
        ("Dataloader", told.Dataloader, judge_dataloader, steps.replay_dataloader),
        ("OverallFrameworkMetrics", told.Parameters, judge_overall_framework_metrics,
         overall.replay_overall_framework_metrics),
    )
}  # fmt: skip


def evaluate_profile(
    profile: Profile, spec: RuleSpec, *, compat: bool = False
) -> tuple[RuleResult, ...]:
    """One rule's result; for ProfilerReport those of all rules in AWS's order, its own last.

    Args:
        compat: AWS's arithmetic with its defects, window by window. ProfilerReport's own parameter
            `aws_compat` says the same.
    """
    compat = compat or bool(spec.values().get("aws_compat"))
    facts = Facts.of(profile)
    if spec.rule != PROFILER_REPORT.name:
        return (_evaluate(facts, _asked(spec), compat),)
    results = [_evaluate(facts, _asked_of(kind, spec), compat) for kind in SINGLE_PROFILE_RULES]
    return (*results, _report_result(facts, spec, results))


def write_json_reports(results: Sequence[RuleResult], folder: Path) -> None:
    """<Rule>.json of every rule of AWS's report, with its envelope."""
    for result in results:
        if result.rule != PROFILER_REPORT.name:
            write_json(folder / f"{result.rule}.json", dict(result.report))


_COMPAT_ADVICE = "evaluate without aws_compat: then the rule names the cause and what to change"


def _asked(spec: RuleSpec) -> _Asked:
    return _Asked(
        kind=kind_of(spec.rule),
        name=spec.name,
        values=spec.values(),
        given=frozenset(spec.parameters),
    )


def _asked_of(kind: RuleKind, spec: RuleSpec) -> _Asked:
    """Of one rule in a ProfilerReport, whose parameters bear the rule's name in front."""
    every = spec.values()
    prefixed = {one.name: f"{kind.name}_{one.name}" for one in kind.parameters}
    return _Asked(
        kind=kind,
        name=kind.name,
        values={name: every.get(long, every.get(name)) for name, long in prefixed.items()},
        given=frozenset(name for name, long in prefixed.items() if long in spec.parameters),
    )


def _evaluate(facts: Facts, asked: _Asked, compat: bool) -> RuleResult:
    rule = _RULES[asked.kind.name]
    parameters = rule.parameters.of(asked.values, asked.given)
    # One rule that fails must not end the report of the others, as it does at AWS.
    outcome = guarded(
        f"rule {asked.kind.name}",
        lambda: rule.replay(facts.profile, parameters) if compat else rule.judge(facts, parameters),
    )
    verdict = outcome.value
    if verdict is None:
        nothing = Verdict(state=State.NOT_ENOUGH, sentence=outcome.error)
        return _result(asked, nothing, "Error", f"the rule failed: {outcome.error}")
    status: RuleStatus = "IssuesFound" if verdict.state is State.FIRED else "NoIssuesFound"
    return _result(asked, verdict, status, f"{verdict.state}: {verdict.sentence}")


def _result(asked: _Asked, verdict: Verdict, status: RuleStatus, details: str) -> RuleResult:
    findings = tuple(verdict.findings)
    if verdict.state is State.FIRED and not findings:  # AWS's arithmetic names no cause
        message = f"{asked.kind.name}: {asked.kind.help}; {verdict.sentence}"
        findings = (Finding(step=0, message=message, advice=_COMPAT_ADVICE),)
    return RuleResult(
        name=asked.name,
        rule=asked.kind.name,
        status=status,
        details=details,
        findings=findings,
        num_findings=max(len(findings), verdict.triggered),
        datapoints=verdict.datapoints,
        parameters=dict(asked.values),
        report=_envelope(asked, verdict),
        modified_at=_now(),
    )


def _envelope(asked: _Asked, verdict: Verdict) -> dict[str, Any]:
    """In AWS's form; the parameters' order and spelling are part of it."""
    lines = [f"{name}:{_spelled(asked.values[name])}" for name in asked.kind.reported]
    return {
        "RuleTriggered": int(verdict.triggered),
        "Violations": int(verdict.violations),
        "Details": to_plain(verdict.details),
        "Datapoints": int(verdict.datapoints),
        "RuleParameters": "\n".join(lines),
    }


def _spelled(value: ParameterValue) -> str:
    """AWS's notebook reads whole numbers with int()."""
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def _report_result(facts: Facts, spec: RuleSpec, results: Sequence[RuleResult]) -> RuleResult:
    """AWS's ProfilerReport stands for all rules: any that fired is an issue of the job.

    Its findings are the first ones of those rules, what costs most first.
    """
    fired = [one for one in results if one.status == "IssuesFound"]
    names = ", ".join(one.rule for one in fired)
    return RuleResult(
        name=spec.name,
        rule=spec.rule,
        status="IssuesFound" if fired else "NoIssuesFound",
        details=f"{State.FIRED}: {names}" if fired else f"{State.FINE}: no rule fired",
        findings=tuple(one.findings[0] for one in rank(facts, results)),
        num_findings=len(fired),
        datapoints=max((one.datapoints for one in results), default=0),
        parameters=dict(spec.values()),
        report={
            "RuleTriggered": len(fired),
            "Violations": sum(one.report["Violations"] for one in fired),
            "Details": {one.rule: one.status for one in results},
            "Datapoints": max((one.datapoints for one in results), default=0),
            "RuleParameters": "",
        },
        modified_at=_now(),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
