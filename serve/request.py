"""Requests: a body and its Content-Type become the pixels that the network takes."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from classifier.preprocess import Pixels, decode_picture, fit_array
from contract.errors import ImageError, ImageTooLargeError, RequestError
from contract.manifest import Preprocess
from serve.array import read_arrays
from serve.fetch import Fetcher
from serve.json_body import Url, read_json_pictures
from serve.settings import ServeSettings

Source = bytes | Pixels | Url

# Decoded by content whatever they are called. The form type is what `curl --data-binary` sends
# when nobody tells it better.
PICTURE_TYPES = frozenset(
    {"", "application/octet-stream", "application/x-image", "application/x-www-form-urlencoded"}
)
ACCEPTED = (
    "image/*, application/x-image, application/octet-stream, application/json, "
    "multipart/form-data, application/x-npy"
)


class PictureReader:
    """Turns request bodies into arrays. One for the process; called from many threads."""

    def __init__(self, preprocess: Preprocess, settings: ServeSettings, num_cpus: int) -> None:
        self._preprocess = preprocess
        self._settings = settings
        self._fetcher = Fetcher(settings) if settings.url_hosts else None
        # More decoders than CPUs gain nothing, and each may hold hundreds of megabytes.
        self._slots = threading.BoundedSemaphore(num_cpus)

    def read(self, body: bytes, content_type: str | None) -> Pixels:
        """Decode every picture of a request.

        Returns:
            uint8, (pictures, crop, crop, 3), in the order they were sent.

        Raises:
            RequestError: 400, 413, 415 or 422, about the request as a whole.
            ImageError: one picture is damaged or too large; says which.
        """
        sources = self._sources(body, content_type)
        limit = self._settings.max_pictures
        if len(sources) > limit:
            raise RequestError(
                413, f"the request has {len(sources)} pictures; the limit is {limit} a request"
            )
        pixels = []
        for index, source in enumerate(sources):
            where = f"picture {index + 1} of {len(sources)}: " if len(sources) > 1 else ""
            try:
                pixels.append(self._decode(source))
            except (ImageError, RequestError) as error:
                raise _prefixed(error, where) from error.__cause__
        return np.stack(pixels)

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
        if kind == "multipart/form-data":
            return list(_read_form(body, kind, options, self._settings.max_pictures))
        if kind == "application/x-npy":
            return list(read_arrays(body))
        raise RequestError(
            415, f"Content-Type {kind[:100]!r} is not one we read; send one of {ACCEPTED}"
        )

    def _decode(self, source: Source) -> Pixels:
        if isinstance(source, Url):
            if self._fetcher is None:
                raise RequestError(
                    422,
                    "`url` is switched off on this endpoint; send the picture itself, or have the "
                    "operator list the host in KENNEL_URL_HOSTS",
                )
            source = self._fetcher.fetch(source.text)
        with self._slot():
            if isinstance(source, bytes):
                return decode_picture(source, self._preprocess, self._settings.picture_limits)
            self._check_pixels(source)
            return fit_array(source, self._preprocess)

    def _check_pixels(self, pixels: Pixels) -> None:
        height, width = pixels.shape[:2]
        if height * width > self._settings.max_pixels:
            raise ImageTooLargeError(
                f"the picture has {width} x {height} = {width * height:,} pixels; "
                f"the limit is {self._settings.max_pixels:,}"
            )

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=self._settings.timeout_seconds):
            raise RequestError(503, "the server is busy decoding; try again", 1)
        try:
            yield
        finally:
            self._slots.release()


def _prefixed(error: ImageError | RequestError, where: str) -> ImageError | RequestError:
    """The same error, naming the picture."""
    if isinstance(error, RequestError):
        return RequestError(error.status, where + error.message, error.retry_after_seconds)
    return type(error)(f"{where}{error}")


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
    for name in fields:
        raise RequestError(
            422,
            f"form field {name[:100]!r} is text, expected a file: curl -F {name[:20]}=@photo.jpg",
        )
    if not files:
        raise RequestError(422, "the form has no file; expected curl -F file=@photo.jpg")
    for _, file in files.items(multi=True):
        yield file.read()
