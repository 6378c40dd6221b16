"""Observed: what the application tells its telemetry about each invocation, and /metrics."""

from flask import Flask, Response, g, request

from contract.errors import RequestError
from serve.meters import CONTENT_TYPE
from serve.telemetry import Facts, Telemetry

INVOCATIONS = frozenset({"invocations", "invoke_model"})  # the views that answer pictures
UNLOAD = "unload"


def observe(app: Flask, telemetry: Telemetry, facts: Facts) -> None:
    """Add the route and the hooks to `app`, and start what telemetry does by itself."""
    telemetry.start(facts)

    @app.before_request
    def begin_invocation() -> None:
        g.is_counted = request.endpoint in INVOCATIONS
        if g.is_counted:
            telemetry.begin()

    @app.after_request
    def count(response: Response) -> Response:
        model = (request.view_args or {}).get("name", "")
        if request.endpoint in INVOCATIONS:
            telemetry.request(
                response.status_code,
                g.exchange.seconds,
                g.exchange.fields.get("pictures", 0),
                model,
            )
        elif request.endpoint == UNLOAD and response.status_code == 200:
            telemetry.forget(model.rstrip("/"))
        return response

    @app.teardown_request
    def end_invocation(_error: BaseException | None) -> None:
        if g.get("is_counted"):
            telemetry.end()

    @app.get("/metrics")
    def metrics() -> Response:
        page = telemetry.prometheus()
        if page is None:
            raise RequestError(404, "metrics are switched off here: KENNEL_METRICS=true shows them")
        return Response(page, content_type=CONTENT_TYPE)
