"""A rule as the API has it: one entry of DebugRuleConfigurations, and back to a RuleSpec.

`control` makes requests of it; in a rule's own container `debugger` reads what came of them.
Source: SageMaker API reference, DebugRuleConfiguration.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from contract.errors import SpecError
from contract.rules import STOP, WEBHOOK, Action, RuleSpec

# Of a rule's processing job. It reads what training saved and needs no GPU.
RULE_INSTANCE, RULE_VOLUME_GB = "ml.t3.medium", 30
RULE_PATH = "/opt/ml/processing/output/rule/"  # whence the platform collects what it finds
INVOKE, SOURCE, ACTIONS = "rule_to_invoke", "source_s3_uri", "action_json"
STOP_TRAINING = "stoptraining"  # AWS's word for it
OTHER_TRIAL = re.compile(r"other_trial_\d+")  # one parameter each, where ours is a list


def request_for_rule(
    rule: RuleSpec, *, job: str, image: str, source_uri: str = ""
) -> dict[str, Any]:
    """One entry of DebugRuleConfigurations or ProfilerRuleConfigurations.

    Args:
        job: the training job's name; a rule that stops it asks for it by this.
        image: in ECR; it evaluates the rule.
        source_uri: where the rule's own file lies in S3, if it has one.

    Raises SpecError: it has one, and it is not in S3.
    """
    parameters = {INVOKE: rule.rule, **rule.parameters}
    if rule.source:
        if not source_uri:
            raise SpecError(
                f"rule {rule.name}: {rule.source} has to be in S3, where SageMaker can read it"
            )
        parameters[SOURCE] = source_uri
    if rule.actions:
        parameters[ACTIONS] = json.dumps([_action(one, job) for one in rule.actions])
    return {
        "RuleConfigurationName": rule.name,
        "RuleEvaluatorImage": image,
        "LocalPath": RULE_PATH,
        "InstanceType": RULE_INSTANCE,
        "VolumeSizeInGB": RULE_VOLUME_GB,
        "RuleParameters": parameters,
    }


def rule_of_request(configured: Mapping[str, Any]) -> RuleSpec:
    """The rule of such an entry, whichever image evaluates it. Raises SpecError."""
    given = dict(configured.get("RuleParameters") or {})
    name = configured.get("RuleConfigurationName")
    rule, actions = given.pop(INVOKE, None), given.pop(ACTIONS, "[]")
    if not name or not rule:
        raise SpecError(f"a rule's configuration has no name or no {INVOKE}: {configured!r}")
    others = [given.pop(key) for key in sorted(given) if OTHER_TRIAL.fullmatch(key)]
    if others:
        given["other_trials"] = ",".join(others)
    return RuleSpec(
        name=name,
        rule=rule,
        source=given.pop(SOURCE, ""),
        parameters=given,
        actions=tuple(_action_of(name, one) for one in _actions(name, actions)),
    )


def _action(action: Action, job: str) -> dict[str, Any]:
    """In AWS's words where it has some."""
    if action.name == STOP:
        return {"name": STOP_TRAINING, "training_job_prefix": job}
    return {"name": action.name, **({"endpoint": action.url} if action.url else {})}


def _actions(name: str, text: str) -> Sequence[Mapping[str, str]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SpecError(f"rule {name}: {ACTIONS} is no JSON: {error}") from None
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(one, dict) for one in listed):
        raise SpecError(f"rule {name}: {ACTIONS}: expected a list of objects, got {text!r}")
    return listed


def _action_of(rule: str, given: Mapping[str, str]) -> Action:
    """Mail and SMS, which AWS also has, are not ours. Raises SpecError."""
    name = str(given.get("name", "")).lower()
    if name == STOP_TRAINING:
        return Action(name=STOP)
    try:
        return Action(name=name, url=given.get("endpoint", "") if name == WEBHOOK else "")
    except SpecError as error:
        raise SpecError(f"rule {rule}: {ACTIONS}: {error}") from None
