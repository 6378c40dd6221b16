"""What profiling itself cost, operators that were profiled in windows, and the files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.page import to_section, to_text
from debugger.profile.numbers import plural
from debugger.report.view import View
from debugger.report.words import to_bytes, to_duration, to_percent, to_prose, to_table

AGENT_NAME = "agent.json"  # below system/: what the host agent measured of itself
_MOST_OPERATORS = 15
_MOST_FILES = 40


def operators_section(view: View) -> str:
    """The costliest operators and kernels; nothing where no window was profiled."""
    details = view.details("OverallFrameworkMetrics")
    tables = []
    for kind, word in (("CPU", "Operators on the CPU"), ("GPU", "Kernels on the GPU")):
        shares = details.get(kind) or {}
        totals = details.get(f"{kind}_total") or {}
        if not shares:
            continue
        ranked = sorted(shares.items(), key=lambda item: -float(item[1]))[:_MOST_OPERATORS]
        rows = [
            (to_text(str(name)), to_percent(float(share)),
             to_duration(float(totals.get(name) or 0.0) / 1e6))
            for name, share in ranked
        ]  # fmt: skip
        left_out = len(shares) - len(ranked)
        more = f'<p class="muted">{left_out:,} more are not listed.</p>' if left_out else ""
        tables.append(f"<h3>{word}</h3>"
                      f"{to_table(('name', 'share', 'time'), rows)}{more}")  # fmt: skip
    if not tables:
        return ""
    hint = "<p>From the windows in which torch.profiler ran; the names are PyTorch's.</p>"
    return to_section("Operators", hint + "".join(tables), "operators")


def cost_section(view: View) -> str:
    """The agent's own CPU time, and how much was written."""
    files = _files(view)
    written = sum(size for _, size in files)
    told = [
        f"Profiling wrote {to_bytes(written)} in {plural(len(files), 'file')}, "
        f"{to_bytes(written / max(view.profile.seconds, 1.0) * 60)} a minute."
    ]
    agents = [agent for folder in view.profile.folders for agent in _read_agents(folder)]
    told += [_tell_agent(agent) for agent in agents] or [
        f"What the host agent needed for itself is not known: there is no system/{AGENT_NAME}."
    ]
    body = "".join(f"<p>{to_prose(text)}</p>" for text in told)
    return to_section("What profiling cost", body, "cost")


def files_section(view: View) -> str:
    """The files that this page was made from, and what of them could not be read."""
    files = _files(view)
    shown = files[:_MOST_FILES]
    rows = [(f"<code>{to_text(name)}</code>", to_bytes(size)) for name, size in shown]
    left_out = len(files) - len(shown)
    more = f'<p class="muted">{plural(left_out, "more file")} are not listed.</p>'
    notes = "".join(f"<li>{to_text(note)}</li>" for note in view.profile.notes)
    body = (
        "<p>SageMaker's formats: smdebug's readers, and Perfetto for the timeline, open them, "
        "too.</p>"
        + (f"<p>Not read:</p><ul>{notes}</ul>" if notes else "")
        + (to_table(("file", "size"), rows) if rows else "<p>No file is left.</p>")
        + (more if left_out > 0 else "")
    )
    return to_section("Files", body, "files")


def _files(view: View) -> list[tuple[str, int]]:
    """Name below its profiler folder, and bytes; folders are told apart when there are several."""
    found = []
    for folder in view.profile.folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found.append((path.relative_to(folder).as_posix(), path.stat().st_size))
    return found


def _read_agents(folder: Path) -> list[Mapping[str, Any]]:
    """What the host agents that wrote into one folder say of themselves."""
    found = [_read(path) for path in sorted((folder / "system").glob(f"*{AGENT_NAME}"))]
    return [agent for agent in found if agent]


def _tell_agent(agent: Mapping[str, Any]) -> str:
    """One host's agent in a few sentences; what a file does not hold is left out."""
    numbers = {name: value for name, value in agent.items() if isinstance(value, int | float)}
    told = f"{agent.get('node', 'The host')}:"
    if "cpu_seconds" in numbers and "cpu_share" in numbers:
        told += (
            f" the agent needed {to_duration(numbers['cpu_seconds'])} of processor time, "
            f"{100 * numbers['cpu_share']:.2f} % of one core;"
        )
    if "ticks" in numbers:
        told += f" {plural(int(numbers['ticks']), 'sample')} of the system"
        missed = int(numbers.get("ticks_missed", 0))
        told += f" ({missed:,} came too late and were left out);" if missed else ";"
    if "spans" in numbers:
        told += f" {plural(int(numbers['spans']), 'event')} in the timeline"
        lost = int(numbers.get("spans_left_out", 0))
        told += f" ({lost:,} more were left out);" if lost else ";"
    notes = agent.get("notes")
    told += "".join(f" {note};" for note in notes) if isinstance(notes, list) else ""
    return f"{told[:-1]}."


def _read(path: Path) -> Mapping[str, Any]:
    """A file that somebody cut short costs its rows, not the page."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
