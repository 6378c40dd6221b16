"""Multi: the HTTP routes of a multi-model server. What they do to a model is in models.py."""

import base64
import binascii
import json
from typing import Any

from flask import Flask, Response, request

from contract.errors import BundleError, HostError, JobError, RequestError
from serve.app import invoke, json_response, new_app
from serve.body import read_body
from serve.models import Hosted, Models
from serve.settings import ServeSettings

MAX_LIST = 100  # entries of one page
MAX_NAME = 1024
MAX_LOAD_BYTES = 64 * 1024


def create_multi_app(models: Models, settings: ServeSettings) -> Flask:
    """The application over models that come and go. Routes: CONTRACT C.2."""
    app = new_app(models, settings)

    @app.post("/models")
    def load() -> Response:
        name, url = _read_load(settings)
        try:
            models.load(name, url)
        except (BundleError, JobError, HostError) as error:
            raise RequestError(500, f"{type(error).__name__}: {error}") from error
        # The words of AWS's PyTorch container; its tests compare them.
        return json_response(
            {"status": f'Model "{name}" Version: 1.0 registered with 1 initial workers'}
        )

    @app.get("/models")
    def list_models() -> Response:
        page, has_more = models.page(_limit(), _name_of_token())
        more = {"nextPageToken": _token_of(page[-1].name)} if has_more and page else {}
        return json_response({"models": [_entry(hosted) for hosted in page], **more})

    @app.get("/models/<path:name>")
    def describe(name: str) -> Response:
        return json_response(_entry(models.find(name.rstrip("/"))))

    @app.delete("/models/<path:name>")
    def unload(name: str) -> Response:
        wanted = name.rstrip("/")
        models.unload(wanted)
        return json_response({"status": f'Model "{wanted}" unregistered'})

    @app.post("/models/<path:name>/invoke")
    def invoke_model(name: str) -> Response:
        return invoke(models.admit(name), settings)

    @app.post("/invocations")
    def invocations() -> Response:
        raise RequestError(
            400, "this is a multi-model server: send this to /models/NAME/invoke of a loaded model"
        )

    return app


def _read_load(settings: ServeSettings) -> tuple[str, str]:
    """Name and url of a load request. Raises RequestError 400."""
    body = read_body(request.stream, request.environ, MAX_LOAD_BYTES, settings.timeout_seconds)
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {str(error)[:200]}") from None
    wanted = [value.get(key) if isinstance(value, dict) else None for key in ("model_name", "url")]
    name, url = wanted
    if not (isinstance(name, str) and isinstance(url, str) and name and url):
        raise RequestError(
            400, 'expected {"model_name": TEXT, "url": PATH OF A FOLDER}, neither of them empty'
        )
    if len(name) > MAX_NAME or name.strip("/") != name or not name.isprintable():
        raise RequestError(
            400,
            f"model_name: expected at most {MAX_NAME} printable characters without a slash at "
            f"either end, got {name[:100]!r}",
        )
    return name, url


def _entry(hosted: Hosted) -> dict[str, object]:
    return {"modelName": hosted.name, "modelUrl": hosted.url}


def _limit() -> int:
    text = request.args.get("limit", str(MAX_LIST))
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        raise RequestError(400, f"limit: expected a whole number >= 1, got {text[:100]!r}")
    return min(int(text[:9]), MAX_LIST)


def _token_of(name: str) -> str:
    """Where the next page starts, in letters that any client puts into a query unchanged."""
    return base64.urlsafe_b64encode(name.encode()).decode("ascii").rstrip("=")


def _name_of_token() -> str:
    token = request.args.get("next_page_token", "")
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        raise RequestError(
            400, f"next_page_token: expected one that a list returned, got {token[:100]!r}"
        ) from None
