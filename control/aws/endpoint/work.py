"""Work: what creating and updating an endpoint have in common, and how it is undone."""

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from control.aws.account import Account, is_missing, is_taken
from control.aws.call import Call
from control.aws.endpoint.artifact import upload
from control.aws.endpoint.deployment import DeploymentSpec
from control.aws.endpoint.following import Follower
from control.aws.endpoint.model_store import ModelStore
from control.aws.endpoint.plan import EndpointPlan
from control.aws.endpoint.publish import publish
from control.aws.endpoint.request import sagemaker_call
from control.aws.endpoint.traffic import alarm_removal, starting_seconds, update_seconds
from control.aws.waiting import poll_seconds
from control.aws_client import AwsError
from control.terminal import say

# What one of SageMaker's machines has made another may not know yet.
PATIENT_TRIES = 12


@dataclass(slots=True, kw_only=True)
class Work:
    """One deployment under way."""

    account: Account
    spec: DeploymentSpec
    planned: EndpointPlan | None = None  # none where nothing is made, as when going back
    follower: Follower
    echo: TextIO
    way_back: str = ""  # the command that rolls back
    is_yes: bool = False
    is_kept: bool = False  # what was made stays when it fails
    is_under_way: bool = field(default=False, init=False)  # AWS goes on without us
    is_unsure: bool = field(default=False, init=False)  # no answer came: it may be there
    _undo: list[Call] = field(default_factory=list, init=False)

    @property
    def plan(self) -> EndpointPlan:
        """What is made."""
        assert self.planned, "going back makes nothing"
        return self.planned

    @property
    def limit_seconds(self) -> float:
        """How long the endpoint may take until it answers."""
        return starting_seconds(self.spec)

    @property
    def update_limit_seconds(self) -> float:
        """How long an update may take, and to be taken back once AWS has waited for so long."""
        return update_seconds(self.spec) + self.limit_seconds

    def make_parts(self) -> None:
        """Upload what is not there, and make models and the configuration."""
        for artifact in self.plan.artifacts:
            is_new = upload(self.account, artifact)
            what = "uploaded" if is_new else "is there already"
            say(f"model:   {artifact.uri} {what}", to=self.echo)
        self.publish_models()
        for call in self.plan.models:
            name = call.parameters["ModelName"]
            if not self._exists("DescribeModel", ModelName=name):
                self._make(self.account.send, call, f"model {name}")
                self._undo.append(sagemaker_call("DeleteModel", ModelName=name))
        self._make_config()

    def publish_models(self) -> bool:
        """Of a multi-model endpoint: those that the file names. They are never taken back.

        Returns whether one of them is new.
        """
        spec, wanted = self.spec.multi_model, self.plan.publications
        if not spec or not wanted:
            return False
        store = ModelStore(self.account, spec.prefix)
        published = publish(self.account, store, wanted)
        for name, is_new in published.items():
            what = "uploaded" if is_new else "is there already"
            say(f"model:   {store.uri(name)} {what}", to=self.echo)
        return any(published.values())

    def make_alarms(self, *, is_undone: bool) -> None:
        """Those that roll an update back; making them again changes nothing."""
        for call in self.plan.alarms:
            name = call.parameters["AlarmName"]
            self.account.send(call, f"alarm {name}")
            if is_undone:
                self._undo.append(alarm_removal(name))

    def patiently(self, call: Call, doing: str) -> None:
        """Send a call that names what was made a moment ago. Raises AwsError."""
        for tries_left in reversed(range(PATIENT_TRIES)):
            try:
                self.account.send(call, doing)
                return
            except AwsError as error:
                if not is_missing(error) or not tries_left:
                    raise
                time.sleep(poll_seconds())

    def undo_later(self, call: Call) -> None:
        """What takes back something that was just made."""
        self._undo.append(call)

    @property
    def has_made(self) -> bool:
        """Whether there is something that `undo` would take back."""
        return bool(self._undo)

    def may_remove(self) -> bool:
        """Whether what a failure left is removed; asks whoever is there and did not say --yes."""
        if self.is_kept or self.is_yes or not sys.stdin.isatty():
            return not self.is_kept
        say("remove what was made? [Y/n] ", to=self.echo)
        return sys.stdin.readline().strip().lower() not in ("n", "no")

    def undo(self) -> bool:
        """Remove what this deployment has made, last things first; what is in use stays.

        Returns whether all of it went.
        """
        if self.is_kept:
            return False
        is_gone = True
        while self._undo:
            call = self._undo.pop()
            try:
                self.account.find(call, call.operation)
                if call.operation == "DeleteEndpoint":
                    self.follower.until_gone()
            except AwsError as error:
                say(f"note:    it stays: {error}", to=self.echo)
                is_gone = False
                if call.operation == "DeleteEndpoint":
                    break  # and with it the schedule that ends it
        return is_gone

    def _make_config(self) -> None:
        """A configuration of this name says the same, save perhaps the weights."""
        name = self.plan.config_name
        looked = sagemaker_call("DescribeEndpointConfig", EndpointConfigName=name)
        found = self.account.find(looked, f"configuration {name}")
        removal = sagemaker_call("DeleteEndpointConfig", EndpointConfigName=name)
        if found is not None:
            if are_same_weights(weights_of(found), weights_of(self.plan.config.parameters)):
                return
            self.account.find(removal, f"configuration {name}")
        self._make(self.patiently, self.plan.config, f"configuration {name}")
        self._undo.append(removal)

    def _make(self, send: Callable[[Call, str], object], call: Call, doing: str) -> None:
        """Its name says what is in it: what is there by now is the same, whoever made it."""
        try:
            send(call, doing)
        except AwsError as error:
            if not is_taken(error):
                raise

    def _exists(self, operation: str, **parameters: str) -> bool:
        name = next(iter(parameters.values()))
        return self.account.find(sagemaker_call(operation, **parameters), name) is not None


def weights_of(config: Mapping[str, Any]) -> dict[str, float]:
    """Variant -> weight of a configuration's request or description."""
    return {
        str(one["VariantName"]): float(one.get("InitialVariantWeight", 1.0))
        for one in config["ProductionVariants"]
    }


def are_same_weights(some: Mapping[str, float], others: Mapping[str, float]) -> bool:
    """Whether they mean the same: AWS keeps a weight in 32 bits, 0.1 comes back as 0.100000001."""
    return some.keys() == others.keys() and all(
        math.isclose(weight, others[name], rel_tol=1e-6) for name, weight in some.items()
    )
