"""The TOML files of what ran: written from what a run was told, so that others can run it again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.files import read_json
from contract.rules import RuleSpec
from contract.study import Study
from control.rule_watch import CONFIG_NAME
from control.runs import Run

PROFILED = "ProfilerReport"


def job_toml(run: Run) -> str:
    """The job, with its rules. Channels are where they were."""
    table = "aws.channels" if run.aws else "channels"
    parts = [
        f"# What {run.folder.name} was told. Channels are where they were then.",
        f"name = {_value(run.name)}",
        *_table("hyperparameters", run.hyperparameters),
        *_table(table, run.channels),
        *_watching(run),
    ]
    return "\n".join(parts) + "\n"


def tuning_toml(study: Study, run: Run) -> str:
    """The search, with its fixed hyperparameters and channels."""
    told = study.spec.to_json()
    ranges, static = dict(told.pop("ranges")), dict(told.pop("static", {}))
    name, warm = told.pop("name"), told.pop("warm_start", None)
    table = "aws.channels" if run.aws else "channels"
    parts = [
        f"# What {run.folder.name} was told. Channels are where they were then.",
        f"name = {_value(name)}",
        *_table("hyperparameters", static),
        *_table("tuning", told),
        *_table("ranges", ranges),
        *(_table("warm_start", warm) if warm else ()),
        *_table(table, run.channels),
    ]
    return "\n".join(parts) + "\n"


def rules_of(run: Run) -> tuple[RuleSpec, ...]:
    """Those that watched the run, as it was told; by their names alone where that is not known."""
    path = Path(run.folder) / CONFIG_NAME
    if path.is_file():
        given = read_json(path, SpecError)
        return tuple(RuleSpec.from_json(one) for one in given["rules"])
    return tuple(RuleSpec(name=str(one["name"]), rule=str(one["rule"])) for one in run.rules)


def _watching(run: Run) -> list[str]:
    rules = rules_of(run)
    if not rules:
        return []
    lines = ["", "[debugger]"]
    for rule in rules:
        if rule.rule == PROFILED and not rule.parameters:
            lines += ["", "[profiler]"]  # which brings its report
        else:
            kind = {"rule": rule.rule} if rule.rule != rule.name else {}
            lines += _table(f"rules.{rule.name}", {**kind, **rule.parameters})
    return lines


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    lines = [f"{_key(key)} = {_value(value)}" for key, value in values.items() if value is not None]
    return ["", f"[{name}]", *lines]


def _key(name: str) -> str:
    plain = all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in name)
    return name if name and plain else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))
