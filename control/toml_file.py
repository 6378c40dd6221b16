"""TOML descriptions: read as they are written; every complaint names the file and the place."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import SpecError


def read_toml(path: Path, what: str = "job description") -> dict[str, Any]:
    """The file as it is written. Raises SpecError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{path} does not exist: give the path of a {what}") from None
    except IsADirectoryError:
        raise SpecError(f"{path} is a folder: give the path of a TOML file in it") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} cannot be read as TOML: {error}") from error


def table_in(path: Path, data: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The table `key` of a file; empty when there is none. Raises SpecError."""
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise SpecError(f"{path}: {key}: expected a table, [{key}], got {value!r}")
    return value


def text_in(path: Path, data: Mapping[str, Any], key: str) -> str | None:
    """The text `key` of a file, if there is one. Raises SpecError."""
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise SpecError(f"{path}: {key}: expected text in quotes, got {value!r}")
    return value


def as_string(where: str, value: Any) -> str:
    """A TOML scalar as SageMaker would send it. Raises SpecError."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        raise SpecError(f"{where}: expected one value, got {type(value).__name__}")
    return value if isinstance(value, str) else str(value)
