"""Creating: an endpoint that does not exist yet, from the upload to the first answer."""

from contract.errors import HostError
from control.aws.endpoint.following import Described, advice_for, reason_of
from control.aws.endpoint.plan import costs_of
from control.aws.endpoint.request import sagemaker_call
from control.aws.endpoint.work import Work
from control.aws.expiry import end_expiry_call, set_expiry
from control.aws.money import agree
from control.aws.scaling.applying import apply_scaling
from control.aws_client import AwsError
from control.terminal import say


def create(work: Work) -> Described:
    """Make the endpoint, and wait until it answers; what a failure left half is removed.

    Raises UsageError: nobody agreed to the cost. HostError: it failed, with AWS's reason; the
    container's last lines were said before. AwsError.
    """
    spec = work.plan.spec
    agree(costs_of(spec), is_yes=work.is_yes, to=work.echo)
    try:
        work.make_parts()
        work.make_alarms(is_undone=True)
        _make_endpoint(work)
    except AwsError:
        work.undo()
        raise
    return finish_creating(work)


def finish_creating(work: Work) -> Described:
    """Wait for an endpoint that is being created, and say what became of it. Raises as `create`."""
    spec = work.plan.spec
    answer = work.follower.until_settled(work.limit_seconds)
    if answer["EndpointStatus"] != "InService":
        raise _failed(work, answer)
    if work.plan.scaling:
        apply_scaling(work.account, work.plan.scaling, f"scaling of {spec.name}")
    return answer


def remove_failed(work: Work) -> None:
    """Delete an endpoint that came to nothing, so that its name is free again."""
    name = work.plan.spec.name
    work.account.find(sagemaker_call("DeleteEndpoint", EndpointName=name), f"endpoint {name}")
    work.follower.until_gone()


def _make_endpoint(work: Work) -> None:
    """The schedule first: no minute passes in which nothing would end the endpoint."""
    plan, name = work.plan, work.plan.spec.name
    if plan.expiry:
        set_expiry(work.account, plan.expiry, f"the scheduled deletion of {name}")
        work.undo_later(end_expiry_call("endpoint", name))
    work.patiently(plan.create, f"endpoint {name}")
    work.is_under_way = True
    work.undo_later(sagemaker_call("DeleteEndpoint", EndpointName=name))
    say(f"status:  {name} is being made; a few minutes", to=work.echo)


def _failed(work: Work, answer: Described) -> HostError:
    """The error of an endpoint that was not made; says the log and cleans up before."""
    name, reason = work.plan.spec.name, reason_of(answer)
    work.follower.say_log()
    advice = advice_for(reason)
    left = f"it is still there: `kennel cleanup {name}` removes it"
    if work.may_remove():
        work.undo()
        left = "what was made is removed again"
    return HostError(
        f"endpoint {name}: {answer['EndpointStatus']}: {reason}; "
        + (f"{advice}; " if advice else "")
        + left
    )
