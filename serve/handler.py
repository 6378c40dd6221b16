"""Handler: a model whose owner brought code/inference.py, called as AWS's PyTorch server does."""

import inspect
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from contract.errors import BundleError, KennelError, RequestError, UserCodeError
from serve.context import Context
from serve.explain import refuse_explanation
from serve.invocation import Answer, Invocation
from serve.user_code import UserCode, call

log = logging.getLogger(__name__)

# AWS's toolkit hands text to the user's input_fn for exactly these two, and bytes for the rest.
TEXT_TYPES = frozenset({"application/json", "text/csv"})


class Defaults(Protocol):
    """What stands in for the functions that the user did not write."""

    gpu_id: int | None

    def load(self, model_dir: Path) -> Any:
        """The model."""
        ...

    def read(self, body: bytes | str, content_type: str) -> Any:
        """A request's body as the model's input."""
        ...

    def predict(self, data: Any, model: Any) -> Any:
        """The model's answer."""
        ...

    def write(self, prediction: Any, accept: str) -> Answer:
        """That answer as bytes."""
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for /ping."""
        ...


class UserModel:
    """User functions where there are some, defaults elsewhere.

    One request at a time, because AWS runs user code in a process of its own per request in
    flight: code written for that may keep state in globals. More processes:
    SAGEMAKER_MODEL_SERVER_WORKERS.
    """

    def __init__(
        self,
        code: UserCode,
        defaults: Defaults,
        model_dir: Path,
        *,
        default_accept: str,
        timeout_seconds: float,
    ) -> None:
        """Load and warm the model. Raises BundleError when the user's code fails at it."""
        self._code, self._defaults, self._model_dir = code, defaults, model_dir
        self._default_accept, self._timeout_seconds = default_accept, timeout_seconds
        self._turn = threading.Lock()
        context = self._context({})
        folder = str(model_dir)
        try:
            self._call("pre_model_fn", (folder,), context)
            self._model = (
                self._call("model_fn", (folder,), context)
                if code.has("model_fn")
                else defaults.load(model_dir)
            )
            self._call("model_warmup_fn", (folder, self._model), context)
        except UserCodeError as error:
            raise BundleError(error.message) from error

    def describe(self) -> dict[str, Any]:
        """The defaults' facts and the names of the user's functions."""
        return {**self._defaults.describe(), "code": sorted(self._code.functions)}

    def answer(self, invocation: Invocation) -> Answer:
        """Raises UserCodeError for what the user's code raised; ours pass through."""
        context = self._context(invocation.headers)
        accept = (invocation.accept or "").strip()
        if accept in ("", "*/*"):
            accept = self._default_accept
        if not self._code.has("transform_fn") and not self._code.has("output_fn"):
            refuse_explanation(accept)  # they may have an explanation of their own
        # A body without a type is unstated bytes (RFC 9110 section 8.3).
        content_type = invocation.content_type or "application/octet-stream"
        with self._my_turn():
            result = self._run(invocation.body, content_type, accept, context)
        return _to_answer(result, accept, context)

    def close(self) -> None:
        """Nothing: user code cannot be stopped, other than with its process."""

    def _run(self, body: bytes, content_type: str, accept: str, context: Context) -> Any:
        data = _as_text(body) if content_type in TEXT_TYPES else body
        if self._code.has("transform_fn"):
            arguments = (self._model, data, content_type, accept)
            return self._call("transform_fn", arguments, context)
        if self._code.has("input_fn"):
            pixels = self._call("input_fn", (data, content_type), context)
        else:
            pixels = self._defaults.read(body, content_type)
        if self._code.has("predict_fn"):
            prediction = self._call("predict_fn", (pixels, self._model), context)
        else:
            prediction = self._defaults.predict(pixels, self._model)
        if self._code.has("output_fn"):
            return self._call("output_fn", (prediction, accept), context)
        return self._defaults.write(prediction, accept)

    def _call(self, name: str, arguments: tuple[Any, ...], context: Context) -> Any:
        """Call the user's function; None where there is none. The user's errors end here."""
        function = self._code.functions.get(name)
        if function is None:
            return None
        try:
            return call(function, arguments, context)
        except KennelError:
            raise
        except (Exception, SystemExit) as error:  # whatever a stranger's code may raise
            status = _toolkit_status(error)
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserCodeError(
                status, f"{self._code.path.name}: {name} failed: {text[:1000]}"
            ) from error

    def _context(self, headers: Mapping[str, str]) -> Context:
        return Context(self._model_dir, self._defaults.gpu_id, headers)

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self._timeout_seconds):
            raise RequestError(503, "the model is busy with earlier requests; try again", 1)
        try:
            yield
        finally:
            self._turn.release()


def _as_text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8: {error}") from None


def _toolkit_status(error: BaseException) -> int:
    """500, or the status of AWS's own error classes, which user code may raise."""
    is_toolkit = any(c.__name__ == "BaseInferenceToolkitError" for c in inspect.getmro(type(error)))
    status = getattr(error, "status_code", None)
    if is_toolkit and isinstance(status, int) and 400 <= status <= 599:
        return status
    return 500


def _to_answer(result: Any, accept: str, context: Context) -> Answer:
    """(body, content type), or a body alone: then the type is what the client asked for."""
    processor = context.request_processor[0]
    headers = dict(processor.response_headers)
    set_type = headers.pop("Content-Type", None)
    if isinstance(result, Answer):
        body, content_type, num_pictures = result.body, result.content_type, result.num_pictures
    else:
        value, content_type = (
            result if isinstance(result, tuple) and len(result) == 2 else (result, accept)
        )
        body, num_pictures = _to_bytes(value), None
    return Answer(
        body=body,
        content_type=str(set_type or content_type),
        status=processor.status,
        num_pictures=num_pictures,
        headers=headers,
    )


def _to_bytes(value: Any) -> bytes:
    """As TorchServe writes what a handler returns: text and bytes as they are, else JSON."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    try:
        return json.dumps(value, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise UserCodeError(
            500, f"the answer of the user's code cannot be sent: {error}; return bytes or text"
        ) from error


def _plain(value: Any) -> Any:
    """Tensors and arrays as lists."""
    to_list = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"expected bytes, text or JSON values, got {type(value).__name__}")
    return to_list()
