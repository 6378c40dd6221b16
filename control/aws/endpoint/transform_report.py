"""TransformReport: a batch transform as a command: what is said of it, and its exit code."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.deployment import DeploymentSpec
from control.aws.endpoint.following import advice_for
from control.aws.endpoint.transform_plan import plan_transform
from control.aws.endpoint.transform_request import answers_of, transform_of
from control.aws.endpoint.transform_run import Outcome, TransformRun
from control.aws.job.interrupts import DetachedError, Interrupts
from control.aws.names import check_image_region, stamped
from control.aws.prices import price_per_hour
from control.s3 import SCHEME
from control.terminal import duration, say, say_json
from control.transform_output import TransformOutput, open_output
from control.transform_results import REFUSED_NAME

ANSWERS = Path("answers")  # below the current folder, where the file names no results


def transform_calls_of(spec: DeploymentSpec, account: Account) -> list[Call]:
    """What --show prints of kind = "batch". Raises as plan_transform, and SpecError."""
    return plan_transform(spec, account).shown(stamped(spec.name))


def run_transform(
    spec: DeploymentSpec, account: Account, *, again: str, is_yes: bool, as_json: bool
) -> int:
    """Run the job of a deployment with kind = "batch", or go on with it, and get its answers.

    `again` is the command that goes on where this one leaves off.

    Exit code 0: every object has an answer; 1: some have none, or the job failed or was stopped.
    Raises DetachedError after Ctrl-C, and what TransformRun does.
    """
    transform = transform_of(spec)
    echo = sys.stderr if as_json else sys.stdout
    results = transform.results or str(ANSWERS / spec.name)
    if results.startswith(SCHEME) and not transform.is_table:
        raise SpecError(
            f"{spec.path}: transform.results: no table is made of joined or filtered answers, nor "
            "of another accept: leave results out, they stay below output"
        )
    plan = plan_transform(spec, account)
    check_image_region(plan.image, account, "batch")
    plan.calls(stamped(spec.name))  # what cannot be asked for is refused before S3 is listed
    with open_output(results, str(transform.input)) as output, Interrupts() as interrupts:
        run = TransformRun(
            plan=plan,
            account=account,
            output=output,
            again=again,
            is_yes=is_yes,
            echo=echo,
            interrupts=interrupts,
        )
        try:
            outcome = run.run()
        except DetachedError:
            if as_json:
                say_json({"job": run.job, "status": "InProgress"})
            raise
    told = _told(spec, output, outcome)
    if as_json:
        say_json(told)
    else:
        say("\n".join(_lines(spec, outcome, told, again)))
    return 1 if outcome.state.refused or outcome.status != "Completed" else 0


def _told(spec: DeploymentSpec, output: TransformOutput, outcome: Outcome) -> dict[str, Any]:
    """For `-o json`."""
    state, transform = outcome.state, transform_of(spec)
    is_there = state.done == state.total
    price = price_per_hour(spec.place.instance_type, "transform")
    usd = None
    if price is not None and outcome.job:
        usd = round(price * spec.place.instance_count * outcome.seconds / 3600, 4)
    table = output.place(state.job.predictions_name) if is_there and transform.is_table else None
    return {
        "job": outcome.job or None,
        "status": outcome.status,
        "reason": outcome.reason or None,
        "objects": state.total,
        "answered": state.done - state.refused,
        "refused": state.refused if is_there else state.total,
        "left_out": state.left_out,
        "seconds": outcome.seconds,
        "usd": usd,
        "answers": str(answers_of(transform, outcome.job)) if outcome.job else None,
        "predictions": table,
        "refusals": output.place(REFUSED_NAME) if table else None,
    }


def _lines(
    spec: DeploymentSpec, outcome: Outcome, told: Mapping[str, Any], again: str
) -> list[str]:
    """For people."""
    state = outcome.state
    lines = []
    if outcome.job:
        lines.append(f"job {outcome.job}: {outcome.status} after {duration(outcome.seconds)}")
        if outcome.reason:
            lines.append(f"reason:  {outcome.reason}")
            if advice := advice_for(outcome.reason):
                lines.append(f"         {advice}")
        if told["usd"] is not None:
            lines.append(f"cost:    ${told['usd']:,.4f} at the list price, without S3")
    else:
        lines.append(f"{spec.name}: its answers are there already")
    if not told["answered"]:
        if told["refusals"]:
            lines.append(f"refused: all {state.refused:,}, {told['refusals']} says why")
            return [*lines, *_once_more(told["refusals"], again)]
        return [*lines, f"next:    {again}"]
    if outcome.status == "Failed":
        lines.append("         SageMaker says so for one refusal; the others are answered")
    lines.append(f"answers: {told['answered']:,} of {state.total:,} objects")
    if told["predictions"]:
        lines.append(f"table:   {told['predictions']}")
        if state.refused:
            lines.append(f"refused: {state.refused:,}, {told['refusals']} says why")
            lines += _once_more(told["refusals"], again)
    elif told["answers"]:
        lines.append(f"in S3:   {told['answers']}")
        lines.append(f"next:    aws s3 cp --recursive {told['answers']} answers")
    return lines


def _once_more(refusals: str, again: str) -> list[str]:
    """Answers that are there are kept, refusals among them: those who ask anew remove them."""
    folder = refusals.rpartition("/")[0]
    remove = "aws s3 rm --recursive" if folder.startswith(SCHEME) else "rm -r"
    return [
        "next:    put right what it names, or take it away; then all is asked anew by",
        f"         {remove} {shlex.quote(folder)} && {again}",
    ]
