"""The Debugger's part of CreateTrainingJob, both ways: a DebugSpec as plain data, and back.

Our own image evaluates the rules, the built-in ones too: AWS's images know no torch of today, and
they would find other figures than a run on this machine.
"""

from collections.abc import Mapping
from typing import Any

from contract.errors import SpecError
from contract.hook_config import HookConfig
from contract.profiler_config import INTERVALS_MS, ProfilerConfig
from contract.rule_request import request_for_rule, rule_of_request
from control.debug_spec import DebugSpec

Request = dict[str, Any]


def request_for_debug(
    debug: DebugSpec,
    *,
    job: str,
    image: str,
    output: str,
    sources: Mapping[str, str] | None = None,
) -> Request:
    """The four fields of CreateTrainingJob; those that are not needed are left out.

    Args:
        job: the training job's name; a rule that stops it asks for it by this.
        image: in ECR; it holds the command that evaluates.
        output: s3://BUCKET/PREFIX, where SageMaker puts tensors, profile and findings.
        sources: path of a rule's own file here -> where it lies in S3.

    Raises SpecError: an interval that SageMaker refuses, or a rule's own file that is not in S3.
    """
    request: Request = {}
    if debug.hook is not None:
        request["DebugHookConfig"] = _hook(debug.hook, output)
    if debug.profiler is not None:
        request["ProfilerConfig"] = _profiler(debug.profiler, output)
    for field, rules in (
        ("DebugRuleConfigurations", debug.tensor_rules),
        ("ProfilerRuleConfigurations", debug.profile_rules),
    ):
        if rules:
            request[field] = [
                request_for_rule(
                    rule, job=job, image=image, source_uri=(sources or {}).get(rule.source, "")
                )
                for rule in rules
            ]
    return request


def debug_of_request(request: Mapping[str, Any]) -> DebugSpec:
    """The same from a request, or from what DescribeTrainingJob answers. Raises SpecError.

    What another image evaluates is read, too, as long as we know the rule.
    """
    profiler = request.get("ProfilerConfig")
    hook = request.get("DebugHookConfig")
    configured = [
        *(request.get("DebugRuleConfigurations") or ()),
        *(request.get("ProfilerRuleConfigurations") or ()),
    ]
    return DebugSpec(
        hook=HookConfig.from_json(hook) if hook else None,
        profiler=ProfilerConfig.from_json(profiler) if profiler else None,
        rules=tuple(rule_of_request(one) for one in configured),
    )


def _hook(hook: HookConfig, output: str) -> Request:
    """Every parameter is text already; the API needs a place in S3."""
    return {**hook.to_json(), "S3OutputPath": hook.s3_output_path or output}


def _profiler(profiler: ProfilerConfig, output: str) -> Request:
    if profiler.interval_ms not in INTERVALS_MS:
        known = ", ".join(map(str, INTERVALS_MS))
        raise SpecError(
            f"profiler: interval_ms: SageMaker takes {known}, got {profiler.interval_ms}"
        )
    return {**profiler.to_json(), "S3OutputPath": profiler.s3_output_path or output}
