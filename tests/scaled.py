"""For the tests of scaling: endpoints in moto, and a slow simulator written another way."""

import math
from fractions import Fraction

from control.aws.scaling.policy import ScalingSpec

ROLE = "arn:aws:iam::123456789012:role/kennel-endpoint"
DELAY, OUT, IN = 60, 3, 15  # seconds and points of a metric by the minute


def make_endpoint(aws, name="dogs", variants=("main",), **config):
    """A real-time endpoint in moto, or what `config` of CreateEndpointConfig makes it."""
    client = aws.client("sagemaker")
    client.create_model(
        ModelName=name,
        PrimaryContainer={"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/kennel-serve:1"},
        ExecutionRoleArn=ROLE,
    )
    machine = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    if "ServerlessConfig" in config:
        machine = {"ServerlessConfig": config.pop("ServerlessConfig")}
    client.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {"VariantName": variant, "ModelName": name, **machine} for variant in variants
        ],
        **config,
    )
    client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    aws.forget()


def targets_of(aws):
    client = aws.client("application-autoscaling")
    return client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]


def policies_of(aws):
    client = aws.client("application-autoscaling")
    return client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]


def alarms_of(aws):
    alarms = aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return [one for one in alarms if one["AlarmName"].startswith("kennel-")]


def spec(**changes):
    """By invocations a minute, 1 to 5."""
    usual = {"minimum": 1, "maximum": 5, "metric": "invocations_per_instance", "target": 60.0}
    return ScalingSpec(**{**usual, **changes})


def play_slowly(rates, policy, rate, room, startup):
    """Whole requests one by one, and every decision from the whole past.

    Returns (changes as (second, before, after), served, refused, left, late, paid seconds).
    """
    first = math.ceil(Fraction(sum(rates[:60]), len(rates[:60])) * 60 / Fraction(policy.target))
    ready = max(policy.minimum, min(policy.maximum, first))
    starting, queue, points, changes = None, [], [], []
    served = refused = late = paid = 0
    minute = Fraction(0)
    for second, came in enumerate(rates):
        paid += starting[1] if starting else ready
        everybody = queue + [second] * came
        answered, rest = everybody[: ready * rate], everybody[ready * rate :]
        away = min(came, max(0, len(rest) - ready * room))
        queue = rest[: len(rest) - away]
        served, refused = served + len(answered), refused + away
        late += sum(second - one > 60 for one in answered)
        minute += Fraction(came, ready)
        now = second + 1
        if now % 60 == 0:
            points.append((now + DELAY, minute))
            minute = Fraction(0)
        if starting and now >= starting[0]:
            ready, starting = starting[1], None
        if starting or not any(when == now for when, _ in points):
            continue
        wanted = _decide(
            [value for when, value in points if when <= now], changes, ready, policy, now
        )
        if wanted == ready:
            continue
        ends = now + startup if wanted > ready else now
        changes.append((now, ready, wanted, ends))
        if wanted > ready and startup:
            starting = (ends, wanted)
        else:
            ready = wanted
    return [one[:3] for one in changes], served, refused, len(queue), late, paid


def _decide(seen, changes, ready, policy, now):
    target = Fraction(policy.target)
    if len(seen) >= OUT and min(seen[-OUT:]) > target:
        base = ready
        outs = [one for one in changes if one[2] > one[1]]
        if outs and now < outs[-1][3] + policy.scale_out_cooldown_seconds:
            base = outs[-1][1]
        wanted = min(policy.maximum, math.ceil(max(1, base) * seen[-1] / target))
        return max(ready, wanted)
    if len(seen) >= IN and max(seen[-IN:]) < target * Fraction(9, 10):
        # The cooldown counts while nothing but fewer instances came last.
        is_cooling = bool(changes) and changes[-1][2] < changes[-1][1]
        if is_cooling and now < changes[-1][3] + policy.scale_in_cooldown_seconds:
            return ready
        return min(ready, max(policy.minimum, math.ceil(ready * seen[-1] / target)))
    return ready
