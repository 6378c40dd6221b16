"""A user's own rule: a class on smdebug's Rule in a file, written as AWS's documentation does."""

import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.strict import nearest
from debugger.tensors import Rule, Trial, allow_short_init


def build_own_rule(
    source: Path,
    name: str,
    parameters: Mapping[str, str],
    trial: Trial,
    other_trials: list[Trial],
) -> Rule:
    """Import the file and make the rule. Parameters are text, as AWS passes them.

    Raises SpecError: there is no such file, class or parameter. What the file itself raises when it
    is imported comes through.
    """
    allow_short_init()
    kind = _class_in(source, name)
    given: dict[str, Any] = {"base_trial": trial, **parameters}
    wanted = inspect.signature(kind).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in wanted.values())
    for key in parameters:
        if key not in wanted and not takes_all:
            near = nearest(key, wanted)
            hint = f"did you mean {near}?" if near else f"it has {', '.join(wanted)}"
            raise SpecError(f"{source}: {name} has no parameter {key!r}; {hint}")
    if other_trials or _is_required(wanted.get("other_trials")):
        given["other_trials"] = other_trials
    if _is_required(wanted.get("action_str")):
        given.setdefault("action_str", "")
    try:
        inspect.signature(kind).bind(**given)
    except TypeError as error:
        raise SpecError(f"{source}: {name} cannot be made: {error}") from None
    return kind(**given)


def check_own_rule(source: Path) -> None:
    """Raises SpecError: there is no such file. Nothing is imported."""
    if not source.is_file():
        raise SpecError(f"{source}: expected a Python file with a rule, and there is none")


def _class_in(source: Path, name: str) -> type[Rule]:
    check_own_rule(source)
    spec = importlib.util.spec_from_file_location(f"own_rule_{source.stem}", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(source.parent))  # a rule may import what lies beside it
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(source.parent))
    found = getattr(module, name, None)
    if not (inspect.isclass(found) and issubclass(found, Rule)):
        rules = [
            key
            for key, value in vars(module).items()
            if inspect.isclass(value) and issubclass(value, Rule) and value is not Rule
        ]
        near = nearest(name, rules)
        hint = f"did you mean {near}?" if near else f"it has {', '.join(rules) or 'none'}"
        raise SpecError(f"{source}: expected a class {name} on smdebug's Rule; {hint}")
    return found


def _is_required(parameter: inspect.Parameter | None) -> bool:
    return parameter is not None and parameter.default is parameter.empty
