"""Schemas: bodies of requests, answers and refusals, as JSON Schema for the OpenAPI document."""

from typing import Any

from serve.answer import FORMS
from serve.explain import METHOD
from serve.json_body import LIST_KEYS, PICTURE_KEYS
from serve.json_lines import JSON_LINES
from serve.recordio import RECORDIO
from serve.settings import ServeSettings

Json = dict[str, Any]

# One red pixel, so that every tool that shows the document has a request that works.
RED_PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mN4JicCAAMGARnnIviRAAAAAElFTkSuQmCC"
)
# Some of those that are read whatever they are called; `image/*` is no key that tools understand.
PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
BINARY: Json = {"type": "string", "format": "binary"}
TEXT: Json = {"type": "string"}

# What each refusal means, wherever it can happen.
REFUSALS: dict[int, str] = {
    400: "No body, malformed HTTP, JSON, base64, form or array file, or a picture that cannot be "
    "decoded",
    404: "No such path, or no such model here",
    405: "The path does not take this method; `Allow` names those that it takes",
    406: "`Accept` names no form of answer that there is",
    408: "The body or the headers did not come in time",
    409: "A model of this name is loading, loaded or unloading",
    413: "Over a limit on bytes, pictures, pixels, frames or nesting; the message names it",
    414: "The request line is too long",
    415: "`Content-Type` is not one that is read",
    417: "`Expect` asks for something other than 100-continue",
    422: "Well-formed, but no shape or type that is known; or a `url` that is refused or fails",
    431: "Too many header fields, or too large ones",
    500: "The server or the model's own code failed; the log says why",
    501: "A transfer coding other than chunked",
    503: "Loading, busy or broken; `Retry-After` says when to come back",
    507: "No memory for this model, or it ran out; another model may be unloaded",
}


def picture_bodies(settings: ServeSettings) -> Json:
    """The content of a request that brings pictures, by media type."""
    line = {**TEXT, "description": "One JSON value a line, each for one picture"}
    form = {
        "type": "object",
        "description": "One file a picture, under any names; text fields are refused",
        "minProperties": 1,
        "maxProperties": settings.max_pictures,
        "additionalProperties": BINARY,
    }
    array = {
        **BINARY,
        "description": "An .npy file: uint8, R G B, (height, width, 3) or (pictures, height, "
        "width, 3)",
    }
    example = {"example": {"image": RED_PIXEL}}
    return {
        **{kind: {"schema": BINARY} for kind in PICTURE_TYPES},
        "application/json": {"schema": _ref("Pictures"), **example},
        **{kind: {"schema": line} for kind in sorted(JSON_LINES)},
        RECORDIO: {"schema": {**BINARY, "description": "MXNet's frames, one picture each"}},
        "multipart/form-data": {"schema": form},
        "application/x-npy": {"schema": array},
    }


def prediction_bodies() -> Json:
    """The content of an answer, by media type."""
    schemas: dict[str, list[Json]] = {}
    for form in FORMS:
        if form.content_type == "application/json":
            schema = _ref("Verbose" if form.verbose else "Predictions")
        else:
            schema = TEXT if form.content_type.startswith("text/") else BINARY
        schemas.setdefault(form.content_type, []).append(schema)
    schemas["image/png"] = [{**BINARY, "description": "A heat map: `explain=gradcam`"}]
    return {
        kind: {"schema": found[0] if len(found) == 1 else {"anyOf": found}}
        for kind, found in schemas.items()
    }


def schemas(settings: ServeSettings) -> Json:
    """`components.schemas`."""
    return {
        "Error": _object({"error": TEXT, "message": TEXT}),
        "Status": {
            "type": "object",
            "description": "Also facts about the model: engine, device, number of labels",
            "properties": {"status": {"enum": ["loading", "ready", "broken"]}, "reason": TEXT},
            "required": ["status"],
        },
        "ExecutionParameters": _object(
            {
                "BatchStrategy": {"enum": ["SINGLE_RECORD", "SingleRecord"]},
                "MaxConcurrentTransforms": {"type": "integer", "minimum": 1},
                "MaxPayloadInMB": {"type": "integer", "minimum": 1, "maximum": 100},
            },
        ),
        **_prediction_schemas(),
        **_model_schemas(),
        **_picture_schemas(settings),
    }


def _prediction_schemas() -> Json:
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    entry = {"label": TEXT, "probability": probability}
    top = {"type": "array", "items": _object(entry), "minItems": 1}
    prediction = _object({**entry, "top": top})
    explanation = _object({"method": {"const": METHOD}, "label": TEXT, "png": TEXT})
    prediction["properties"] = {**prediction["properties"], "explanation": explanation}
    predictions = {"type": "array", "minItems": 1, "items": prediction}
    verbose = _object(
        {
            "probabilities": {"type": "array", "items": probability},
            "labels": {"type": "array", "items": TEXT},
            "predicted_label": TEXT,
        }
    )
    return {
        "Predictions": _object({"predictions": predictions}),
        "Verbose": {"anyOf": [verbose, {"type": "array", "items": verbose}]},
    }


def _model_schemas() -> Json:
    """Of a multi-model server's own routes."""
    models = {"type": "array", "items": _ref("Model"), "maxItems": 100}
    return {
        "Model": _object({"modelName": TEXT, "modelUrl": TEXT}),
        "Models": {
            "type": "object",
            "properties": {"models": models, "nextPageToken": TEXT},
            "required": ["models"],
            "additionalProperties": False,
        },
        "Changed": _object({"status": TEXT}),
        "LoadModel": {
            "type": "object",
            "properties": {
                "model_name": {**TEXT, "minLength": 1, "maxLength": 1024},
                "url": {**TEXT, "minLength": 1, "description": "A folder of the container"},
            },
            "required": ["model_name", "url"],
        },
    }


def _picture_schemas(settings: ServeSettings) -> Json:
    base64 = {
        **TEXT,
        "contentEncoding": "base64",
        "description": "Base64, also url-safe, in lines, without padding, or as a data: URL",
        "minLength": 1,
        "pattern": r"^(data:[^,]*;base64,)?[A-Za-z0-9+/_=\s-]+$",
    }
    url = _object({"url": {**TEXT, "format": "uri", "pattern": "^https?://"}})
    inner = [_object({key: _ref("Base64")}) for key in PICTURE_KEYS]
    outer = [_object({key: {"anyOf": [_ref("Base64"), *inner, url]}}) for key in PICTURE_KEYS]
    many = {
        "type": "array",
        "items": _ref("Picture"),
        "minItems": 1,
        "maxItems": settings.max_pictures,
    }
    listed = [_object({key: {"anyOf": [_ref("Picture"), many]}}) for key in LIST_KEYS]
    return {
        "Base64": base64,
        "Picture": {"anyOf": [_ref("Base64"), *outer, url]},
        "Pictures": {"anyOf": [_ref("Picture"), many, *listed]},
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Json) -> Json:
    """All properties are required, and there are no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
