"""Requests: a body and its Content-Type become the pixels that the network takes."""

import io
from collections.abc import Iterator

import numpy as np
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from classifier.preprocess import Pixels, decode_picture, fit_array
from contract.errors import ImageTooLargeError, RequestError
from contract.manifest import Preprocess
from serve.array import read_arrays
from serve.fetch import Fetcher
from serve.json_body import Url, read_json_pictures
from serve.json_lines import JSON_LINES, read_json_lines
from serve.recordio import RECORDIO, read_records
from serve.settings import ServeSettings

Source = bytes | Pixels | Url

# Decoded by content whatever they are called. The form type is what `curl --data-binary` sends
# when nobody tells it better.
PICTURE_TYPES = frozenset(
    {"", "application/octet-stream", "application/x-image", "application/x-www-form-urlencoded"}
)
ACCEPTED = (
    "image/*, application/x-image, application/octet-stream, application/json, "
    "application/jsonlines, application/x-recordio, multipart/form-data, application/x-npy"
)


class PictureReader:
    """Turns request bodies into arrays. One for the process; called from many threads."""

    def __init__(self, preprocess: Preprocess, settings: ServeSettings) -> None:
        self._preprocess = preprocess
        self._settings = settings
        self._fetcher = Fetcher(settings) if settings.url_hosts else None

    def read(self, body: bytes, content_type: str | None) -> Pixels:
        """Decode every picture of a request here and now: for user code, which runs alone.

        Returns:
            uint8, (pictures, crop, crop, 3), in the order they were sent.

        Raises:
            RequestError: 400, 413, 415 or 422, about the request as a whole.
            ImageError: one picture is damaged or too large.
        """
        return np.stack([self.decode(source) for source in self.sources(body, content_type)])

    def sources(self, body: bytes, content_type: str | None) -> list[Source]:
        """The pictures of a request, not decoded yet; those behind a `url` are fetched.

        Raises RequestError: 400, 413, 415 or 422.
        """
        sources = self._sources(body, content_type)
        limit = self._settings.max_pictures
        if len(sources) > limit:
            raise RequestError(
                413, f"the request has {len(sources)} pictures; the limit is {limit} a request"
            )
        return [self._fetched(item) if isinstance(item, Url) else item for item in sources]

    def decode(self, source: Source) -> Pixels:
        """One picture as the network takes it. Raises ImageError."""
        assert not isinstance(source, Url)
        if isinstance(source, bytes):
            return decode_picture(source, self._preprocess, self._settings.picture_limits)
        self._check_pixels(source)
        return fit_array(source, self._preprocess)

    def fit(self, pixels: Pixels) -> Pixels:
        """Pixels of a user's own input_fn, (H, W, 3) or (N, H, W, 3), as the network takes them."""
        batch = pixels[None] if pixels.ndim == 3 else pixels
        return np.stack([fit_array(item, self._preprocess) for item in batch])

    def _sources(self, body: bytes, content_type: str | None) -> list[Source]:
        if not body:
            raise RequestError(400, "the request has no body; expected a picture")
        kind, options = parse_options_header(content_type or "")
        kind = kind.lower()
        if kind in PICTURE_TYPES or kind.startswith("image/"):
            return [body]
        if kind == "application/json":
            return list(read_json_pictures(body, self._settings.max_json_depth))
        if kind in JSON_LINES:
            depth, most = self._settings.max_json_depth, self._settings.max_pictures
            return list(read_json_lines(body, depth, most))
        if kind == RECORDIO:
            return list(read_records(body, self._settings.max_pictures))
        if kind == "multipart/form-data":
            return list(_read_form(body, kind, options, self._settings.max_pictures))
        if kind == "application/x-npy":
            return list(read_arrays(body))
        raise RequestError(
            415, f"Content-Type {kind[:100]!r} is not one we read; send one of {ACCEPTED}"
        )

    def _fetched(self, url: Url) -> bytes:
        if self._fetcher is None:
            raise RequestError(
                422,
                "`url` is switched off on this endpoint; send the picture itself, or have the "
                "operator list the host in KENNEL_URL_HOSTS",
            )
        return self._fetcher.fetch(url.text)

    def _check_pixels(self, pixels: Pixels) -> None:
        height, width = pixels.shape[:2]
        if height * width > self._settings.max_pixels:
            raise ImageTooLargeError(
                f"the picture has {width} x {height} = {width * height:,} pixels; "
                f"the limit is {self._settings.max_pixels:,}"
            )


def _read_form(body: bytes, kind: str, options: dict[str, str], max_parts: int) -> Iterator[bytes]:
    """The files of a form, in order; what `curl -F name=@photo.jpg` sends."""
    # In memory: the default writes larger files to a disk that may be read-only.
    parser = FormDataParser(
        stream_factory=lambda *_args, **_kwargs: io.BytesIO(),
        max_form_parts=max_parts,
        silent=False,
    )
    try:
        _, fields, files = parser.parse(io.BytesIO(body), kind, len(body), options)
    except RequestEntityTooLarge:
        raise RequestError(
            413, f"the form has more than {max_parts} parts, or a text field of over 500 kB"
        ) from None
    except ValueError as error:
        raise RequestError(400, f"the multipart body is malformed: {error}") from None
    for name in (field or "" for field in fields):  # a part may have no name
        raise RequestError(
            422,
            f"form field {name[:100]!r} is text, expected a file: curl -F {name[:20]}=@photo.jpg",
        )
    if not files:
        raise RequestError(422, "the form has no file; expected curl -F file=@photo.jpg")
    for _, file in files.items(multi=True):
        yield file.read()
