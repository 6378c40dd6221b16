"""Answers: which form the client accepts, and Predictions written in that form."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contract.errors import RequestError
from contract.prediction import Prediction
from serve.invocation import Answer

Predictions = Sequence[Prediction]


@dataclass(frozen=True, slots=True)
class Form:
    """One form of answer: its name in Accept, its Content-Type, and how it is written."""

    name: str
    content_type: str
    write: Callable[[Predictions], bytes]
    verbose: bool = False  # asked for by the parameter `verbose`


@dataclass(frozen=True, slots=True)
class Range:
    """One element of an Accept header, e.g. `text/*;q=0.5`."""

    main: str
    sub: str
    verbose: bool
    quality: float
    position: int

    def specificity(self, form: Form) -> int:
        """How closely this range names `form`; 0 where it does not match."""
        main, sub = form.name.split("/")
        if (self.main, self.sub) == ("*", "*"):
            return 0 if form.verbose or self.verbose else 1
        if self.main != main or self.sub not in ("*", sub):
            return 0
        if self.verbose != form.verbose:
            return 0
        return 2 if self.sub == "*" else 3


def negotiate(accept: str | None, default: str) -> Form:
    """The form to answer in. Raises RequestError 406 when none of ours is acceptable.

    Quality decides, then how closely the client named a form, then its order in the header.
    A missing header and a bare `*/*` mean `default`.

    Source: RFC 9110 section 12.5.1; the parameter `verbose` is AWS JumpStart's.
    """
    wanted = (accept or "").strip()
    if wanted in ("", "*/*"):
        wanted = default
    ranges = list(_ranges(wanted))
    best: tuple[float, int, int] | None = None
    chosen = FORMS[0]
    for form in FORMS:
        matches = [item for item in ranges if item.specificity(form)]
        if not matches:
            continue
        closest = max(matches, key=lambda item: (item.specificity(form), -item.position))
        rank = (closest.quality, closest.specificity(form), -closest.position)
        if closest.quality > 0 and (best is None or rank > best):
            best, chosen = rank, form
    if best is None:
        raise RequestError(
            406,
            f"Accept {wanted[:200]!r} names no form that we can answer in; "
            f"ask for one of {', '.join(form.name + ';verbose' * form.verbose for form in FORMS)}",
        )
    return chosen


def write_answer(predictions: Predictions, form: Form) -> Answer:
    """Raises ValueError when a probability is NaN or infinite: no form can carry that honestly."""
    return Answer(
        body=form.write(predictions),
        content_type=form.content_type,
        num_pictures=len(predictions),
    )


def _ranges(accept: str) -> Iterator[Range]:
    for position, element in enumerate(accept.split(",")):
        name, *parameters = (part.strip().lower() for part in element.split(";"))
        main, slash, sub = ALIASES.get(name, name).partition("/")
        quality, verbose = 1.0, False
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = _quality(value)
            elif key.strip() == "verbose":
                verbose = value.strip() not in ("false", "0")
        if slash and main and sub and quality >= 0:
            yield Range(main, sub, verbose, quality, position)


def _quality(text: str) -> float:
    """0 to 1; -1 for what is no number, so that the element is ignored."""
    try:
        value = float(text)
    except ValueError:
        return -1.0
    return value if 0 <= value <= 1 else -1.0


def _json_bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _write_json(predictions: Predictions) -> bytes:
    return _json_bytes({"predictions": [item.to_json() for item in predictions]})


def _write_verbose(predictions: Predictions) -> bytes:
    verbose = [item.to_verbose_json() for item in predictions]
    return _json_bytes(verbose[0] if len(verbose) == 1 else verbose)


def _write_lines(predictions: Predictions) -> bytes:
    return b"".join(_json_bytes(item.to_json()) + b"\n" for item in predictions)


def _write_csv(predictions: Predictions) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows((item.label, item.probability) for item in predictions)
    return text.getvalue().encode()


def _write_npy(predictions: Predictions) -> bytes:
    data = io.BytesIO()
    rows = np.array([item.probabilities for item in predictions], dtype=np.float32)
    np.save(data, rows, allow_pickle=False)
    return data.getvalue()


FORMS: tuple[Form, ...] = (
    Form("application/json", "application/json", _write_json),
    Form("application/json", "application/json", _write_verbose, verbose=True),
    Form("text/csv", "text/csv", _write_csv),
    Form("application/jsonlines", "application/jsonlines", _write_lines),
    Form("application/x-npy", "application/x-npy", _write_npy),
)
ALIASES = {
    "application/x-jsonlines": "application/jsonlines",
    "application/x-ndjson": "application/jsonlines",
    "text/json": "application/json",
}
