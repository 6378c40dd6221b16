"""The WSGI application: /ping, /invocations, the page at /, and one table of errors."""

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from contract.errors import ImageError, ImageTooLargeError, KennelError, RequestError
from contract.host import cpu_limit
from serve.batch import execution_parameters
from serve.body import discard_body, read_body
from serve.invocation import Answer, Invocation
from serve.memory import is_out_of_memory
from serve.service import Service, Status
from serve.settings import ServeSettings

log = logging.getLogger(__name__)

Admitted = AbstractContextManager[Callable[[Invocation], Answer]]

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


class Pinged(Protocol):
    """What /ping asks, and who is told that the GPU died."""

    status: Status

    def describe(self) -> dict[str, Any]:
        """The body of /ping."""
        ...

    def mark_broken(self, reason: str) -> None:
        """Make /ping fail from now on."""
        ...


def create_app(service: Service, settings: ServeSettings) -> Flask:
    """The application over one model that someone else loads."""
    app = new_app(service, settings)

    @app.get("/")
    def page() -> Response:
        return Response(PAGE.read_bytes(), mimetype="text/html", headers=PAGE_HEADERS)

    # AWS's PyTorch container calls its only model `model`, and answers there as well.
    @app.post("/invocations")
    @app.post("/models/model/invoke")
    def invocations() -> Response:
        return invoke(service.admit(), settings)

    return app


def new_app(pinged: Pinged, settings: ServeSettings) -> Flask:
    """What servers of one and of many models have in common: /ping, errors and the log."""
    app = Flask(__name__, static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False

    @app.before_request
    def begin() -> None:
        g.started = time.monotonic()
        g.request_id = request.headers.get("X-Request-Id", "")[:128] or uuid.uuid4().hex[:16]
        g.fields = {}

    @app.get("/ping")
    def ping() -> Response:
        return json_response(pinged.describe(), 200 if pinged.status is Status.READY else 503)

    @app.get("/execution-parameters")
    def parameters() -> Response:
        return json_response(execution_parameters(settings, cpu_limit()))

    @app.errorhandler(Exception)
    def refuse(error: Exception) -> Response:
        if settings.multi_model and is_out_of_memory(error):
            log.error(
                "out of memory", exc_info=error, extra={"fields": {"request_id": g.request_id}}
            )
            error = RequestError(507, f"out of memory: {_one_line(str(error))[:300]}")
        elif "CUDA error" in str(error):  # sticky: every later call in this process fails too
            pinged.mark_broken(str(error))
        return _refusal(error)

    @app.after_request
    def finish(response: Response) -> Response:
        if request.path.rstrip("/") != "/ping":
            _log_request(response)
        return response

    return app


def invoke(admitted: Admitted, settings: ServeSettings) -> Response:
    """Read the body once there is room for it, and answer."""
    with admitted as answer_to:
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
                request_id=g.request_id,
            )
        )
    if answer.status >= 400:
        g.fields["error"] = answer.body[:500].decode("utf-8", "replace").strip()
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
    if status >= 500 and status not in (503, 507):
        log.error(
            "%s: %s", type(error).__name__, error,
            exc_info=error, extra={"fields": {"request_id": g.request_id}},
        )  # fmt: skip
    if request.method == "POST":
        discard_body(request.stream, request.environ)
    g.fields["error"] = f"{name}: {message}"[:500]
    response = json_response({"error": name, "message": message}, status)
    response.headers.extend(headers)
    return response


def _http_message(error: HTTPException) -> tuple[str, dict[str, str]]:
    """What flask itself refuses: unknown paths and methods."""
    path = request.path[:100]
    if error.code == 404 and path.startswith("/models"):
        return f"no {path} here: several models are served with SAGEMAKER_MULTI_MODEL=true", {}
    if error.code == 404:
        return f"no {path} here; there are {_routes()}", {}
    if error.code == 405:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return f"{path} does not take {request.method[:20]}; it takes {allowed}", {"Allow": allowed}
    return error.description or _name_of(error.code or 500), {}


def _routes() -> str:
    """What this server has, e.g. `GET /ping, POST /invocations`."""
    found = {
        f"{method} {rule.rule.replace('<path:name>', 'NAME')}"
        for rule in current_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    return ", ".join(sorted(found))


def _name_of(status: int) -> str:
    """A status as a word: 406 is NotAcceptable."""
    return HTTP_STATUS_CODES.get(status, "Error").title().replace(" ", "").replace("-", "")


def json_response(value: Mapping[str, object], status: int = 200) -> Response:
    """One JSON object and a line break."""
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
