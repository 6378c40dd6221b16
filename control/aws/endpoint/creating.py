"""Creating: an endpoint that does not exist yet, from the upload to the first answer."""

import time

from contract.errors import UsageError
from control.aws.account import is_taken
from control.aws.call import Call
from control.aws.endpoint.following import (
    Described,
    EndpointFailedError,
    advice_for,
    reason_of,
)
from control.aws.endpoint.image import DENIED
from control.aws.endpoint.lifetime import End, check_endings, while_it_answers
from control.aws.endpoint.plan import costs_of
from control.aws.endpoint.request import sagemaker_call
from control.aws.endpoint.work import PATIENT_TRIES, Work
from control.aws.expiry import is_end_of_expiry, removal_of, set_expiry
from control.aws.money import agree
from control.aws.scaling.applying import apply_scaling
from control.aws.tags import EXPIRES, NEVER
from control.aws.waiting import poll_seconds
from control.aws_client import AwsError
from control.terminal import say


def create(work: Work) -> Described:
    """Make the endpoint, and wait until it answers; what a failure left half is removed.

    Raises UsageError: nobody agreed to the cost, its schedule could not delete it, or somebody else
    has just made it. HostError: it failed, with AWS's reason; the container's last lines were said
    before. AwsError.
    """
    spec = work.plan.spec
    check_endings(work)
    agree(costs_of(spec), is_yes=work.is_yes, to=work.echo)
    try:
        work.make_parts()
        work.make_alarms(is_undone=True)
        _make_endpoint(work)
    except AwsError as error:
        if work.is_unsure:
            again = work.follower.look_again
            told = f"{error}; it may have been made all the same: `{again}` looks, and goes on"
            raise AwsError(told, error.code) from None
        work.undo()
        raise
    expires = work.plan.expires
    return finish_creating(work, End(expires.isoformat(timespec="seconds") if expires else ""))


def finish_creating(work: Work, end: End) -> Described:
    """Wait for an endpoint that is being created, and say what became of it. Raises as `create`."""
    spec = work.plan.spec
    answer = work.follower.until_settled(work.limit_seconds)
    if answer["EndpointStatus"] != "InService":
        raise _failed(work, answer)
    with while_it_answers(work, end):
        if work.plan.scaling:
            apply_scaling(work.account, work.plan.scaling, f"scaling of {spec.name}")
    return answer


def remove_failed(work: Work) -> None:
    """Delete an endpoint that came to nothing, so that its name is free again."""
    name = work.plan.spec.name
    work.account.find(sagemaker_call("DeleteEndpoint", EndpointName=name), f"endpoint {name}")
    work.follower.until_gone()


def _make_endpoint(work: Work) -> None:
    """The schedules first: no minute passes in which nothing would end the endpoint."""
    name = work.plan.spec.name
    for call in work.plan.endings:
        if is_end_of_expiry(call):
            _end_old_schedule(work, call)
        # One that was there is of an endpoint that somebody makes beside us: not ours to end.
        elif set_expiry(work.account, call, f"the scheduled deletion of {name}"):
            work.undo_later(removal_of(call))
    _create_once(work)
    work.is_under_way = True
    work.undo_later(sagemaker_call("DeleteEndpoint", EndpointName=name))
    say(f"status:  {name} is being made; a few minutes", to=work.echo)


def _end_old_schedule(work: Work, call: Call) -> None:
    """One that an earlier endpoint of this name has left would delete this one, too."""
    try:
        work.account.find(call, "the scheduled deletion")
    except AwsError as error:  # who wants no schedules may not have the right to ask
        if error.code not in DENIED:
            raise


def _create_once(work: Work) -> None:
    """CreateEndpoint, until it is there: an answer that got lost on its way makes no second one.

    Raises UsageError: somebody else has the name since a moment ago, and keeps all that it has.
    AwsError.
    """
    plan, name = work.plan, work.plan.spec.name
    for tries_left in reversed(range(PATIENT_TRIES)):
        try:
            work.patiently(plan.create, f"endpoint {name}")
            return
        except AwsError as error:
            work.is_unsure = error.is_transient
            if not is_taken(error):
                raise
            found = work.follower.describe()
            if found is None and tries_left:  # one of this name is not quite gone yet
                time.sleep(poll_seconds())
                continue
            if found is None:
                raise
        if found["EndpointConfigName"] == plan.config_name:
            return
        raise _beaten(work, found)


def _beaten(work: Work, found: Described) -> UsageError:
    """The error of who comes second. A schedule of ours must not end what was to have no end."""
    name, is_ending = work.plan.spec.name, False
    listing = sagemaker_call("ListTags", ResourceArn=found["EndpointArn"])
    for tag in work.account.pages(listing, "Tags", f"the tags of {name}"):
        is_ending = is_ending or (tag["Key"] == EXPIRES and tag["Value"] != NEVER)
    if not is_ending:
        for call in work.plan.endings:
            work.account.find(removal_of(call), "the scheduled deletion")
    return UsageError(
        f"endpoint {name} was made by somebody else meanwhile: "
        f"`{work.follower.look_again}` would change it"
    )


def _failed(work: Work, answer: Described) -> EndpointFailedError:
    """The error of an endpoint that was not made; says the log and cleans up before."""
    name, reason = work.plan.spec.name, reason_of(answer)
    work.follower.say_log()
    advice = advice_for(reason)
    again = work.follower.look_again
    left = f"it is still there: `{again}` makes it anew, `kennel cleanup {name}` removes it"
    # What an earlier command made is not known here.
    if work.has_made and work.may_remove():
        left = f"not all that was made could be removed: `kennel cleanup {name}` removes it"
        if work.undo():
            left = "what was made is removed again"
    return EndpointFailedError(
        f"endpoint {name}: {answer['EndpointStatus']}: {reason}; "
        + (f"{advice}; " if advice else "")
        + left
    )
