"""`kennel scale apply|show|undo`: scaling is put on an endpoint, looked at, and taken off."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from contract.errors import UsageError
from control.aws.account import Account
from control.aws.call import Call, calls_json
from control.aws.missing_endpoint import no_endpoint
from control.aws.money import Cost, agree, instances
from control.aws.money import as_json as costs_json
from control.aws.scaling.applying import (
    Scaled,
    apply_scaling,
    as_sent,
    read_scaling,
    undo_scaling,
)
from control.aws.scaling.asked import Asked, asked_of
from control.aws.scaling.ending import alarm_ends, hours_left
from control.aws.scaling.policy import ScalingSpec
from control.aws.scaling.requests import describing_calls, scaling_calls, undo_calls
from control.aws.scaling.variants import EndpointState, read_endpoint, scaled_variants
from control.terminal import say, say_json, table

MOST_ACTIVITIES = 5
ASYNCHRONOUS = "asynchronous"  # the kind that may have no machine, and an alarm that wakes it


def apply(arguments: argparse.Namespace) -> int:
    """Put the policy on every variant, or on the one that was named."""
    asked = asked_of(arguments)
    spec = asked.policy()
    account = Account()
    if arguments.show and asked.kind and asked.variants:
        say_json(calls_json(_calls(asked, spec)))
        _note_schedule(asked)
        return 0
    state = _state(account, asked.name)
    state.check_ready(spec)
    asked = _completed(asked, state)
    calls = as_sent(account, _calls(asked, spec), f"scaling of {asked.name}")
    ends, why = _ends(account, asked, is_waking=spec.minimum == 0)
    if arguments.show:
        say_json(calls_json([*calls, *ends]))
        return 0
    echo = sys.stderr if arguments.output == "json" else sys.stdout
    costs = _costs(asked, spec, hours_left(account, asked.name))
    agree(costs, is_yes=arguments.yes, to=echo)
    apply_scaling(account, calls, f"scaling of {asked.name}")
    for call in ends:
        account.find(call, f"the scheduled deletion of {asked.name}")
    if arguments.output == "json":
        say_json(
            {
                "endpoint": asked.name,
                "kind": asked.kind,
                "variants": list(asked.variants),
                "requests": calls_json([*calls, *ends]),
                "costs": costs_json(costs),
            }
        )
        return 0
    for variant in asked.variants:
        say(f"scaled:  {asked.name}, variant {variant}: {spec.line}")
    if spec.minimum == 0:
        say("         an alarm wakes it from 0 about two minutes after a request has come")
    if why:
        say(f"note:    {why}; `kennel cleanup {asked.name}` removes it")
    say(f"next:    kennel scale show {asked.name}")
    return 0


def undo(arguments: argparse.Namespace) -> int:
    """Take scaling off; the instances stay as many as they are."""
    asked = asked_of(arguments)
    if arguments.show and asked.kind and asked.variants:
        say_json(calls_json(_undoing(asked.name, dict.fromkeys(asked.variants, asked.kind))))
        _note_schedule(asked)
        return 0
    account = Account()
    kinds = _kinds(account, asked)
    sleepless = tuple(name for name, kind in kinds.items() if kind == ASYNCHRONOUS)
    ends, _ = _ends(account, replace(asked, kind=ASYNCHRONOUS, variants=sleepless), is_waking=False)
    if arguments.show:
        say_json(calls_json([*_undoing(asked.name, kinds), *ends]))
        return 0
    done = {
        variant: undo_scaling(account, asked.name, variant, kind) for variant, kind in kinds.items()
    }
    for call in ends:
        account.find(call, f"the scheduled deletion of {asked.name}")
    off = [variant for variant, operations in done.items() if _was_scaled(operations)]
    if arguments.output == "json":
        say_json({"endpoint": asked.name, "undone": off, "looked_at": list(done)})
        return 0
    for variant in off:
        say(f"undone:  {asked.name}, variant {variant}: it keeps the instances that it has")
    if not off:
        say(f"undone:  nothing: {asked.name} is not scaled")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """What is registered, by which policies, and what they did lately."""
    asked = asked_of(arguments)
    if arguments.show and asked.kind and asked.variants:
        say_json(calls_json(_describing(asked)))
        return 0
    account = Account()
    state = _state(account, asked.name)
    asked = _completed(asked, state)
    if arguments.show:
        say_json(calls_json(_describing(asked)))
        return 0
    found = [read_scaling(account, asked.name, one, asked.kind) for one in asked.variants]
    counts = {one["VariantName"]: one for one in state.variants}
    if arguments.output == "json":
        say_json(
            {
                "endpoint": state.name,
                "status": state.status,
                "kind": state.kind,
                "variants": [_to_json(one, counts.get(one.variant, {})) for one in found],
            }
        )
        return 0
    say(f"endpoint {state.name}: {state.status}, {state.kind}")
    for one in found:
        say(_text(one, counts.get(one.variant, {})))
    is_scaled = any(one.target for one in found)
    following = "undo" if is_scaled else "apply"
    more = "" if is_scaled else " --max 3 --invocations-per-instance 600"
    say(f"next:    kennel scale {following} {state.name}{more}")
    return 0


def _state(account: Account, name: str) -> EndpointState:
    state = read_endpoint(account, name)
    if state is None:
        raise no_endpoint(account, name)
    return state


def _completed(asked: Asked, state: EndpointState) -> Asked:
    """With what AWS knows. Raises UsageError: there is no such variant."""
    names = tuple(one["VariantName"] for one in state.variants)
    _check_variants(asked, names)
    return replace(
        asked,
        kind=asked.kind or state.kind,
        variants=asked.variants or names,
        instance_types=state.instance_types,
    )


def _check_variants(asked: Asked, names: Sequence[str]) -> None:
    """Raises UsageError: a variant that there is not."""
    if missing := [one for one in asked.variants if one not in names]:
        raise UsageError(
            f"endpoint {asked.name} has no variant {missing[0]!r}; known: {', '.join(names)}"
        )


def _calls(asked: Asked, spec: ScalingSpec) -> list[Call]:
    return [
        call
        for variant in asked.variants
        for call in scaling_calls(asked.name, variant, asked.kind, spec, asked.tags)
    ]


def _ends(account: Account, asked: Asked, *, is_waking: bool) -> tuple[list[Call], str]:
    """What the alarms of its variants change about its scheduled deletion; why they would stay."""
    if asked.kind != ASYNCHRONOUS or not asked.variants:
        return [], ""
    return alarm_ends(account, asked.name, asked.variants, is_waking=is_waking)


def _note_schedule(asked: Asked) -> None:
    """What is shown without asking AWS leaves out what depends on it."""
    if asked.kind == ASYNCHRONOUS:
        said = f"where {asked.name} has a scheduled deletion, that of its alarms follows, too"
        say(f"note:    {said}", to=sys.stderr)


def _costs(asked: Asked, spec: ScalingSpec, hours: float | None) -> list[Cost]:
    """At their most, until the endpoint ends; what runs now is paid for already."""
    if asked.kind == "serverless":
        what = f"up to {spec.maximum} provisioned, endpoint {asked.name}"
        return [Cost(what=what, per_hour=None, hours=hours, note="by memory: see AWS's page")]
    note = f"{spec.minimum} at least, this is the most"
    return [
        instances(
            spec.maximum,
            asked.instance_types.get(variant, "unknown type"),
            "hosting",
            f"endpoint {asked.name}, variant {variant}",
            hours,
            note=note,
        )
        for variant in asked.variants
    ]


def _kinds(account: Account, asked: Asked) -> dict[str, str]:
    """Variant -> kind, of what may be scaled: the endpoint may be gone already.

    Raises UsageError: nothing has this name, neither an endpoint nor what scaled one; or no such
    variant.
    """
    kinds = scaled_variants(account, asked.name)
    state = read_endpoint(account, asked.name)
    if state is not None:
        kinds |= {one["VariantName"]: state.kind for one in state.variants}
    elif not kinds:
        raise no_endpoint(account, asked.name)
    found = {name: kinds[name] for name in asked.variants or kinds if name in kinds}
    if not found:
        _check_variants(asked, tuple(kinds))
    return found


def _describing(asked: Asked) -> list[Call]:
    return [
        call
        for variant in asked.variants
        for call in describing_calls(asked.name, variant, asked.kind)
    ]


def _undoing(endpoint: str, kinds: dict[str, str]) -> list[Call]:
    return [call for name, kind in kinds.items() for call in undo_calls(endpoint, name, kind)]


def _was_scaled(operations: list[str]) -> bool:
    """DeleteAlarms says nothing: some alarm that is not there counts as deleted."""
    return any(operation != "DeleteAlarms" for operation in operations)


def _to_json(one: Scaled, counts: Any) -> dict[str, Any]:
    return {
        "variant": one.variant,
        "instances": counts.get("CurrentInstanceCount"),
        "desired": counts.get("DesiredInstanceCount"),
        "target": _plain(one.target),
        "policies": [_plain(policy) for policy in one.policies],
        "activities": [_plain(activity) for activity in one.activities],
    }


def _plain(value: Any) -> Any:
    """Dates as text."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _text(one: Scaled, counts: Any) -> str:
    now = counts.get("CurrentInstanceCount")
    wanted = counts.get("DesiredInstanceCount", now)
    running = "" if now is None else f", {now} instances now, {wanted} wanted"
    if one.target is None:
        return f"variant:  {one.variant}{running}: not scaled"
    low, high = one.target["MinCapacity"], one.target["MaxCapacity"]
    lines = [f"variant:  {one.variant}{running}, {low} to {high}"]
    lines += [f"policy:   {_policy_text(policy)}" for policy in one.policies]
    if one.activities:
        rows = [
            (
                f"{activity['StartTime']:%Y-%m-%d %H:%M:%S}",
                activity["StatusCode"],
                activity["Description"],
                activity["Cause"],
            )
            for activity in one.activities[:MOST_ACTIVITIES]
        ]
        lines.append(table(("started", "status", "what", "why"), rows))
    return "\n".join(lines)


def _policy_text(policy: dict[str, Any]) -> str:
    name = policy["PolicyName"]
    tracking = policy.get("TargetTrackingScalingPolicyConfiguration")
    if not tracking:
        return f"{name}: {policy['PolicyType']}"
    predefined = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    metric = predefined or tracking.get("CustomizedMetricSpecification", {}).get("MetricName")
    return f"{name}: {metric} = {tracking['TargetValue']:g}"
