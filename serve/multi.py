"""Multi: the HTTP routes of a multi-model server. What they do to a model is in models.py."""

import base64
import binascii
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request

from contract.errors import RequestError
from serve.app import json_response, new_app, respond
from serve.body import read_body
from serve.hosted import Hosted, explained
from serve.memory import MIB, MemoryBudget, gpu_free_bytes
from serve.models import Models
from serve.remembered import Remembered, scratch_folder
from serve.restore import restore
from serve.settings import ServeSettings
from serve.targets import HEADER, Targets
from serve.telemetry import Telemetry

MAX_LIST = 100  # entries of one page
MAX_NAME_BYTES = 1024  # percent-encoded it must fit into a request line of 4094
MAX_LOAD_BYTES = 64 * 1024


def multi_application(
    settings: ServeSettings, num_cpus: int, telemetry: Telemetry | None = None
) -> Flask:
    """The application of a process that gunicorn started, with the models of the one before it."""
    uses_gpu = settings.engine != "openvino"
    budget = MemoryBudget(
        settings.models_memory_mib * MIB,
        gpu_free_bytes=gpu_free_bytes if uses_gpu else lambda: None,
    )
    scratch = scratch_folder(os.getppid())
    remembered = Remembered(scratch)
    models = Models(settings, num_cpus, budget, remembered, telemetry)
    restore(models, remembered)
    targets = None
    if settings.models_dir:
        unpacked = (scratch or Path(tempfile.mkdtemp(prefix="kennel-multi-"))) / "unpacked"
        targets = Targets(models, Path(settings.models_dir), unpacked, settings.timeout_seconds)
    return create_multi_app(models, settings, telemetry, targets)


def create_multi_app(
    models: Models,
    settings: ServeSettings,
    telemetry: Telemetry | None = None,
    targets: Targets | None = None,
) -> Flask:
    """The application over models that come and go. Routes: CONTRACT C.2.

    With `targets` /invocations takes a target model, as SageMaker's front end does.
    """
    app = new_app(models, settings, telemetry or Telemetry(ServeSettings()))

    @app.post("/models")
    def load() -> Response:
        name, url = _read_load(settings)
        with explained():
            models.load(name, url)
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
        return json_response(_entry(models.look_up(name.rstrip("/"))))

    @app.delete("/models/<path:name>")
    def unload(name: str) -> Response:
        wanted = name.rstrip("/")
        models.unload(wanted)
        return json_response({"status": f'Model "{wanted}" unregistered'})

    @app.post("/models/<path:name>/invoke")
    def invoke_model(name: str) -> Response:
        return respond(models.admit(name), settings)

    _add_invocations(app, settings, targets)
    return app


def _add_invocations(app: Flask, settings: ServeSettings, targets: Targets | None) -> None:
    """/invocations: for target models; otherwise it says where else to ask."""

    @app.post("/invocations")
    def invocations() -> Response:
        if targets is not None:
            return respond(targets.admit(request.headers.get(HEADER, "")), settings)
        raise RequestError(
            400, "this is a multi-model server: send this to /models/NAME/invoke of a loaded model"
        )


def _read_load(settings: ServeSettings) -> tuple[str, str]:
    """Name and url of a load request. Raises RequestError 400."""
    body = read_body(g.exchange.stream, request.environ, MAX_LOAD_BYTES, settings.timeout_seconds)
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
    too_long = len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES
    if too_long or name.strip("/") != name or not name.isprintable():
        raise RequestError(
            400,
            f"model_name: expected at most {MAX_NAME_BYTES} bytes of printable characters without "
            f"a slash at either end, got {name[:100]!r}",
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
