"""TransformReasons: why objects of a batch transform have no answer, from the job's own log.

SageMaker writes no answer for an object that was refused, and a few lines of log:

    2026-01-14T04:08:19.666:[sagemaker logs]: BUCKET/KEY: ClientError: 400
    2026-01-14T04:08:19.666:[sagemaker logs]: BUCKET/KEY:
    2026-01-14T04:08:19.666:[sagemaker logs]: BUCKET/KEY: Message:
    2026-01-14T04:08:19.666:[sagemaker logs]: BUCKET/KEY: {"error": ..., "message": ...}

Source: logs of real jobs in public issues, e.g. aws/amazon-sagemaker-examples#1620.
"""

import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST = 300  # characters of a reason
_LINE = re.compile(r"\S*\[sagemaker logs\]: (.*)", re.DOTALL)
_STATUS = re.compile(r"\w*Error: (\d{3})")
_BEGINS = re.compile(rf"(.+): ({_STATUS.pattern})", re.DOTALL)
_MESSAGE = "Message:"
_BETWEEN = ": "


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What became of one object."""

    status: int | str = ""  # HTTP's, where the log has one
    text: str


NO_REASON = Reason(text="SageMaker wrote no answer, and its log does not say why")


def reasons_in(lines: Iterable[str], bucket: str) -> dict[str, Reason]:
    """Key -> why it has no answer. Lines about anything else are passed over."""
    texts: dict[str, list[str]] = {}
    for line in lines:
        found = _LINE.fullmatch(line.rstrip())
        if found and found[1].startswith(f"{bucket}/"):
            key, text = _split(found[1][len(bucket) + 1 :], texts)
            texts.setdefault(key, []).append(text)
    return {key: _reason(said) for key, said in texts.items()}


def _split(rest: str, known: Iterable[str]) -> tuple[str, str]:
    """`KEY: TEXT`. A key may hold `: ` itself; the longest that was seen before counts first."""
    rest = rest if _BETWEEN in rest else rest.removesuffix(":") + _BETWEEN
    begins = _BEGINS.fullmatch(rest)
    if begins:  # all before it is the key
        return begins[1], begins[2]
    places = [found.start() for found in re.finditer(_BETWEEN, rest)]
    seen = [at for at in places if rest[:at] in known]
    at = seen[-1] if seen else places[0]
    return rest[:at], rest[at + len(_BETWEEN) :]


def _reason(said: list[str]) -> Reason:
    status = next((int(found[1]) for text in said if (found := _STATUS.fullmatch(text))), "")
    after = said[said.index(_MESSAGE) + 1 :] if _MESSAGE in said else said
    text = " ".join(" ".join(after).split())
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["message"])  # our server's own sentence
    return Reason(status=status, text=text[:LONGEST] or NO_REASON.text)
