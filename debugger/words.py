"""Rules as they are written on the command line: `--rule NAME:param=value,...` and `--own`."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.files import read_json
from contract.rules import RuleSpec, kind_of

# A comma ends a value only where another parameter begins: regular expressions may hold some.
_NEXT_PARAMETER = re.compile(r",(?=[A-Za-z_]\w*=)")
_OWN = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)(?::(?P<rest>.*))?")


def specs_of(config: Path | None, rules: Iterable[str], own: Iterable[str]) -> tuple[RuleSpec, ...]:
    """All that was asked for; a rule that is there twice gets a number behind its name.

    Raises SpecError: an unknown rule or parameter, or a file that is not what it should be.
    """
    specs = [] if config is None else _of_file(config)
    specs += [_rule(words) for words in rules]
    specs += [_own_rule(words) for words in own]
    names = [spec.name for spec in specs]
    for name in names:
        if "/" in name or name in ("", ".", ".."):
            raise SpecError(f"rule {name!r}: its results get a folder of this name; no slashes")
    return tuple(
        _renamed(spec, names[:position].count(spec.name)) for position, spec in enumerate(specs)
    )


def _of_file(path: Path) -> list[RuleSpec]:
    document = read_json(path, SpecError)
    rows = document.get("rules") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SpecError(f'{path}: expected {{"rules": [...]}} with one object a rule')
    return [RuleSpec.from_json(row) for row in rows]


def _rule(words: str) -> RuleSpec:
    name, _, rest = words.partition(":")
    parameters = _parameters(f"--rule {words}", rest)
    rule = kind_of(name).name
    return RuleSpec(name=rule, rule=rule, parameters=parameters)


def _own_rule(words: str) -> RuleSpec:
    found = _OWN.fullmatch(words)
    if found is None:
        raise SpecError(f"--own {words}: expected FILE.py:CLASS[:PARAMETER=VALUE,...]")
    parameters = _parameters(f"--own {words}", found["rest"] or "")
    name = found["name"]
    source = str(Path(found["file"]).expanduser())
    return RuleSpec(name=name, rule=name, parameters=parameters, source=source)


def _parameters(where: str, text: str) -> Mapping[str, str]:
    given: dict[str, str] = {}
    for pair in _NEXT_PARAMETER.split(text) if text else ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip().isidentifier():
            raise SpecError(f"{where}: expected PARAMETER=VALUE, got {pair!r}")
        given[key.strip()] = value.strip()
    return given


def _renamed(spec: RuleSpec, num_before: int) -> RuleSpec:
    if not num_before:
        return spec
    data: dict[str, Any] = {**spec.to_json(), "name": f"{spec.name}-{num_before + 1}"}
    return RuleSpec.from_json(data)
