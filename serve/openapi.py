"""OpenAPI: what this server takes and answers, as a document made from its settings and forms.

Served at GET /openapi.json. `python -m serve.openapi` writes docs/openapi.json, a server of one
model with the default settings, and docs/openapi-multi-model.json.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.files import write_text
from serve.explain import METHOD, STYLES
from serve.schemas import REFUSALS, TEXT, Json, picture_bodies, prediction_bodies, schemas
from serve.settings import ServeSettings

DOCS = Path(__file__).resolve().parents[1] / "docs"
VERSION = "1"  # of the interface
# Refused before the path is looked at, or because of what went wrong.
ANYWHERE = (400, 405, 408, 414, 417, 431, 500, 501)
INVOKE = (406, 413, 415, 422, 503)
DESCRIPTION = (
    "Pictures in, predictions out, as SageMaker wants it. SageMaker hands every refusal to its "
    "caller as ModelError (424), with the status in OriginalStatusCode and the body in "
    "OriginalMessage. A model that brings its own code/inference.py decides itself which "
    "Content-Types it takes, what it answers and with which status."
)


def openapi_document(settings: ServeSettings) -> Json:
    """The document of the server that these settings make."""
    routes = _multi_model(settings) if settings.multi_model else _one_model(settings)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kennel", "version": VERSION, "description": DESCRIPTION},
        "paths": {**_everywhere(settings), **routes},
        "components": {
            "schemas": schemas(settings),
            "responses": {str(status): _refusal(status) for status in REFUSALS},
        },
    }


def _everywhere(settings: ServeSettings) -> Json:
    status = _json("Status", "Ready to answer")
    not_ready = _json("Status", "Loading, or broken: the platform should replace this server")
    page = {"description": "Counters", "content": {"text/plain": {"schema": TEXT}}}
    metrics = (
        _operation("Counters in Prometheus' text format", {200: page})
        if settings.metrics
        else _operation("Counters; switched off on this server", {}, (404,))
    )
    own = {
        "description": "This document",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return {
        "/ping": {"get": _operation("Is the model loaded?", {200: status, 503: not_ready})},
        "/execution-parameters": {
            "get": _operation(
                "What a batch transform job asks first",
                {200: _json("ExecutionParameters", "How the job may send its records")},
            )
        },
        "/metrics": {"get": metrics},
        "/openapi.json": {"get": _operation("This document", {200: own})},
    }


def _one_model(settings: ServeSettings) -> Json:
    page = {"description": "A page to drop pictures on", "content": {"text/html": {"schema": TEXT}}}
    return {
        "/": {"get": _operation("A page for people", {200: page})},
        "/invocations": {"post": _invocation(settings)},
        "/models/model/invoke": {"post": _invocation(settings)},
    }


def _multi_model(settings: ServeSettings) -> Json:
    name = _parameter("name", "path", {**TEXT, "minLength": 1, "maxLength": 1024}, required=True)
    name["description"] = "The model's name, percent-encoded; slashes may stay as they are"
    load = {
        "requestBody": {"required": True, "content": _content("LoadModel")},
        **_operation(
            "Load a model", {200: _json("Changed", "It answers now")}, (404, 409, 413, 503, 507)
        ),
    }
    pages = [
        _parameter("limit", "query", {"type": "integer", "minimum": 1}),
        _parameter("next_page_token", "query", TEXT),
    ]
    one = {
        "parameters": [name],
        "get": _operation("Is it loaded?", {200: _json("Model", "It is")}, (404,)),
        "delete": _operation("Unload it", {200: _json("Changed", "It is gone")}, (404, 503)),
    }
    return {
        "/models": {
            "get": {
                **_operation("The loaded models", {200: _json("Models", "A page, by name")}),
                "parameters": pages,
            },
            "post": load,
        },
        "/models/{name}": one,
        "/models/{name}/invoke": {
            "parameters": [name],
            "post": _invocation(settings, (404, 507)),
        },
        "/invocations": {"post": _by_target(settings)},
    }


def _by_target(settings: ServeSettings) -> Json:
    """/invocations of a multi-model server: useful only where the server finds models itself."""
    if not settings.models_dir:
        return _operation("Refused: no model is named", {}, (413,))
    operation = _invocation(settings, (404, 507))
    operation["parameters"].append(
        _parameter("X-Amzn-SageMaker-Target-Model", "header", TEXT, required=True)
    )
    return operation


def _invocation(settings: ServeSettings, also: Sequence[int] = ()) -> Json:
    answer = {"description": "One prediction a picture", "content": prediction_bodies()}
    return {
        **_operation("Classify pictures", {200: answer}, (*INVOKE, *also)),
        "requestBody": {"required": True, "content": picture_bodies(settings)},
        "parameters": [
            _parameter("explain", "query", {"enum": [METHOD]}),
            _parameter("label", "query", TEXT),
            _parameter("style", "query", {**TEXT, "description": f"One of {', '.join(STYLES)}"}),
            _parameter("X-Request-Id", "header", TEXT),
        ],
    }


def _operation(summary: str, answers: dict[int, Json], also: Sequence[int] = ()) -> Json:
    refusals = {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in (*ANYWHERE, *also)
    }
    ours = {str(status): answer for status, answer in answers.items()}
    return {"summary": summary, "responses": dict(sorted({**refusals, **ours}.items()))}


def _refusal(status: int) -> Json:
    headers = {405: "Allow", 503: "Retry-After"}
    shown = {headers[status]: {"schema": TEXT}} if status in headers else {}
    return {
        "description": REFUSALS[status],
        "content": _content("Error"),
        **({"headers": shown} if shown else {}),
    }


def _json(schema: str, description: str) -> Json:
    return {"description": description, "content": _content(schema)}


def _content(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _parameter(name: str, place: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": place, "required": required, "schema": schema}


def pages() -> dict[str, str]:
    """File name below docs/ -> text."""
    documents = {
        "openapi.json": openapi_document(ServeSettings()),
        "openapi-multi-model.json": openapi_document(ServeSettings(multi_model=True)),
    }
    return {name: json.dumps(document, indent=1) + "\n" for name, document in documents.items()}


def main() -> int:
    """Write the pages."""
    for name, text in pages().items():
        write_text(DOCS / name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
