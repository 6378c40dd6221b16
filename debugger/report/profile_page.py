"""profiler-report.html: one page about what a job's time and machines went to, nothing to fetch."""

from collections.abc import Sequence
from pathlib import Path

from contract.files import write_text
from contract.page import Tile, to_header, to_page
from contract.rule_result import RuleResult
from debugger.profile.data import GPU, Profile
from debugger.profile.headlines import headlines
from debugger.profile.numbers import plural
from debugger.profile.samples import mean_of
from debugger.profile.summarize import summarize
from debugger.report.files import cost_section, files_section, operators_section
from debugger.report.findings import rules_section
from debugger.report.gpu_memory import memory_section
from debugger.report.gpus import gpu_section
from debugger.report.hosts import hosts_section
from debugger.report.job_time import job_section, time_section
from debugger.report.loading import bottlenecks_section, loading_section
from debugger.report.page_look import to_contents, to_look
from debugger.report.step_times import outliers_section, steps_section
from debugger.report.usage import usage_section
from debugger.report.view import View
from debugger.report.words import to_duration, to_moment, to_percent, to_prose


def write_profile_page(
    profile: Profile, results: Sequence[RuleResult], path: Path, *, title: str
) -> None:
    """Write the profiler's report. Raises HostError when the disk is full."""
    view = View(profile=profile, summary=summarize(profile), results=results)
    write_text(path, build_profile_page(view, title))


def build_profile_page(view: View, title: str) -> str:
    """The whole page as text."""
    sections = build_sections(view)
    story = tell_story(view)
    header = to_header(title, _facts(view), build_tiles(view), story)
    return to_page(title, header + to_contents(sections) + "".join(sections), to_look())


def build_sections(view: View) -> list[str]:
    """What the page holds below its head; AWS's blocks and more."""
    sections = [
        job_section(view), time_section(view), usage_section(view), steps_section(view),
        outliers_section(view), gpu_section(view), loading_section(view),
        bottlenecks_section(view), memory_section(view), hosts_section(view),
        rules_section(view.results), operators_section(view), cost_section(view),
        files_section(view),
    ]  # fmt: skip
    return [section for section in sections if section]


def tell_story(view: View) -> str:
    """What to change and what it would gain, in three sentences. Markup."""
    told = headlines(view.profile, view.results)
    return f'<div class="story">{"".join(f"<p>{to_prose(text)}</p>" for text in told)}</div>'


def build_tiles(view: View) -> list[Tile]:
    """Duration, step, wait and use of GPU or CPU."""
    summary, profile = view.summary, view.profile
    tiles = [Tile(name="Duration", value=to_duration(profile.seconds), note=_phases(view))]
    steps = [one for one in summary.steps if one.mode != "EVAL"]
    if steps:
        slowest = max(steps, key=lambda one: one.p50)
        speed = slowest.images_per_second
        told = "" if speed is None else f"; {speed:,.0f} pictures/s a process"
        tiles.append(
            Tile(
                name="Training step",
                value=to_duration(slowest.p50),
                note=f"median of {plural(len(slowest.seconds), 'step')}{told}",
            )
        )
        tiles.append(
            Tile(
                name="Waiting for data",
                value=to_percent(slowest.wait_percent, 0),
                note="of a training step",
            )
        )
    gpus = [one for node in profile.system.values() if (one := mean_of(node.of(GPU)))]
    if gpus:
        use = sum(float(one.values.mean()) for one in gpus) / len(gpus)
        tiles.append(
            Tile(name="GPU use", value=to_percent(use, 0), note="mean of all GPUs, whole job")
        )
    judged = [one for one in view.results if one.rule != "ProfilerReport"]
    fired = sum(one.status == "IssuesFound" for one in judged)
    tiles.append(Tile(name="Rules", value=f"{fired} fired", note=f"of {len(judged)}"))
    return tiles


def _phases(view: View) -> str:
    loop = next((one for one in view.summary.phases if one.name == "training loop"), None)
    return f"training loop {loop.percent:.0f} %" if loop else "no step was recorded"


def _facts(view: View) -> list[str]:
    hosts = view.summary.hosts
    gpus = sum(one.gpus for one in hosts)
    cores = sum(one.cores for one in hosts)
    facts = [to_moment(view.profile.started_at), plural(max(len(hosts), 1), "host")]
    facts += [plural(cores, "CPU core")] if cores else []
    return [*facts, plural(gpus, "GPU") if gpus else "no GPU"]
