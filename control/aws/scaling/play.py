"""`kennel scale simulate`: a trace is played against a policy, and drawn."""

import argparse
import sys
from pathlib import Path
from typing import TextIO

from contract.errors import UsageError
from contract.files import write_text
from control.aws.endpoint.deployment import read_deployment
from control.aws.prices import price_per_hour
from control.aws.scaling.asked import policy_of
from control.aws.scaling.findings import Findings, find_out
from control.aws.scaling.page import to_scaling_page
from control.aws.scaling.policy import ScalingSpec
from control.aws.scaling.simulation import Machine, simulate
from control.aws.scaling.text import figures_of, headline
from control.aws.scaling.throughput import CLIENTS, measure, usual_picture
from control.aws.scaling.trace import SHAPES, Trace, read_trace, shaped
from control.client import read_picture
from control.terminal import say, say_json, table

PEAK_SHARE = 2.5  # of what one instance can do: a shape's peak unless --peak says it


def play(arguments: argparse.Namespace) -> int:
    """Exit code 0, whatever is found."""
    is_json = arguments.output == "json"
    echo = sys.stderr if is_json else sys.stdout
    spec, kind, instance_type = _policy(arguments)
    machine = _machine(arguments, instance_type, echo)
    trace = _trace(arguments, machine)
    is_queued = kind == "asynchronous"
    played = simulate(trace, spec, machine, is_queued=is_queued, start=arguments.start)
    findings = find_out(trace, spec, machine, played, is_queued=is_queued)
    out: Path = arguments.out
    write_text(out, to_scaling_page(trace, spec, machine, played, findings))
    if is_json:
        say_json(
            {
                "trace": trace.name,
                "images_per_second": machine.images_per_second,
                "findings": findings.to_json(),
                "changes": [
                    {"second": one.second, "before": one.before, "after": one.after}
                    for one in played.changes
                ],
                "page": str(out),
            }
        )
    else:
        say(_text(spec, machine, findings))
        say(f"page:    {out}")
        say(f"next:    {_next(arguments)}")
    return 0


def _policy(arguments: argparse.Namespace) -> tuple[ScalingSpec, str, str]:
    """(the policy, the endpoint's kind, the instance type or nothing)."""
    path: Path | None = arguments.deployment
    spec = policy_of(arguments, path)
    if spec is None:
        raise UsageError(
            "no policy: give --max 3 --invocations-per-instance 600, or --deployment FILE.toml "
            "with [scaling]"
        )
    kind, instance_type = arguments.kind or "", arguments.instance_type or ""
    if path is not None:
        deployment = read_deployment(path)
        kind = kind or deployment.kind
        instance_type = instance_type or deployment.variants[0].instance_type
    queued = spec.metric == "backlog_per_instance"
    kind = kind or ("asynchronous" if queued else "real-time")
    spec.check_kind(kind)
    return spec, kind, instance_type


def _machine(arguments: argparse.Namespace, instance_type: str, echo: TextIO) -> Machine:
    rate, latency = arguments.images_per_second, 0.0
    if (rate is None) == (arguments.measure is None):
        raise UsageError(
            "give what one instance answers, --images-per-second X, or measure a bundle on this "
            "machine, --measure BUNDLE"
        )
    if arguments.measure is not None:
        picture = read_picture(arguments.picture) if arguments.picture else usual_picture()
        say(f"measure: {arguments.measure}, with 1 and with {CLIENTS} clients ...", to=echo)
        found = measure(arguments.measure, picture)
        rate, latency = found.images_per_second, found.latency_seconds
        say(
            f"         {rate:,.1f} a second, one alone in {1000 * latency:.0f} ms, on this machine;"
            " an instance differs",
            to=echo,
        )
    if not 0 < rate <= 1e6:
        raise UsageError(f"--images-per-second: expected more than 0, got {rate:g}")
    price = arguments.price
    if price is None and instance_type:
        price = price_per_hour(instance_type, "hosting")
    return Machine(
        images_per_second=rate,
        latency_seconds=latency,
        startup_seconds=_within("--startup-seconds", arguments.startup_seconds, 0, 3600),
        room=_within("--room", arguments.room, 0, 100_000),
        usd_per_hour=price,
    )


def _within(name: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise UsageError(f"{name}: expected {least} to {most}, got {value}")
    return value


def _trace(arguments: argparse.Namespace, machine: Machine) -> Trace:
    word = arguments.target
    path = Path(word)
    if path.is_file():
        if arguments.peak is not None or arguments.hours is not None:
            raise UsageError(f"--peak and --hours are for shapes ({', '.join(SHAPES)}), not files")
        return read_trace(path)
    peak = arguments.peak
    if peak is None:
        peak = float(f"{PEAK_SHARE * machine.images_per_second:.2g}")
    hours = arguments.hours
    return shaped(word, peak, None if hours is None else round(3600 * hours))


def _text(spec: ScalingSpec, machine: Machine, findings: Findings) -> str:
    rows = list(figures_of(spec, machine, findings).items())
    lines = [f"policy:  {spec.line}", "", table(("figure", "value"), rows), ""]
    lines.append(f"result:  {headline(spec, findings)}")
    for label, line in zip(
        ("change:", *[""] * len(findings.advice)), findings.advice, strict=False
    ):
        lines.append(f"{label.ljust(9)}{line}")
    return "\n".join(lines)


def _next(arguments: argparse.Namespace) -> str:
    if arguments.deployment:
        return f"kennel scale apply {arguments.deployment}"
    return "kennel scale apply ENDPOINT, with the same --min, --max and target"
