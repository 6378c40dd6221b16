"""`kennel lambda`: a function before an endpoint, so that pages and programs can ask it."""

import argparse
import sys
from typing import Any, TextIO

from contract.errors import RequestError, UsageError
from control.aws.account import Account
from control.aws.call import calls_json
from control.aws.lambdas.deleting import Deleted, delete, delete_calls, standing
from control.aws.lambdas.deploying import Deployed, Deployment, costs_of
from control.aws.lambdas.events import DOORS, event_for
from control.aws.lambdas.function_spec import (
    ALIAS,
    ENDPOINT_BYTES,
    EXPIRY_ROLE,
    LAMBDA_ROLE,
    FunctionSpec,
    check_name,
)
from control.aws.lambdas.here import invoke_here
from control.aws.lambdas.invoking import Invoked, invoke, invoke_call
from control.aws.lambdas.looking import check_endpoint
from control.aws.lambdas.requests import first_calls
from control.aws.money import agree, as_json, confirm
from control.client import read_picture
from control.command_predict import DEFAULT_URL, prediction_text
from control.lambda_flags import add_lambda_arguments, again, check_flags
from control.parser import Command
from control.terminal import complain, say, say_json

INTERRUPTED = 130  # as the command line has it
FIRST = (
    "for a function that is new: of one that is there what differs is changed, and what is not "
    "asked for again is taken off"
)
LIVE = (
    f"GetFunction and GetAlias look first; where there is an alias {ALIAS}, as with provisioned "
    f"concurrency, Qualifier = {ALIAS} goes along"
)


def run_lambda(arguments: argparse.Namespace) -> int:
    """Exit code 1 when the function refused the picture."""
    check_name(arguments.name)
    check_flags(arguments)
    actions = {"deploy": _deploy, "test": _test, "delete": _delete}
    return actions[arguments.action](arguments)


def _deploy(arguments: argparse.Namespace) -> int:
    spec, account, echo = _spec(arguments), Account(), _echo(arguments)
    role_arn = account.role_arn(spec.role)
    expiry_arn = account.role_arn(spec.expiry_role) if spec.ttl_hours else ""
    if arguments.show:
        region = account.region if spec.makes_role else ""
        say_json(calls_json(first_calls(spec, role_arn, region, expiry_arn)))
        say(f"note:    {FIRST}", to=sys.stderr)
        return 0
    deployment = Deployment(
        account=account,
        spec=spec,
        role_arn=role_arn,
        expiry_arn=expiry_arn,
        echo=echo,
        again=again(arguments),
    )
    found = deployment.find()
    check_endpoint(account, spec.endpoint, spec.max_bytes, echo)
    deployment.check_end()
    _agree(spec, arguments, echo)
    try:
        done = deployment.run(found)
    except KeyboardInterrupt:
        say("", to=sys.stderr)
        complain(
            f"stopped waiting; function {spec.name} is in AWS as far as it came: the same command "
            f"goes on, `kennel lambda delete {spec.name}` removes it"
        )
        return INTERRUPTED
    if arguments.output == "json":
        costs = as_json(costs_of(spec))
        facts = {"name": spec.name, "endpoint": spec.endpoint, "costs": costs}
        many = {
            "provisioned_concurrency": spec.provisioned,
            "reserved_concurrency": spec.reserved,
        }
        rest = {"role": role_arn, "log_group": spec.log_group}
        say_json({**facts, **many, **done.to_json(), **rest})
    else:
        say("\n".join(deployed_lines(spec, done)))
    return 0


def deployed_lines(spec: FunctionSpec, done: Deployed) -> list[str]:
    """How it ended, and the next commands."""
    meaning = {"unchanged": "is as described"}.get(done.change, done.change)
    version = f", version {done.version}" if spec.provisioned else ""
    lines = [f"function {spec.name} {meaning}{version}; it asks endpoint {spec.endpoint}"]
    if done.url:
        who = "everybody" if spec.is_public else "signed requests alone (AWS_IAM)"
        lines.append(f"address: {done.url} for {who}")
    lines.append(f"log:     {spec.log_group}, kept for {spec.log_days} d")
    if done.expires:
        lines.append(f"expires: {done.expires}")
    lines.append(f"next:    kennel lambda test {spec.name} PICTURE")
    if done.url and spec.is_public:
        lines.append(f"         curl --data-binary @PICTURE {done.url}")
    lines.append(f"         kennel lambda delete {spec.name}")
    return lines


def _agree(spec: FunctionSpec, arguments: argparse.Namespace, echo: TextIO) -> None:
    if not spec.provisioned:
        say("cost:    nothing while nobody asks; then by the request and the second", to=echo)
    if spec.is_public:
        say("public:  whoever knows the address can ask the endpoint, at your cost", to=echo)
    if spec.provisioned or spec.is_public:
        agree(costs_of(spec), is_yes=arguments.yes, to=echo)


def _test(arguments: argparse.Namespace) -> int:
    picture = read_picture(arguments.picture)
    event = event_for(arguments.event or DOORS[0], picture, arguments.target_model)
    if arguments.here:
        spec = FunctionSpec(name=arguments.name, endpoint="here")
        invoked = invoke_here(spec, event, arguments.here)
    elif arguments.show:
        say_json(calls_json([invoke_call(arguments.name, event, is_live=False)]))
        say(f"note:    {LIVE}", to=sys.stderr)
        return 0
    else:
        invoked = invoke(Account(), arguments.name, event)
    try:
        answer = {"picture": str(arguments.picture), **invoked.answer()}
    except RequestError as error:
        complain(f"{arguments.picture}: {error.status}: {error}")
        return 1
    if arguments.output == "json":
        say_json({"predictions": [answer], **invoked.measured})
    else:
        say("\n".join([prediction_text(answer), *_measured_lines(invoked)]))
    return 0


def _measured_lines(invoked: Invoked) -> list[str]:
    found = invoked.measured
    if "duration_ms" not in found:
        return []
    cold = f", after a cold start of {found['init_ms']:,.0f} ms" if "init_ms" in found else ""
    memory = f"{found.get('memory_used_mb', 0):.0f} of {found.get('memory_mb', 0):.0f} MB"
    billed = found.get("billed_ms", 0)
    return [f"time:    {found['duration_ms']:,.0f} ms, {billed:,.0f} billed{cold}; memory {memory}"]


def _delete(arguments: argparse.Namespace) -> int:
    name = arguments.name
    if arguments.show:
        say_json(calls_json(delete_calls(name)))
        return 0
    account = Account()
    found, echo = standing(account, name), _echo(arguments)
    going = [*found.words, *([f"role {found.role} if nothing uses it"] * arguments.with_role)]
    if going:
        say(f"delete:  {name} in {account.region}: {', '.join(going)}", to=echo)
        confirm(
            is_yes=arguments.yes,
            because=f"{', '.join(going)} would go",
            otherwise="nothing was deleted from AWS",
            to=echo,
        )
    is_role_unwanted = arguments.with_role or _wants_role_gone(arguments)
    done = delete(account, name, found, with_role=is_role_unwanted)
    if arguments.output == "json":
        role = {"name": done.role, "is_gone": done.is_role_gone, "why": done.why_role_stays}
        say_json({"name": name, "gone": list(done.gone), "role": role})
    else:
        say("\n".join(_deleted_lines(name, done, arguments)))
    return 0


def _deleted_lines(name: str, done: Deleted, arguments: argparse.Namespace) -> list[str]:
    lines = [f"function {name}: gone are {', '.join(done.gone)}"]
    if not done.gone:
        lines = [f"function {name} is not there, and nothing of it"]
    if done.is_role_gone:
        lines.append(f"role:    {done.role} is gone")
    elif done.why_role_stays:
        lines.append(f"role:    {done.role} stays: {done.why_role_stays}")
    elif not arguments.with_role:
        lines.append(f"role:    {done.role} stays: --with-role removes it")
    lines.append("next:    kennel list --cost")
    return lines


def _wants_role_gone(arguments: argparse.Namespace) -> bool:
    """Asked only where somebody can answer."""
    if (
        arguments.yes
        or arguments.output == "json"
        or not sys.stdin.isatty()
        or not sys.stdout.isatty()
    ):
        return False
    say("remove the function's role, too, if nothing else uses it? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _spec(arguments: argparse.Namespace) -> FunctionSpec:
    if not arguments.endpoint:
        raise UsageError("kennel lambda deploy: --endpoint ENDPOINT says whom the function asks")
    given: dict[str, Any] = {
        "timeout_seconds": arguments.timeout_seconds,
        "memory_mb": arguments.memory_mb,
        "log_days": arguments.log_days,
        "ttl_hours": arguments.ttl_hours,
    }
    return FunctionSpec(
        name=arguments.name,
        endpoint=arguments.endpoint,
        role=arguments.role or LAMBDA_ROLE,
        makes_role=arguments.create_role,
        has_url=arguments.url,
        is_public=arguments.public,
        hosts=tuple(host.lower() for host in arguments.allow_host),
        buckets=tuple(arguments.allow_bucket),
        origins=tuple(origin.rstrip("/") for origin in arguments.allow_origin),
        max_bytes=arguments.max_bytes or ENDPOINT_BYTES,
        provisioned=arguments.provisioned_concurrency or 0,
        reserved=arguments.reserved_concurrency,
        expiry_role=arguments.expiry_role or EXPIRY_ROLE,
        **{name: value for name, value in given.items() if value is not None},
    )


def _echo(arguments: argparse.Namespace) -> TextIO:
    return sys.stderr if arguments.output == "json" else sys.stdout


LAMBDA = Command(
    name="lambda",
    help="a function before an endpoint: HTTP for pages and programs",
    description=(
        "deploy makes, or changes, a function in AWS Lambda that takes pictures by HTTP, from\n"
        "API Gateway, from S3 or from listed hosts, and answers what the endpoint says. test asks\n"
        "it about one picture; with --here the same function runs on this machine before\n"
        f"`kennel serve` ({DEFAULT_URL}), without AWS. delete removes it with all that is its own."
    ),
    examples=(
        "kennel lambda deploy dogs --endpoint dogs --create-role",
        "kennel lambda deploy dogs --endpoint dogs --url --public",
        "kennel lambda test dogs dog.jpg --event url",
        "kennel lambda test dogs dog.jpg --here",
        "kennel lambda delete dogs --with-role",
    ),
    add_arguments=add_lambda_arguments,
    run=run_lambda,
)
