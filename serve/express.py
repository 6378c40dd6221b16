"""Express: POST /invocations without Flask, which would cost a third of a millisecond.

All other requests, and those with a query, go to the Flask application behind it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from werkzeug.datastructures import EnvironHeaders
from werkzeug.http import HTTP_STATUS_CODES

from serve.body import read_body
from serve.exchange import Exchange
from serve.invocation import Answer, Invocation
from serve.refusal import Breakable, one_line, refuse
from serve.settings import ServeSettings
from serve.telemetry import Telemetry

Admitted = AbstractContextManager[Callable[[Invocation], Answer]]
Environ = dict[str, Any]
Wsgi = Callable[[Environ, Any], Iterable[bytes]]


class RequestHeaders(Mapping[str, str]):
    """The request's headers; put together only if somebody looks, which few models do."""

    def __init__(self, environ: Environ) -> None:
        self._headers = EnvironHeaders(environ)

    def __getitem__(self, name: str) -> str:
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._headers)

    def __len__(self) -> int:
        return len(self._headers)


class Express:
    """WSGI middleware. `admit` makes room for one request."""

    def __init__(
        self,
        behind: Wsgi,
        admit: Callable[[], Admitted],
        paths: frozenset[str],
        *,
        service: Breakable,
        settings: ServeSettings,
        telemetry: Telemetry,
    ) -> None:
        self._behind, self._admit, self._paths = behind, admit, paths
        self._service, self._settings, self._telemetry = service, settings, telemetry

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """WSGI."""
        is_ours = environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] in self._paths
        if not is_ours or environ.get("QUERY_STRING"):
            return self._behind(environ, start_response)
        exchange = Exchange(environ)
        self._telemetry.begin()
        try:
            status, headers, body = self._answer(exchange)
        finally:
            self._telemetry.end()
        pictures: int = exchange.fields.get("pictures", 0)
        self._telemetry.request(status, exchange.seconds, pictures, "")
        exchange.write_log(status, len(body))
        phrase = HTTP_STATUS_CODES.get(status, "Unknown")
        start_response(f"{status} {phrase}", [*headers, ("Content-Length", str(len(body)))])
        return [body]

    def _answer(self, exchange: Exchange) -> tuple[int, list[tuple[str, str]], bytes]:
        try:
            answer = invoke(self._admit(), exchange, self._settings)
        except Exception as error:  # whatever it is, the client gets an answer
            refusal = refuse(error, exchange, self._service, is_multi=self._settings.multi_model)
            given = [("Content-Type", "application/json"), *refusal.headers.items()]
            return refusal.status, given, refusal.body
        given = [("Content-Type", one_line(answer.content_type)), *answer.headers.items()]
        return answer.status, given, answer.body


def invoke(
    admitted: Admitted, exchange: Exchange, settings: ServeSettings, accept: str | None = None
) -> Answer:
    """Read the body once there is room for it, and answer.

    Args:
        accept: instead of the request's own Accept.
    """
    environ = exchange.environ
    with admitted as answer_to:
        body = read_body(
            exchange.stream, environ, settings.max_body_bytes, settings.timeout_seconds
        )
        exchange.fields["bytes_in"] = len(body)
        answer = answer_to(
            Invocation(
                body=body,
                content_type=environ.get("CONTENT_TYPE") or None,
                accept=accept or environ.get("HTTP_ACCEPT"),
                headers=RequestHeaders(environ),
                request_id=exchange.request_id,
            )
        )
    if answer.status >= 400:
        exchange.fields["error"] = answer.body[:500].decode("utf-8", "replace").strip()
    if answer.num_pictures is not None:
        exchange.fields["pictures"] = answer.num_pictures
    return answer
