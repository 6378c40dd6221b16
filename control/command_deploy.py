"""`kennel deploy`: an endpoint in SageMaker, from its description to the first answer."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from contract.errors import UsageError
from control.aws.account import Account
from control.aws.call import Call, calls_json
from control.aws.endpoint.deploying import Deployed, deploy
from control.aws.endpoint.deployment import DeploymentOverrides, DeploymentSpec, read_deployment
from control.aws.endpoint.following import EndpointFailedError, Follower
from control.aws.endpoint.last_lines import endpoint_group
from control.aws.endpoint.plan import costs_of, plan_endpoint
from control.aws.endpoint.rolling_back import previous_call, roll_back
from control.aws.endpoint.transform_report import run_transform, transform_calls_of
from control.aws.endpoint.work import Work
from control.aws.money import as_json
from control.parser import Command, Parser, add_output_format
from control.terminal import complain, say, say_json

INTERRUPTED = 130  # as the command line has it
FLAGS = ("name", "bundle", "instance_type", "instance_count", "ttl_hours")  # beat the file


def deploy_model(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the endpoint is as the file says."""
    spec = read_deployment(arguments.deployment, _overrides(arguments))
    if spec.kind == "batch":
        return _transform(spec, arguments)
    echo = sys.stderr if arguments.output == "json" else sys.stdout
    account = Account()
    work = _work(account, spec, arguments, echo)
    if arguments.show:
        say_json(calls_json(_shown(work, arguments)))
        if not (arguments.update or arguments.roll_back):
            said = f"for an endpoint that is new: with --update it is shown how {spec.name} changes"
            say(f"note:    {said}", to=sys.stderr)
        return 0
    try:
        if arguments.roll_back:
            done = roll_back(work)
        else:
            done = deploy(work, is_update=arguments.update)
    except KeyboardInterrupt:
        say("", to=sys.stderr)
        complain(_stopped(work))
        return INTERRUPTED
    except EndpointFailedError as error:
        complain(str(error))
        if arguments.output != "json":
            say(f"next:    kennel doctor {arguments.deployment}")
            say(f"         aws logs tail {endpoint_group(spec.name)} --since 1h")
        return 1
    if arguments.output == "json":
        say_json(
            {
                **done.to_json(),
                "region": account.region,
                "ttl_hours": spec.ttl_hours or None,
                "costs": [] if arguments.roll_back else as_json(costs_of(spec)),
            }
        )
    else:
        say("\n".join(deployed_lines(work, done)))
    return 0


def deployed_lines(work: Work, done: Deployed) -> list[str]:
    """How it ended, and the next commands."""
    spec = work.spec
    meanings = {
        "created": "answers",
        "updated": "answers with the new configuration",
        "weights": "has its new weights",
        "settings": "is as the file says now",
        "expiry": "is as the file says; its end alone was moved",
        "unchanged": "is as the file says; nothing was changed",
        "rolled back": "answers with the configuration before",
    }
    lines = [f"endpoint {spec.name} {meanings[done.change]}"]
    variants = done.to_json()["variants"]
    if len(variants) > 1:
        total = sum(one["weight"] or 0 for one in variants) or 1
        shares = (f"{one['name']} {(one['weight'] or 0) / total:.0%}" for one in variants)
        lines.append(f"traffic: {', '.join(shares)}")
    until = done.expires or "never: it costs until it is deleted"
    lines.append(f"expires: {until}")
    target = " --target-model MODEL" if spec.multi_model else ""
    lines.append(f"next:    kennel predict PICTURE --endpoint {spec.name}{target}")
    if done.change == "updated":
        lines.append(f"         {work.way_back}")
    lines.append(f"         kennel cleanup {spec.name}")
    return lines


def _stopped(work: Work) -> str:
    name, again = work.spec.name, work.follower.look_again
    if not work.is_under_way:
        return f"stopped before endpoint {name} was touched: `{again}` goes on"
    return (
        f"stopped waiting; endpoint {name} goes on in AWS: `{again}` looks again, "
        f"`kennel cleanup {name}` removes it"
    )


def _transform(spec: DeploymentSpec, arguments: argparse.Namespace) -> int:
    """A batch transform has no endpoint: it runs, and its answers are fetched."""
    for flag in ("update", "roll_back", "keep", "ttl_hours"):
        if getattr(arguments, flag):
            raise UsageError(f'--{flag.replace("_", "-")}: kind = "batch" makes no endpoint')
    account = Account()
    if arguments.show:
        say_json(calls_json(transform_calls_of(spec, account)))
        return 0
    is_json = arguments.output == "json"
    again = _again(arguments)
    return run_transform(spec, account, again=again, is_yes=arguments.yes, as_json=is_json)


def _shown(work: Work, arguments: argparse.Namespace) -> list[Call]:
    if arguments.roll_back:
        return [previous_call(work)]
    return work.plan.calls(is_update=arguments.update)


def _work(
    account: Account, spec: DeploymentSpec, arguments: argparse.Namespace, echo: TextIO
) -> Work:
    # Typed twice, a roll-back goes forth again: who broke it off looks with another command.
    again = "kennel list --cost" if arguments.roll_back else _again(arguments)
    return Work(
        account=account,
        spec=spec,
        planned=None if arguments.roll_back else plan_endpoint(spec, account),
        follower=Follower(account=account, name=spec.name, look_again=again, echo=echo),
        echo=echo,
        way_back=_again(arguments, ("name",), "--roll-back"),
        is_yes=arguments.yes,
        is_kept=arguments.keep,
    )


def _again(arguments: argparse.Namespace, flags: Sequence[str] = FLAGS, *more: str) -> str:
    """The command with what was given beside the file: without it another one would be meant."""
    given = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in flags}
    words = [
        word
        for flag, value in given.items()
        if value is not None
        for word in (flag, f"{value:g}" if isinstance(value, float) else str(value))
    ]
    return shlex.join(["kennel", "deploy", str(arguments.deployment), *words, *more])


def _overrides(arguments: argparse.Namespace) -> DeploymentOverrides:
    return DeploymentOverrides(
        name=arguments.name,
        bundle=arguments.bundle,
        instance_type=arguments.instance_type,
        instance_count=arguments.instance_count,
        ttl_hours=arguments.ttl_hours,
    )


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "deployment", metavar="DEPLOYMENT.toml", type=Path, help="the deployment's description"
    )
    parser.add_argument("--name", help="the endpoint's name instead of the one in the file")
    parser.add_argument(
        "--bundle",
        metavar="BUNDLE",
        help="instead of the file's: a run, a bundle, a model.tar.gz, or one in S3",
    )
    parser.add_argument("--instance-type", metavar="TYPE", help="e.g. ml.m5.large")
    parser.add_argument(
        *("--instances", "--instance-count"),  # as `kennel run` has it, and as the file
        dest="instance_count",
        metavar="N",
        type=int,
        help="machines of each variant",
    )
    parser.add_argument(
        "--ttl-hours", metavar="H", type=float, help="until it is deleted; 0: until you do"
    )
    parser.add_argument(
        "--update", action="store_true", help="the endpoint must exist; with --show: the update"
    )
    parser.add_argument(
        "--roll-back",
        action="store_true",
        help="give the endpoint the configuration that it had before",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave what was made in AWS when it fails"
    )
    parser.add_argument("--yes", action="store_true", help="agree to what it costs")
    parser.add_argument(
        "--show", action="store_true", help="print the requests to AWS, and stop there"
    )
    add_output_format(parser)


DEPLOY = Command(
    name="deploy",
    help="serve a model behind an endpoint in SageMaker",
    description="Upload a bundle, make an endpoint of it, wait until it answers; the same command\n"
    "again changes what differs. It says what it costs first, and when it is deleted.",
    examples=(
        "kennel deploy jobs/dogs_endpoint.toml --show",
        "kennel deploy jobs/dogs_endpoint.toml --bundle runs/0001-dogs",
        "kennel deploy jobs/dogs_endpoint.toml --roll-back",
    ),
    add_arguments=_add_arguments,
    run=deploy_model,
)
