"""The WSGI application: /ping, /invocations, the page at /, and one table of errors."""

import json
import logging
import time
import uuid
from pathlib import Path

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from contract.errors import ImageError, ImageTooLargeError, KennelError, RequestError
from serve.body import discard_body, read_body
from serve.invocation import Invocation
from serve.service import Service, Status
from serve.settings import ServeSettings

log = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page.html")
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
# Request headers worth finding in the log, and their names there.
LOGGED_HEADERS = {
    "X-Amzn-SageMaker-Inference-Id": "inference_id",
    "X-Amzn-SageMaker-Custom-Attributes": "custom_attributes",
    "X-Amzn-SageMaker-Target-Variant": "target_variant",
    "X-Amzn-SageMaker-Target-Model": "target_model",
}


def create_app(service: Service, settings: ServeSettings) -> Flask:
    """The application over a service that someone else loads."""
    app = Flask(__name__, static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False

    @app.before_request
    def begin() -> None:
        g.started = time.monotonic()
        g.request_id = request.headers.get("X-Request-Id", "")[:128] or uuid.uuid4().hex[:16]
        g.fields = {}

    @app.get("/")
    def page() -> Response:
        return Response(PAGE.read_bytes(), mimetype="text/html", headers=PAGE_HEADERS)

    @app.get("/ping")
    def ping() -> Response:
        status = 200 if service.status is Status.READY else 503
        return _json_response(service.describe(), status)

    @app.post("/invocations")
    def invocations() -> Response:
        return _invoke(service, settings)

    @app.errorhandler(Exception)
    def refuse(error: Exception) -> Response:
        if "CUDA error" in str(error):  # sticky: every later call in this process fails too
            service.mark_broken(str(error))
        return _refusal(error)

    @app.after_request
    def finish(response: Response) -> Response:
        if request.path.rstrip("/") != "/ping":
            _log_request(response)
        return response

    return app


def _invoke(service: Service, settings: ServeSettings) -> Response:
    with service.admit() as answer_to:
        body = read_body(
            request.stream,
            request.environ,
            settings.max_body_bytes,
            settings.timeout_seconds,
        )
        g.fields["bytes_in"] = len(body)
        answer = answer_to(
            Invocation(
                body=body,
                content_type=request.headers.get("Content-Type"),
                accept=request.headers.get("Accept"),
                headers=dict(request.headers),
            )
        )
    if answer.num_pictures is not None:
        g.fields["pictures"] = answer.num_pictures
    response = Response(answer.body, status=answer.status, headers=dict(answer.headers))
    response.headers["Content-Type"] = _one_line(answer.content_type)
    return response


def _refusal(error: Exception) -> Response:
    """The error table: which status and which name an error has for the client."""
    headers: dict[str, str] = {}
    if isinstance(error, RequestError):
        status, message = error.status, error.message
        name = "UserCodeError" if type(error) is not RequestError else _name_of(status)
        if error.retry_after_seconds is not None:
            headers["Retry-After"] = str(error.retry_after_seconds)
    elif isinstance(error, ImageError):
        status, name = (413 if isinstance(error, ImageTooLargeError) else 400), type(error).__name__
        message = str(error)
    elif isinstance(error, HTTPException):
        status, name = error.code or 500, _name_of(error.code or 500)
        message, headers = _http_message(error)
    else:
        status, name = (
            500,
            type(error).__name__ if isinstance(error, KennelError) else _name_of(500),
        )
        message = f"the server failed on this request; its log says why, request_id {g.request_id}"
    if status >= 500 and status != 503:
        log.error(
            "%s: %s", type(error).__name__, error,
            exc_info=error, extra={"fields": {"request_id": g.request_id}},
        )  # fmt: skip
    if request.path.rstrip("/") == "/invocations":
        discard_body(request.stream, request.environ)
    g.fields["error"] = f"{name}: {message}"[:500]
    response = _json_response({"error": name, "message": message}, status)
    response.headers.extend(headers)
    return response


def _http_message(error: HTTPException) -> tuple[str, dict[str, str]]:
    """What flask itself refuses: unknown paths and methods."""
    path = request.path[:100]
    if error.code == 404:
        return f"no {path} here; there are GET /, GET /ping and POST /invocations", {}
    if error.code == 405:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return f"{path} does not take {request.method[:20]}; it takes {allowed}", {"Allow": allowed}
    return error.description or _name_of(error.code or 500), {}


def _name_of(status: int) -> str:
    """A status as a word: 406 is NotAcceptable."""
    return HTTP_STATUS_CODES.get(status, "Error").title().replace(" ", "").replace("-", "")


def _json_response(value: dict[str, object], status: int) -> Response:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
    return Response(body, status=status, mimetype="application/json")


def _one_line(text: str) -> str:
    """A header value may not hold a line break, nor what latin-1 cannot write."""
    return " ".join(text.encode("latin-1", "replace").decode("latin-1").split())


def _log_request(response: Response) -> None:
    fields = {
        "request_id": g.request_id,
        "method": request.method,
        "path": request.path[:200],
        "status": response.status_code,
        "ms": round((time.monotonic() - g.started) * 1000, 1),
        "bytes_out": response.calculate_content_length(),
        "content_type": request.headers.get("Content-Type"),
        "accept": request.headers.get("Accept"),
    }
    for header, name in LOGGED_HEADERS.items():
        value = request.headers.get(header)
        fields[name] = value and value[:1024]
    present = {key: value for key, value in fields.items() if value is not None}
    log.info("request", extra={"fields": {**present, **g.fields}})
