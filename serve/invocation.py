"""Invocation and Answer: one POST /invocations, and what goes back. Plain data, no flask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One request as the client sent it. Header values are untouched."""

    body: bytes
    content_type: str | None = None
    accept: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""  # under which the log has this request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response; an error only where a model's own process has written it out already."""

    body: bytes
    content_type: str
    status: int = 200
    num_pictures: int | None = None  # None: only the user's code knows
    headers: Mapping[str, str] = field(default_factory=dict)


class Model(Protocol):
    """What a service serves. Called from many threads at once."""

    def describe(self) -> dict[str, Any]:
        """Facts for /ping and the log: engine, device, network, labels."""
        ...

    def answer(self, invocation: Invocation) -> Answer:
        """Raises KennelError; RequestError and ImageError are the client's."""
        ...

    def close(self) -> None:
        """End what would not end by itself, even in the middle of an answer. May be repeated."""
        ...
