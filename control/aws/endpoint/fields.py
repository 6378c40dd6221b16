"""Fields: the values of one table of a TOML file, each checked as it is taken."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.ranges import only_known
from control.aws.shapes import S3_PLACE, Shape, wrong_list
from control.toml_file import as_string


@dataclass(frozen=True, slots=True)
class Fields:
    """The table `name` of the file `path`. Every method raises SpecError, with the place."""

    path: Path
    name: str  # as a person writes it: aws, serverless, variants[2]
    table: Mapping[str, Any]

    def known(self, names: Iterable[str]) -> "Fields":
        """Itself, when the table holds no other names; the nearest one is suggested."""
        if not isinstance(self.table, Mapping):
            raise SpecError(f"{self.path}: {self.name}: expected a table, got {self.table!r}")
        only_known(f"{self.path}: {self.name}" if self.name else str(self.path), self.table, names)
        return self

    def text(self, name: str, default: str = "") -> str:
        """Text that is not empty, or `default` when there is none."""
        if name not in self.table:
            return default
        value = self.table[name]
        if not isinstance(value, str) or not value:
            raise self.wrong(name, "text in quotes", value)
        return value

    def one_of(self, name: str, choices: Iterable[str], default: str) -> str:
        """One of a few words."""
        value = self.text(name, default)
        if value not in choices:
            raise self.wrong(name, " | ".join(choices), value)
        return value

    def whole(self, name: str, least: int, most: int, default: int) -> int:
        """A whole number from `least` to `most`."""
        value = self.table.get(name, default)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(name, f"a whole number from {least} to {most}", value)
        return value

    def number(self, name: str, least: float, most: float, default: float) -> float:
        """A number from `least` to `most`."""
        value = self.table.get(name, default)
        if type(value) not in (int, float) or not least <= value <= most:
            raise self.wrong(name, f"a number from {least:g} to {most:g}", value)
        return float(value)

    def switch(self, name: str) -> bool:
        """True or false; false when there is none."""
        value = self.table.get(name, False)
        if type(value) is not bool:
            raise self.wrong(name, "true or false", value)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty when there is none."""
        value = self.table.get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self.wrong(name, "a list of texts", value)
        return tuple(value)

    def s3(self, name: str, default: str = "") -> str:
        """An address, s3://BUCKET/PREFIX."""
        return self.shaped(name, S3_PLACE, default)

    def shaped(self, name: str, shape: Shape, default: str = "") -> str:
        """Text that AWS takes, or `default` when there is none."""
        value = self.text(name, default)
        if value and not shape.fits(value):
            raise self.wrong(name, shape.expected, value[:80])
        return value

    def all_shaped(self, name: str, shape: Shape, most: int) -> tuple[str, ...]:
        """A list of texts that AWS takes; empty when there is none."""
        texts = self.texts(name)
        if expected := wrong_list(texts, shape, most):
            raise self.wrong(name, expected, list(texts)[: most + 1])
        return texts

    def arn(self, name: str, service: str) -> str:
        """An ARN of this service, or empty."""
        value = self.text(name)
        if value and not re.fullmatch(rf"arn:aws[\w-]*:{service}:.+", value):
            raise self.wrong(name, f"an ARN, arn:aws:{service}:...", value)
        return value

    def strings(self, name: str) -> dict[str, str]:
        """A table whose values are one text, number or switch each, as text."""
        value = self.table.get(name, {})
        if not isinstance(value, Mapping):
            raise self.wrong(name, "a table", value)
        where = f"{self.path}: {self.name}.{name}"
        return {key: as_string(f"{where}.{key}", item) for key, item in value.items()}

    def wrong(self, name: str, expected: str, got: Any) -> SpecError:
        """The error of one field."""
        place = f"{self.name}.{name}" if self.name else name
        place = place if place.isprintable() else ascii(place)
        return SpecError(f"{self.path}: {place}: expected {expected}, got {got!r}")
