"""The WSGI application: /ping, /invocations, the page at /."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from contract.host import cpu_limit
from serve.batch import execution_parameters
from serve.exchange import Exchange
from serve.explain import accept_with
from serve.express import Admitted, Express, invoke
from serve.observed import observe
from serve.openapi import openapi_document
from serve.refusal import Refusal, json_bytes, name_of, one_line, refuse, settle
from serve.service import Service, Status
from serve.settings import ServeSettings
from serve.telemetry import Telemetry

EXPRESS_PATHS = frozenset({"/invocations", "/models/model/invoke"})
PAGE = Path(__file__).with_name("page.html")
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "img-src blob: data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
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


def create_app(
    service: Service, settings: ServeSettings, telemetry: Telemetry | None = None
) -> Flask:
    """The application over one model that someone else loads."""
    telemetry = telemetry or Telemetry(ServeSettings())
    app = new_app(service, settings, telemetry)

    @app.get("/")
    def page() -> Response:
        return Response(PAGE.read_bytes(), mimetype="text/html", headers=PAGE_HEADERS)

    # AWS's PyTorch container calls its only model `model`, and answers there as well.
    @app.post("/invocations")
    @app.post("/models/model/invoke")
    def invocations() -> Response:
        return respond(service.admit(), settings)

    app.wsgi_app = Express(  # type: ignore[method-assign]
        app.wsgi_app,
        service.admit,
        EXPRESS_PATHS,
        service=service,
        settings=settings,
        telemetry=telemetry,
    )
    return app


def new_app(pinged: Pinged, settings: ServeSettings, telemetry: Telemetry) -> Flask:
    """What servers of one and of many models have in common: /ping, /metrics, errors, the log."""
    app = Flask(__name__, static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False

    @app.before_request
    def begin() -> None:
        g.exchange = Exchange(request.environ)

    @app.get("/ping")
    def ping() -> Response:
        return json_response(pinged.describe(), 200 if pinged.status is Status.READY else 503)

    @app.get("/execution-parameters")
    def parameters() -> Response:
        return json_response(execution_parameters(settings, cpu_limit()))

    @app.get("/openapi.json")
    def openapi() -> Response:
        return json_response(openapi_document(settings))

    @app.errorhandler(Exception)
    def answer_error(error: Exception) -> Response:
        if isinstance(error, HTTPException):
            refusal = _http_refusal(error)
            settle(refusal, g.exchange)
        else:
            refusal = refuse(error, g.exchange, pinged, is_multi=settings.multi_model)
        response = Response(refusal.body, status=refusal.status, mimetype="application/json")
        response.headers.extend(refusal.headers)
        return response

    @app.after_request
    def finish(response: Response) -> Response:
        g.exchange.write_log(response.status_code, response.calculate_content_length())
        return response

    observe(app, telemetry, pinged.describe)
    return app


def respond(admitted: Admitted, settings: ServeSettings) -> Response:
    """Answer an invocation that came with a query, or to one of many models."""
    accept = accept_with(request.headers.get("Accept"), request.args)
    answer = invoke(admitted, g.exchange, settings, accept)
    response = Response(answer.body, status=answer.status, headers=dict(answer.headers))
    response.headers["Content-Type"] = one_line(answer.content_type)
    return response


def _http_refusal(error: HTTPException) -> Refusal:
    status = error.code or 500
    message, headers = _http_message(error)
    return Refusal(status=status, name=name_of(status), message=message, headers=headers)


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
    return error.description or name_of(error.code or 500), {}


def _routes() -> str:
    """What this server has, e.g. `GET /ping, POST /invocations`."""
    found = {
        f"{method} {rule.rule.replace('<path:name>', 'NAME')}"
        for rule in current_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    return ", ".join(sorted(found))


def json_response(value: Mapping[str, object], status: int = 200) -> Response:
    """One JSON object and a line break."""
    return Response(json_bytes(value), status=status, mimetype="application/json")
