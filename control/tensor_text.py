"""The list of what a job saved, as a table."""

from typing import Any

from control.terminal import table


def tensors_text(document: Any) -> str:
    """PLACEHOLDER"""
    return table(("name",), [])
