"""The tables [debugger], [profiler] and [rules.NAME] of a job description, read and checked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.hook_config import Collection, HookConfig
from contract.profiler_config import DETAILED, ProfilerConfig, Window
from contract.ranges import only_known
from contract.strict import nearest
from control.debug_spec import AUTO, DEFAULT_COLLECTIONS, DebugSpec, ready_collection
from control.rule_tables import rules_in
from control.toml_file import table_in

TABLES = ("debugger", "profiler", "rules")

SAVING = ("save_interval", "save_steps", "start_step", "end_step")
MODES = ("train", "eval")  # `train_save_interval`: of this mode alone
MODE_SAVING = tuple(f"{mode}_{name}" for mode in MODES for name in SAVING)
TENSORS = ("reductions", "save_raw_tensor", "save_shape", "include_regex")
OF_COLLECTION = (*SAVING, *MODE_SAVING, *TENSORS, "save_histogram")
OF_HOOK = ("collections", *SAVING, *MODE_SAVING, *TENSORS, "save_all", "include_workers")
# Source: smdebug 1.0.34, its reductions.
REDUCTIONS = ("min", "max", "mean", "std", "variance", "sum", "prod", "l1_norm", "l2_norm")
ALL_REDUCTIONS = (*REDUCTIONS, *(f"abs_{name}" for name in REDUCTIONS))

WINDOWS = ("first_steps", "steps", "seconds")


def debug_in(path: Path, data: Mapping[str, Any]) -> DebugSpec:
    """All three tables, as they are written: `completed` adds what the rules need.

    Raises SpecError: an unknown name, with the nearest one, or a wrong value.
    """
    spec = DebugSpec(
        hook=_hook(f"{path}: debugger", table_in(path, data, "debugger"))
        if "debugger" in data
        else None,
        profiler=_profiler(f"{path}: profiler", table_in(path, data, "profiler"))
        if "profiler" in data
        else None,
        rules=rules_in(path, table_in(path, data, "rules")),
    )
    return spec.with_report() if spec.profiler else spec


def _hook(where: str, table: Mapping[str, Any]) -> HookConfig:
    only_known(where, table, OF_HOOK)
    parameters = _parameters(where, {key: table[key] for key in table if key != "collections"})
    if not _says_when(parameters):
        parameters["save_interval"] = AUTO
    return HookConfig(
        collections=_collections(f"{where}.collections", table.get("collections")),
        parameters=parameters,
    )


def _says_when(parameters: Mapping[str, str]) -> bool:
    """Whether every mode is told its steps."""
    plain = parameters.keys() & {"save_interval", "save_steps"}
    modes = all(
        parameters.keys() & {f"{mode}.save_interval", f"{mode}.save_steps"} for mode in MODES
    )
    return bool(plain) or modes


def _collections(where: str, given: Any) -> tuple[Collection, ...]:
    """A list of names and tables, or a table of tables, which come besides the usual ones."""
    if given is None:
        return tuple(Collection(name=name) for name in DEFAULT_COLLECTIONS)
    described: dict[str, Mapping[str, Any]]
    if isinstance(given, dict):
        described = {**{name: {} for name in DEFAULT_COLLECTIONS}, **given}
    elif isinstance(given, list):
        described = {}
        for one in given:
            name, table = _listed(where, one)
            if name in described:
                raise SpecError(f"{where}: {name!r} is there twice")
            described[name] = table
    else:
        raise SpecError(f'{where}: expected a list such as ["losses", "gradients"], got {given!r}')
    return tuple(_collection(where, name, table) for name, table in described.items())


def _listed(where: str, one: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(one, str):
        return one, {}
    if isinstance(one, dict) and isinstance(one.get("name"), str):
        return one["name"], {key: one[key] for key in one if key != "name"}
    raise SpecError(
        f'{where}: expected a name in quotes or {{name = "fc", include_regex = ".*fc"}}, '
        f"got {one!r}"
    )


def _collection(where: str, name: str, table: Any) -> Collection:
    if not isinstance(table, dict):
        raise SpecError(f"{where}.{name}: expected a table, got {table!r}")
    only_known(f"{where}.{name}", table, OF_COLLECTION)
    try:
        return ready_collection(name, **_parameters(f"{where}.{name}", table))
    except SpecError as error:
        raise error if where in str(error) else SpecError(f"{where}: {error}") from None


def _parameters(where: str, table: Mapping[str, Any]) -> dict[str, str]:
    """As SageMaker sends them: text, lists joined by commas, `train_` as `train.`."""
    parameters = {_aws_name(key): _value(f"{where}.{key}", key, table[key]) for key in table}
    # smdebug takes save_steps and the interval (500 without one) together; who lists steps means
    # these. An empty range leaves nothing to the interval.
    for prefix in ("", *(f"{mode}." for mode in MODES)):
        others = {f"{prefix}{name}" for name in SAVING if name != "save_steps"}
        if f"{prefix}save_steps" in parameters and not others & parameters.keys():
            parameters[f"{prefix}end_step"] = "0"
    return parameters


def _aws_name(key: str) -> str:
    mode, _, rest = key.partition("_")
    return f"{mode}.{rest}" if key in MODE_SAVING else key


def _value(where: str, key: str, value: Any) -> str:
    name = _aws_name(key).rpartition(".")[2]
    if name == "save_interval":
        return AUTO if value == AUTO else _whole(where, value, 1, ' or "auto"')
    if name in ("start_step", "end_step"):
        return _whole(where, value, 0)
    if name == "save_steps":
        steps = value if isinstance(value, list) else [value]
        return ",".join(_whole(where, step, 0) for step in steps)
    if name == "reductions":
        return ",".join(_reduction(where, one) for one in _texts(where, value))
    if name == "include_regex":
        return ",".join(_regex(where, one) for one in _texts(where, value))
    if name == "include_workers":
        if value not in ("one", "all"):
            raise SpecError(f'{where}: expected "one" or "all", got {value!r}')
        return str(value)
    if not isinstance(value, bool):
        raise SpecError(f"{where}: expected true or false, got {value!r}")
    return str(value).lower()


def _whole(where: str, value: Any, least: int, otherwise: str = "") -> str:
    if type(value) is not int or value < least:
        raise SpecError(f"{where}: expected a whole number >= {least}{otherwise}, got {value!r}")
    return str(value)


def _texts(where: str, value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in texts):
        raise SpecError(f"{where}: expected text in quotes or a list of it, got {value!r}")
    return texts


def _reduction(where: str, name: str) -> str:
    if name not in ALL_REDUCTIONS:
        near = nearest(name, ALL_REDUCTIONS)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(REDUCTIONS)}, abs_..."
        raise SpecError(f"{where}: unknown reduction {name!r}; {hint}")
    return name


def _regex(where: str, text: str) -> str:
    if "," in text:
        raise SpecError(
            f"{where}: {text!r} holds a comma, where smdebug would split it: use a list"
        )
    try:
        re.compile(text)
    except re.error as error:
        raise SpecError(f"{where}: {text!r} is no regular expression: {error}") from None
    return text


def _profiler(where: str, table: Mapping[str, Any]) -> ProfilerConfig:
    only_known(where, table, ("interval_ms", *WINDOWS))
    given = [key for key in WINDOWS if key in table]
    if len(given) > 1:
        raise SpecError(f"{where}: {' and '.join(given)} say when operators are profiled: give one")
    settings: dict[str, Any] = {}
    if "interval_ms" in table:
        settings["interval_ms"] = int(_whole(f"{where}.interval_ms", table["interval_ms"], 1))
    if given:
        key = given[0]
        settings["windows"] = {DETAILED: _window(f"{where}.{key}", key, table[key])}
    try:
        return ProfilerConfig(**settings)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def _window(where: str, key: str, value: Any) -> Window:
    if key == "first_steps":
        return Window(start_step=0, num_steps=int(_whole(where, value, 1)))
    meaning = "[start, count]" if key == "steps" else "[start, duration], Unix time and seconds"
    numbers = (int,) if key == "steps" else (int, float)
    if not isinstance(value, list) or len(value) != 2 or any(type(x) not in numbers for x in value):
        raise SpecError(f"{where}: expected {meaning}, got {value!r}")
    start, length = value
    if start < 0 or length <= 0:
        raise SpecError(f"{where}: expected {meaning}, the second above 0, got {value!r}")
    if key == "steps":
        return Window(start_step=start, num_steps=length)
    return Window(start_unix_time=int(start), duration_seconds=float(length))
