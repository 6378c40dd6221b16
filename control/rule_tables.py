"""Rules as people write them: [rules.NAME] of a job description, and `--rule NAME:param=value`."""

import ast
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from contract.errors import SpecError, UsageError
from contract.rules import FAIL, RULES, STOP, Action, RuleSpec, kind_of
from contract.strict import nearest
from contract.tensor_rules import NOT_FOR_PICTURES
from control.toml_file import as_string

OWN = ("rule", "source", "actions")  # ours; every other name is a parameter of the rule
# A comma ends a value only where another parameter begins: regular expressions may hold some.
OWN_RULE = re.compile(r"(.+\.py):([A-Za-z_]\w*)(?::(.*))?")
NEXT_PARAMETER = re.compile(r",(?=[A-Za-z_]\w*=)")


def rules_in(path: Path, table: Mapping[str, Any]) -> tuple[RuleSpec, ...]:
    """The table [rules]. Paths in it are relative to the file. Raises SpecError."""
    return tuple(_rule(path, name, given) for name, given in table.items())


def rule_of(words: str) -> RuleSpec:
    """`NAME` or `NAME:threshold=0.1,actions=stop` of a command line.

    Several actions are joined by `+`. Raises UsageError.
    """
    name, _, rest = words.partition(":")
    given = _parameters_of("--rule", words, rest)
    actions = [one for one in given.pop("actions", "").split("+") if one]
    try:
        spec = RuleSpec(
            name=name,
            rule=kind_of(name).name,
            parameters=given,
            actions=tuple(Action.parse(one) for one in actions),
        )
        return _in_time(spec)
    except SpecError as error:
        raise UsageError(f"--rule {words}: {error}") from None


def own_rule_of(words: str) -> RuleSpec:
    """`FILE.py:CLASS` or `FILE.py:CLASS:limit=3,...` of a command line. Raises UsageError."""
    match = OWN_RULE.fullmatch(words)
    if match is None:
        raise UsageError(f"--own: expected FILE.py:CLASS[:PARAMETER=VALUE,...], got {words!r}")
    file, name, rest = match.groups(default="")
    parameters = _parameters_of("--own", words, rest)
    try:
        source = _file_with("--own", Path(file).expanduser(), name)
    except SpecError as error:
        raise UsageError(str(error)) from None
    return RuleSpec(name=name, rule=name, parameters=parameters, source=str(source))


def _parameters_of(flag: str, words: str, text: str) -> dict[str, str]:
    """`threshold=0.1,name=...`. Raises UsageError."""
    given: dict[str, str] = {}
    for pair in NEXT_PARAMETER.split(text) if text else ():
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(
                f"{flag} {words}: expected PARAMETER=VALUE after a colon, got {pair!r}"
            )
        given[key.strip()] = value.strip()
    return given


def _rule(path: Path, name: str, given: Any) -> RuleSpec:
    where = f"{path}: rules.{name}"
    if not isinstance(given, dict):
        raise SpecError(f"{where}: expected a table, [rules.{name}], got {given!r}")
    parameters = {
        key: _text(f"{where}.{key}", value) for key, value in given.items() if key not in OWN
    }
    rule = _word(where, given, "rule") or name
    source = _word(where, given, "source")
    actions = tuple(_actions(where, given.get("actions", [])))
    if source is not None:
        file = Path(os.path.normpath(path.parent / Path(source).expanduser()))
        source = str(_file_with(where, file, rule))
        return RuleSpec(name=name, rule=rule, parameters=parameters, source=source, actions=actions)
    _check_name(where, rule)
    try:
        return _in_time(RuleSpec(name=name, rule=rule, parameters=parameters, actions=actions))
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _in_time(spec: RuleSpec) -> RuleSpec:
    """The same rule. Raises SpecError: it shall stop the job, and is judged when that is over."""
    over_profile = spec.kind is not None and spec.kind.scope == "profile"
    if over_profile and any(one.name == STOP for one in spec.actions):
        raise SpecError(
            f'rule {spec.rule} cannot "{STOP}" a job: rules over the profile are judged when it is '
            f'over; expected "{FAIL}" or a webhook'
        )
    return spec


def _check_name(where: str, rule: str) -> None:
    """Raises SpecError: neither a built-in rule nor, as it seems, meant as one."""
    try:
        kind_of(rule)
    except SpecError as error:
        is_own = not nearest(rule, RULES) and rule not in NOT_FOR_PICTURES
        own = f'; one of your own needs source = "FILE.py" with the class {rule}' if is_own else ""
        raise SpecError(f"{where}: {error}{own}") from None


def _file_with(where: str, file: Path, rule: str) -> Path:
    """The file of the user's own class, which is parsed, not run. Raises SpecError: not there."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise SpecError(f"{where}: {file} cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise SpecError(f"{where}: {file} is no Python: {error}") from None
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    if rule not in classes:
        raise SpecError(f"{where}: {file} has no class {rule!r}; {_near(rule, classes)}")
    return file.resolve()


def _near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = nearest(name, names)
    if near:
        return f"did you mean {near!r}?"
    return f"it has: {', '.join(names) or 'none'}"


def _text(where: str, value: Any) -> str:
    """A parameter as AWS sends it; lists become words between commas."""
    if isinstance(value, list):
        return ",".join(as_string(where, one) for one in value)
    return as_string(where, value)


def _word(where: str, given: Mapping[str, Any], key: str) -> str | None:
    value = given.get(key)
    if value is not None and not isinstance(value, str):
        raise SpecError(f"{where}.{key}: expected text in quotes, got {value!r}")
    return value


def _actions(where: str, given: Any) -> Iterable[Action]:
    for one in given if isinstance(given, list) else [given]:
        try:
            yield Action.parse(one)
        except SpecError as error:
            raise SpecError(f"{where}.actions: {error}") from None
