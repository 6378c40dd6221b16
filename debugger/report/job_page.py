"""report.html of a job: one page from everything that it left, with nothing to fetch."""

from collections.abc import Sequence
from pathlib import Path

from contract.files import write_text
from contract.page import Tile, to_header, to_page, to_pairs, to_section, to_text
from contract.profile_rules import PROFILER_REPORT
from contract.rule_result import RULE_OUTPUT, RuleResult
from contract.rules import RuleSpec
from debugger.profile.evaluate import evaluate_profile
from debugger.profile.headlines import headlines
from debugger.profile.numbers import plural
from debugger.profile.read import find_profiler_folders, read_profile
from debugger.profile.summarize import summarize
from debugger.report.debugger_part import findings_section, tensor_results
from debugger.report.findings import ended, sentence_of
from debugger.report.job_files import JobFiles, Score, read_job_files
from debugger.report.page_look import to_contents, to_look
from debugger.report.profile_page import build_sections, build_tiles, tell_story
from debugger.report.saved_lines import saved_of
from debugger.report.tensors_part import tensors_section
from debugger.report.training import (
    confusion_section,
    curves_section,
    scores_table,
    worst_section,
)
from debugger.report.view import View
from debugger.report.words import listed, to_bytes, to_duration, to_prose, to_table

_MOST_FILES = 60
_MOST_TOLD = 2  # rules, before anything else
_HOW = "kennel run JOB.toml --debug --profile"


def write_job_page(source: Path, path: Path) -> None:
    """Write one page about the job whose folder is `source`; what it did not leave is left out.

    Raises HostError when the disk is full.
    """
    write_text(path, build_job_page(source, path))


def build_job_page(source: Path, path: Path | None = None) -> str:
    """The whole page as text. `path` is where it goes: it is no part of what the job left."""
    job = read_job_files(source)
    view = _view(source, job.results)
    with saved_of(source) as (saved, reason):
        findings, tensors = findings_section(job, saved), tensors_section(job, saved, reason)
    sections = [
        findings,
        curves_section(job),
        _scores(job),
        confusion_section(job),
        worst_section(job),
        tensors,
        *_profile(view),
        _settings(job),
        _files(job, path),
    ]
    sections = [section for section in sections if section]
    header = to_header(job.name, _facts(job), _tiles(job, view), _story(job, view))
    return to_page(job.name, header + to_contents(sections) + "".join(sections), to_look())


def _view(source: Path, results: Sequence[RuleResult]) -> View | None:
    """The profile, judged with the parameters that its rules were given."""
    folders = find_profiler_folders(source)
    if not folders:
        return None
    profile = read_profile(folders)
    asked = next((one for one in results if one.rule == PROFILER_REPORT.name), None)
    given = {name: str(value) for name, value in asked.parameters.items()} if asked else {}
    known = {name: text for name, text in given.items() if PROFILER_REPORT.parameter(name)}
    spec = RuleSpec(name=PROFILER_REPORT.name, rule=PROFILER_REPORT.name, parameters=known)
    judged = evaluate_profile(profile, spec)
    return View(profile=profile, summary=summarize(profile), results=judged)


def _facts(job: JobFiles) -> list[str]:
    facts = [job.status] if job.status else []
    if job.started_at:
        facts.append(job.started_at[:16].replace("T", " ") + " UTC")
    if job.seconds is not None:
        facts.append(to_duration(job.seconds))
    return [*facts, *filter(None, [job.hyperparameters.get("arch", "")])]


def _story(job: JobFiles, view: View | None) -> str:
    """What became of the job; a failure stands first. Markup."""
    told = []
    if job.failure:
        told.append(f'<p><span class="badge bad">failed</span> {to_text(job.failure)}</p>')
    elif job.status == "Stopped":
        told.append("<p>The job was stopped before it was done.</p>")
    results = tensor_results(job)
    fired = [one for one in results if one.findings]
    for one in fired[:_MOST_TOLD]:
        first = one.findings[0]
        told.append(f"<p><b>{to_text(one.name)}</b>: {to_prose(sentence_of(one, first))}</p>")
        told.append(f"<p>{to_prose(ended(first.advice))}</p>" if first.advice else "")
    if len(fired) > _MOST_TOLD:
        rest = [to_text(one.name) for one in fired[_MOST_TOLD:]]
        told.append(f"<p>{listed(rest)} fired, too: see what the Debugger found.</p>")
    if results and not fired:
        told.append("<p>No rule of the Debugger found anything.</p>")
    if view is not None:
        told.append(f"<p><b>Profile</b>: {to_prose(headlines(view.profile, view.results)[0])}</p>")
    return f'<div class="story">{"".join(told)}</div>' if told else ""


def _tiles(job: JobFiles, view: View | None) -> list[Tile]:
    """Accuracies, rules, and where the time went."""
    tiles = [_accuracy(one) for one in job.scores]
    tiles = tiles or [
        Tile(name=name, value=f"{job.metrics[name]:.3f}", note="of the last epoch")
        for name in ("test:accuracy", "validation:accuracy", "train:loss")
        if name in job.metrics
    ]
    if view is not None:
        tiles += build_tiles(view)[1:-1]
    judged = {"Debugger": tensor_results(job)}
    if view is not None:
        own = [one for one in view.results if one.rule != PROFILER_REPORT.name]
        judged["profiler"] = own
    fired = {name: sum(bool(one.findings) for one in found) for name, found in judged.items()}
    notes = [f"{name} {fired[name]} of {len(found)}" for name, found in judged.items() if found]
    if notes:
        tiles.append(
            Tile(name="Rules", value=f"{sum(fired.values())} fired", note=", ".join(notes))
        )
    return tiles


def _accuracy(score: Score) -> Tile:
    return Tile(
        name=f"{score.split.capitalize()} accuracy",
        value=f"{score.right / score.pictures:.3f}",
        note=f"{score.right:,} of {plural(score.pictures, 'picture')}",
    )


def _scores(job: JobFiles) -> str:
    table = scores_table(job)
    metrics = {name: f"{value:.6g}" for name, value in job.metrics.items()}
    if not table and not metrics:
        return ""
    return to_section("Scores", table + to_pairs("metric, at the end", metrics), "scores")


def _profile(view: View | None) -> list[str]:
    """The profiler's report, section by section."""
    if view is None:
        text = f"Nothing was measured. <code>{_HOW}</code> measures where the time goes."
        return [to_section("Profile", f"<p>{text}</p>", "profile")]
    return [to_section("Profile", tell_story(view), "profile"), *build_sections(view)]


def _settings(job: JobFiles) -> str:
    tables = [
        to_pairs("hyperparameter", job.hyperparameters),
        to_pairs("channel", job.channels) + to_pairs("version", job.versions),
    ]
    body = f'<div class="pair">{tables[0]}<div>{tables[1]}</div></div>'
    return to_section("Settings", body, "settings") if any(tables) else ""


def _files(job: JobFiles, path: Path | None) -> str:
    """What lies in the job's folder, without its inputs and without what a section lists."""
    left = []
    for below in ("output/data", "output/failure", "model", RULE_OUTPUT, "train.log"):
        root = job.source / below
        found = sorted(root.rglob("*")) if root.is_dir() else [root]
        left += [one for one in found if one.is_file() and one != path]
    rows = [
        (f"<code>{to_text(one.relative_to(job.source).as_posix())}</code>",
         to_bytes(one.stat().st_size))
        for one in left[:_MOST_FILES]
    ]  # fmt: skip
    notes = "".join(f"<li>{to_text(note)}</li>" for note in job.notes)
    told = f"<p>Not read:</p><ul>{notes}</ul>" if notes else ""
    more = len(left) - len(rows)
    told += to_table(("file", "size"), rows) if rows else "<p>Nothing is left.</p>"
    told += f'<p class="muted">{plural(more, "more file")}.</p>' if more > 0 else ""
    return to_section("What the job left", told, "left")
