"""Traffic: how it moves from an old configuration to a new one, and the alarms that move it back.

Source: SageMaker developer guide, deployment guardrails; SageMaker metrics in CloudWatch.
"""

from collections.abc import Iterable, Mapping, Sequence

from contract.errors import SpecError
from control.aws.account import Account
from control.aws.call import Call, Request
from control.aws.endpoint.deployment import DeploymentSpec
from control.aws.endpoint.request import KIND
from control.aws.endpoint.update_policy import LONGEST_SECONDS
from control.aws.names import alarm_of
from control.aws.tags import Tags

ROUTING = {"all-at-once": "ALL_AT_ONCE", "canary": "CANARY", "linear": "LINEAR"}
SIZES = {"canary": "CanarySize", "linear": "LinearStepSize"}
STARTING_SECONDS = 1_800  # for machines to come up, before their containers start
# Of the alarms that kennel makes: a twentieth of the answers, five seconds.
MOST_ERRORS = 0.05
MOST_LATENCY_US = 5_000_000.0
_MEASURES: Mapping[str, Request] = {
    "5xx": {
        "MetricName": "Invocation5XXErrors",
        "Statistic": "Average",
        "Threshold": MOST_ERRORS,
        "AlarmDescription": "more than a twentieth of the requests fail",
    },
    "latency": {
        "MetricName": "ModelLatency",  # in microseconds
        "ExtendedStatistic": "p90",
        "Threshold": MOST_LATENCY_US,
        "AlarmDescription": "one request in ten takes longer than 5 seconds",
    },
}


def deployment_config(spec: DeploymentSpec) -> Request | None:
    """DeploymentConfig of UpdateEndpoint; None where AWS's own way, all at once, is meant."""
    policy = spec.update
    alarms = alarm_names(spec)
    if policy.strategy == "all-at-once" and not alarms and not policy.keep_seconds:
        return None
    limit = update_seconds(spec)
    size = {"Type": "CAPACITY_PERCENT", "Value": policy.share}
    config: Request
    if policy.strategy == "rolling":
        rolling: Request = {
            "MaximumBatchSize": size,
            "WaitIntervalInSeconds": policy.wait_seconds,
            "MaximumExecutionTimeoutInSeconds": limit,
        }
        config = {"RollingUpdatePolicy": rolling}
    else:
        routing: Request = {
            "Type": ROUTING[policy.strategy],
            "WaitIntervalInSeconds": policy.wait_seconds,
        }
        if policy.strategy in SIZES:
            routing[SIZES[policy.strategy]] = size
        config = {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": routing,
                "TerminationWaitInSeconds": policy.keep_seconds,
                "MaximumExecutionTimeoutInSeconds": limit,
            }
        }
    if alarms:
        config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return config


def starting_seconds(spec: DeploymentSpec) -> int:
    """How long machines may take until they answer: to come up, to get the model, to load it."""
    return STARTING_SECONDS + 2 * spec.place.startup_seconds


def update_seconds(spec: DeploymentSpec) -> int:
    """How long an update may take before AWS takes it back."""
    policy = spec.update
    return min(LONGEST_SECONDS, policy.seconds + policy.starts * starting_seconds(spec))


def alarm_names(spec: DeploymentSpec) -> list[str]:
    """The alarms that roll an update back: the file's, or those that kennel makes."""
    if not spec.update.has_auto_alarms:
        return list(spec.update.alarms)
    return [str(call.parameters["AlarmName"]) for call in alarm_calls(spec)]


def alarm_calls(spec: DeploymentSpec) -> list[Call]:
    """PutMetricAlarm for `alarms = "auto"`: errors and latency of each variant."""
    if not spec.update.has_auto_alarms:
        return []
    return [call for one in spec.variants for call in _alarms(spec, one.name)]


def auto_alarm_names(endpoint: str, variants: Iterable[str]) -> list[str]:
    """Of those that `alarms = "auto"` makes, whether they are there or not."""
    return [alarm_of(endpoint, one, what) for one in variants for what in _MEASURES]


def alarm_removal(name: str) -> Call:
    """Deletes one alarm; AWS may take none of several of which one is not there."""
    parameters: Request = {"AlarmNames": [name]}
    return Call(service="cloudwatch", operation="DeleteAlarms", parameters=parameters)


def alarms_there(account: Account, names: Sequence[str]) -> list[str]:
    """Which of these alarms there are. Raises AwsError."""
    return list(_described(account, names))


def check_alarms(account: Account, spec: DeploymentSpec) -> None:
    """Raises SpecError: an alarm that the file names does not exist here. AwsError."""
    names = list(spec.update.alarms)
    if not names:
        return
    found = _described(account, names)
    if missing := [name for name in names if name not in found]:
        raise SpecError(
            f"{spec.path}: update.alarms: {', '.join(map(repr, missing))} does not exist in "
            f'{account.region}: make it, or write alarms = "auto"'
        )


def _alarms(spec: DeploymentSpec, variant: str) -> list[Call]:
    return [
        Call(
            service="cloudwatch",
            operation="PutMetricAlarm",
            parameters={
                "AlarmName": alarm_of(spec.name, variant, name),
                "Namespace": "AWS/SageMaker",
                "Dimensions": [
                    {"Name": "EndpointName", "Value": spec.name},
                    {"Name": "VariantName", "Value": variant},
                ],
                "Period": 60,
                "EvaluationPeriods": 1,
                "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "notBreaching",  # nobody asks: nothing is wrong
                **measure,
                "Tags": Tags(name=spec.name, kind=KIND, more=spec.place.tags).as_list(),
            },
        )
        for name, measure in _MEASURES.items()
    ]


def ringing(account: Account, spec: DeploymentSpec) -> list[str]:
    """The update's alarms that ring now. Raises AwsError."""
    names = alarm_names(spec)
    if not names:
        return []
    found = _described(account, names)
    return [name for name, state in found.items() if state == "ALARM"]


def _described(account: Account, names: Sequence[str]) -> dict[str, str]:
    """Alarm -> OK, ALARM or INSUFFICIENT_DATA, of those that exist."""
    parameters: Request = {
        "AlarmNames": list(names),
        "AlarmTypes": ["MetricAlarm", "CompositeAlarm"],
    }
    call = Call(service="cloudwatch", operation="DescribeAlarms", parameters=parameters)
    answer = account.send(call, "the alarms of the update")
    return {
        str(one["AlarmName"]): str(one.get("StateValue", ""))
        for kind in ("MetricAlarms", "CompositeAlarms")
        for one in answer.get(kind, ())
    }
