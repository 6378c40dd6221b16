"""Explain: answers with a heat map of what spoke for a label. `image/png;explain=gradcam`.

Asked for by a parameter of Accept, which SageMaker passes on, or by the same names in the query.
"""

import base64
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from werkzeug.http import parse_options_header

from classifier.explain import Explainer
from classifier.preprocess import Pixels
from contract.errors import ExplainError, RequestError
from contract.prediction import Prediction, predictions_from_rows
from serve.heat_map import draw_map, draw_overlay
from serve.invocation import Answer
from serve.lanes import BUSY_RETRY_SECONDS, Lanes, Work

METHOD = "gradcam"
PNG, JSON = "image/png", "application/json"
KEYS = ("explain", "label", "style")
STYLES = {"overlay": draw_overlay, "map": draw_map}
# The parts of an Accept header: commas inside quotes do not end one.
RANGES = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is to be explained, and in which form."""

    content_type: str  # PNG or JSON
    label: str | None = None  # None: the most probable one
    style: str = "overlay"


def accept_with(accept: str | None, query: Mapping[str, str]) -> str | None:
    """Accept with the parameters that came in the query instead: `?explain=gradcam`."""
    if "explain" not in query:
        return accept
    kind = JSON if JSON in (accept or "").lower() else PNG
    given = {key: query[key] for key in KEYS if key in query}
    return kind + "".join(f";{key}*=UTF-8''{quote(text)}" for key, text in given.items())


def explanation_of(accept: str | None) -> Explanation | None:
    """What Accept asks to explain; None when it does not.

    Raises RequestError: 422 for a method or a style that there is not, 406 for another form.
    """
    if accept is None or "explain" not in accept.lower():
        return None
    ranges = [parse_options_header(part) for part in RANGES.findall(accept)]
    kind, options = next((item for item in ranges if "explain" in item[1]), ("", {}))
    if not options:
        return None
    if options["explain"].lower() != METHOD:
        raise RequestError(422, f"explain={options['explain'][:100]!r}: expected {METHOD}")
    if options.get("style", "overlay") not in STYLES:
        raise RequestError(
            422, f"style={options['style'][:100]!r}: expected one of {' | '.join(STYLES)}"
        )
    kind = kind.lower().strip()
    if kind not in (PNG, JSON, "image/*", "*/*"):
        raise RequestError(406, f"an explanation is {PNG} or {JSON}, not {kind[:100]!r}")
    return Explanation(
        content_type=JSON if kind == JSON else PNG,
        label=options.get("label"),
        style=options.get("style", "overlay"),
    )


def refuse_explanation(accept: str | None) -> None:
    """For models that are programs. Raises RequestError 422 when Accept asks to explain."""
    if explanation_of(accept) is not None:
        raise RequestError(
            422,
            "this model is a program of its own (code/ or TorchScript), into which Kennel cannot "
            "look: explanations need a bundle without code",
        )


class Explanations:
    """Explains the answers of one bundle. Thread-safe; one heat map is computed at a time."""

    def __init__(
        self,
        explainer: Explainer,
        lanes: Lanes,
        work: Work,
        *,
        labels: tuple[str, ...],
        top_k: int,
        timeout_seconds: float,
    ) -> None:
        """`work` answers; its pictures are those that are explained."""
        self._explainer, self._lanes, self._work = explainer, lanes, work
        self._labels, self._top_k, self._timeout_seconds = labels, top_k, timeout_seconds
        self._turn = threading.Lock()

    def answer(self, wanted: Explanation, sources: Sequence[Any]) -> Answer:
        """Raises RequestError: 422 where there is nothing to explain, or not in this form."""
        self._check(wanted, len(sources))
        kept: dict[int, Pixels] = {}

        def decode(numbered: tuple[int, Any]) -> Pixels:
            index, source = numbered
            kept[index] = self._work.decode(source)
            return kept[index]

        work = Work(decode=decode, compute=self._work.compute, batch_size=self._work.batch_size)
        rows = self._lanes.run(work, list(enumerate(sources))).tolist()
        predictions = predictions_from_rows(rows, self._labels, self._top_k)
        labels = [wanted.label or prediction.label for prediction in predictions]
        pictures = [
            self._draw(kept[index], label, wanted.style) for index, label in enumerate(labels)
        ]
        body = (
            pictures[0]
            if wanted.content_type == PNG
            else _write_json(predictions, labels, pictures)
        )
        return Answer(body=body, content_type=wanted.content_type, num_pictures=len(pictures))

    def _check(self, wanted: Explanation, num_pictures: int) -> None:
        """Before any work is done."""
        if reason := self._explainer.reason():
            raise RequestError(422, f"the answers of this model cannot be explained: {reason}")
        if wanted.label is not None and wanted.label not in self._labels:
            raise RequestError(422, f"label {wanted.label[:100]!r} is none of this model's")
        if wanted.content_type == PNG and num_pictures > 1:
            raise RequestError(
                422,
                f"{PNG} holds the explanation of one picture, the request has {num_pictures}; "
                f"ask for {JSON};explain={METHOD}",
            )

    def _draw(self, pixels: Pixels, label: str, style: str) -> bytes:
        try:
            with self._my_turn():
                heat = self._explainer.heat_map(pixels, self._labels.index(label))
        except ExplainError as error:
            raise RequestError(422, str(error)) from error
        return STYLES[style](pixels, heat)

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self._timeout_seconds):
            raise RequestError(503, "other explanations come first; try again", BUSY_RETRY_SECONDS)
        try:
            yield
        finally:
            self._turn.release()


def _write_json(
    predictions: Sequence[Prediction], labels: Sequence[str], pictures: Sequence[bytes]
) -> bytes:
    """The usual answer; each prediction has `explanation` besides."""
    entries = [
        {
            **prediction.to_json(),
            "explanation": {
                "method": METHOD,
                "label": label,
                "png": base64.b64encode(picture).decode("ascii"),
            },
        }
        for prediction, label, picture in zip(predictions, labels, pictures, strict=True)
    ]
    return json.dumps({"predictions": entries}, ensure_ascii=False, allow_nan=False).encode()
