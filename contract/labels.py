"""Labels: class names in index order, made once from the train channel and imposed everywhere."""

from collections.abc import Iterable
from dataclasses import dataclass

from contract.errors import DataError


@dataclass(frozen=True, slots=True)
class Labels:
    """Class names in index order: unique, non-empty, fit to be a folder name or a CSV cell."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for name in self.names:
            if not name or not name.strip() or name in {".", ".."}:
                raise DataError(f"label {name!r}: expected a name that is not empty, '.' or '..'")
            if "/" in name or "\\" in name or any(ord(char) < 32 for char in name):
                raise DataError(f"label {name!r}: expected no slash and no control character")
            if name in seen:
                raise DataError(f"label {name!r} stands twice; every label must be unique")
            seen.add(name)

    @classmethod
    def from_names(cls, names: Iterable[str]) -> "Labels":
        """Sorted as torchvision's ImageFolder sorts, so indices agree with earlier models."""
        return cls(tuple(sorted(set(names))))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The class index of `name`. Raises DataError for a label that training never saw."""
        try:
            return self.names.index(name)
        except ValueError:
            raise DataError(
                f"label {name!r} is not in the train channel, which has {len(self)}: "
                f"{', '.join(self.names[:5])}{', ...' if len(self) > 5 else ''}"
            ) from None
