"""The page of a played trace: what happened over time, what it comes to, what is assumed."""

from contract.page import Tile, to_header, to_page, to_pairs, to_section, to_text
from contract.page_style import STORY_STYLE
from control.aws.prices import DATED
from control.aws.scaling.chart import SCRIPT, STYLE, draw
from control.aws.scaling.findings import Findings
from control.aws.scaling.panels import panels_of
from control.aws.scaling.policy import ScalingSpec
from control.aws.scaling.simulation import Machine, Played
from control.aws.scaling.text import figures_of, headline, money, seconds_text, share_text
from control.aws.scaling.trace import Trace
from control.aws.scaling.tracking import ASSUMPTIONS


def to_scaling_page(
    trace: Trace, spec: ScalingSpec, machine: Machine, played: Played, findings: Findings
) -> str:
    """One self-contained HTML page."""
    facts = [spec.line, _machine_line(machine)]
    head = to_header(
        f"Scaling: {trace.name}", facts, _tiles(spec, findings), _story(spec, findings)
    )
    drawing = draw(
        panels_of(spec, machine, played, findings),
        played.seconds,
        "Requests, instances, metric, queue, answers and cost over the same time",
    )
    body = [
        head,
        to_section("Over time", drawing + SCRIPT),
        to_section("What it comes to", to_pairs("figure", figures_of(spec, machine, findings))),
        to_section("What is assumed", _assumed(machine)),
    ]
    style = (
        f"{STORY_STYLE}{STYLE}ul{{margin:0;padding-left:20px;max-width:75ch}}li{{margin:0 0 6px}}"
    )
    return to_page(f"Scaling: {trace.name}", "".join(body), style)


def _story(spec: ScalingSpec, findings: Findings) -> str:
    """How it went, then what to change, the most important first."""
    told = [headline(spec, findings), *findings.advice]
    lines = "".join(f"<p>{to_text(_sentence(line))}</p>" for line in told)
    return f'<div class="story">{lines}</div>'


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."


def _tiles(spec: ScalingSpec, findings: Findings) -> list[Tile]:
    lost = findings.lost
    saved = 1 - findings.instance_hours / findings.fixed_max_hours
    cost = f"{findings.instance_hours:,.1f} h" if findings.usd is None else f"${findings.usd:,.2f}"
    return [
        Tile(
            name="Instances",
            value=f"{findings.peak_instances}",
            note=f"at most, of {spec.maximum}; {findings.num_changes} changes",
        ),
        Tile(
            name="Refused or late",
            value=f"{lost:,.0f}" if lost >= 0.5 else "0",
            note=f"{share_text(lost, findings.arrived)} of {findings.arrived:,.0f} requests",
        ),
        Tile(
            name="Answer",
            value=seconds_text(findings.usual_seconds),
            note=f"usually; 99 % within {seconds_text(findings.slow_seconds)}",
        ),
        Tile(
            name="Cost",
            value=cost,
            note=f"{100 * saved:.0f} % less than {spec.maximum} all the time",
        ),
    ]


def _machine_line(machine: Machine) -> str:
    price = "" if machine.usd_per_hour is None else f", {money(machine.usd_per_hour)} an hour"
    return f"one instance answers {machine.images_per_second:,.3g} a second{price}"


def _assumed(machine: Machine) -> str:
    lines = [
        f"An instance answers {machine.images_per_second:,.3g} requests a second at most, one of "
        f"them in {seconds_text(machine.base_seconds)}; a machine that was measured here is not "
        "the instance.",
        f"{machine.startup_seconds} s from the decision until a new instance answers. A large image"
        " or model takes longer; the endpoint's own creation tells.",
        f"{machine.room} requests wait in an instance; what comes beyond is answered 503.",
        "Requests come at random within a second, and each instance gets an equal share.",
        *ASSUMPTIONS,
    ]
    if machine.usd_per_hour is not None:
        lines.append(f"Prices are list prices of us-east-1 as of {DATED}, unless you gave one.")
    items = "".join(f"<li>{to_text(line)}</li>" for line in lines)
    return (
        f"<ul>{items}</ul><p class='muted'>Alarms, points, formula and cooldowns are those of the "
        "Application Auto Scaling user guide (How target tracking scaling works) and of the "
        "SageMaker developer guide (Automatic scaling).</p>"
    )
