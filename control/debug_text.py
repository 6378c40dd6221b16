"""The Debugger's part of a job in words: for --show, and for how a run ended."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.hook_config import HookConfig
from contract.profiler_config import DETAILED, ProfilerConfig, Window
from contract.rule_result import RULE_OUTPUT
from contract.rules import Action, RuleSpec
from control.debug_spec import DebugSpec

PROFILER_PAGE = Path("profiler-output") / "profiler-report.html"  # where AWS has it, in a rule's


def spec_lines(debug: DebugSpec) -> list[str]:
    """What is saved, measured and watched; a line each, its subject first."""
    return [
        *(_hook_lines(debug.hook) if debug.hook else ()),
        *([f"profiler         {_profiler_text(debug.profiler)}"] if debug.profiler else ()),
        *(f"rule             {_rule_text(rule)}" for rule in debug.rules),
        *(f"note             {note}" for note in debug.notes),
    ]


def profiler_page(folder: Path, rules: Sequence[Mapping[str, Any]]) -> Path | None:
    """The page of the first profiler's report among a run's rules, if there is one."""
    pages = [folder / RULE_OUTPUT / str(one["name"]) / PROFILER_PAGE for one in rules]
    return next((page for page in pages if page.is_file()), None)


def _hook_lines(hook: HookConfig) -> list[str]:
    names = [one.name for one in hook.collections if not _particulars(one.parameters)]
    usual = f"; {_particulars(hook.parameters)}" if hook.parameters else ""
    return [
        f"tensors          {', '.join(names) or 'none'}{usual}",
        *(
            f"tensors          {one.name}; {particulars}"
            for one in hook.collections
            if (particulars := _particulars(one.parameters))
        ),
    ]


def _particulars(parameters: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


def _profiler_text(profiler: ProfilerConfig) -> str:
    window = profiler.windows.get(DETAILED)
    operators = f"; operators {_window_text(window)}" if window else ""
    return f"every {profiler.interval_ms} ms{operators}"


def _window_text(window: Window) -> str:
    if window.num_steps is not None:
        return f"of {window.num_steps} steps from step {window.start_step or 0} on"
    return f"for {window.duration_seconds or 0:g} s from {window.start_unix_time} on"


def _rule_text(rule: RuleSpec) -> str:
    name = rule.name if rule.name == rule.rule else f"{rule.name} ({rule.rule})"
    given = " ".join(f"{key}={value}" for key, value in rule.parameters.items())
    parts = [name, given, f"of {rule.source}" if rule.source else ""]
    acts = ", ".join(_action_text(one) for one in rule.actions)
    return " ".join(part for part in parts if part) + (f"; when it fires: {acts}" if acts else "")


def _action_text(action: Action) -> str:
    return f"{action.name} {action.url}" if action.url else action.name
