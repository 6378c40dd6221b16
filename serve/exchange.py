"""Exchange: one request on its way through the server, and the line that the log has of it.

Plain WSGI: POST /invocations is answered without Flask, all else with it, and both log alike.
"""

import functools
import itertools
import logging
import os
import time
from typing import IO, Any

from werkzeug.wsgi import get_input_stream

log = logging.getLogger(__name__)

# Request headers worth finding in the log, and their names there.
LOGGED_HEADERS = {
    "HTTP_X_AMZN_SAGEMAKER_INFERENCE_ID": "inference_id",
    "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES": "custom_attributes",
    "HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT": "target_variant",
    "HTTP_X_AMZN_SAGEMAKER_TARGET_MODEL": "target_model",
}
_numbers = itertools.count(1)
_start = f"{time.time_ns() // 1000:x}"  # tells one server's requests from the next one's


class Exchange:
    """What is known of a request besides its body. Used by one thread."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ
        self.started = time.monotonic()
        given: str = environ.get("HTTP_X_REQUEST_ID", "")
        self.request_id = given[:128] or f"{_start}-{os.getpid():x}-{next(_numbers):x}"
        self.fields: dict[str, Any] = {}  # for the log
        self.model = ""  # in a multi-model server

    @functools.cached_property
    def stream(self) -> IO[bytes]:
        """The body. One object, which knows how much of it was read."""
        return get_input_stream(self.environ)

    @property
    def method(self) -> str:
        """GET, POST, ..."""
        method: str = self.environ["REQUEST_METHOD"]
        return method

    @property
    def path(self) -> str:
        """Without the query."""
        path: str = self.environ.get("PATH_INFO", "")
        return path

    @property
    def seconds(self) -> float:
        """Since it arrived."""
        return time.monotonic() - self.started

    def write_log(self, status: int, bytes_out: int | None) -> None:
        """One line. /ping, which comes every few seconds, has none."""
        if self.path.rstrip("/") == "/ping" or not log.isEnabledFor(logging.INFO):
            return
        environ = self.environ
        fields = {
            "request_id": self.request_id,
            "method": self.method,
            "path": self.path[:200],
            "status": status,
            "ms": round(self.seconds * 1000, 1),
            "bytes_out": bytes_out,
            "content_type": environ.get("CONTENT_TYPE"),
            "accept": environ.get("HTTP_ACCEPT"),
        }
        for key, name in LOGGED_HEADERS.items():
            if key in environ:
                fields[name] = environ[key][:1024]
        present = {key: value for key, value in fields.items() if value is not None}
        log.info("request", extra={"fields": {**present, **self.fields}})
