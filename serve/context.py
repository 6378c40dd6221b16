"""Context: what a user's function with one more parameter gets, as TorchServe and MMS pass it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class RequestProcessor:
    """The request's headers, and the response's status and headers."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)
        self.status = 200
        self.response_headers: dict[str, str] = {}

    def get_request_properties(self) -> dict[str, str]:
        """All request headers, with the names that the client sent."""
        return self._headers

    def get_request_property(self, key: str) -> str | None:
        """One request header; its name in any case."""
        return next((v for k, v in self._headers.items() if k.lower() == key.lower()), None)

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """Set the response's status; the phrase is accepted and not sent."""
        del reason_phrase
        self.status = int(code)

    def add_response_property(self, key: str, value: str) -> None:
        """Set one response header."""
        self.response_headers[str(key)] = " ".join(str(value).split())


class Context:
    """One per request, so that concurrent requests cannot see each other's headers.

    Source: ts/context.py and mms/context.py; names and positions are theirs.
    """

    def __init__(
        self, model_dir: Path, gpu_id: int | None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.model_name = "model"
        self.manifest: dict[str, Any] = {"model": {"modelName": "model"}}
        self.system_properties: dict[str, Any] = {
            "model_dir": str(model_dir),
            "gpu_id": gpu_id,
            "batch_size": 1,
            "server_name": "Kennel",
            "server_version": "1",
        }
        self.request_processor = [RequestProcessor(headers or {})]
        self.request_ids: dict[int, str] = {}
        self.metrics = None

    def get_request_processor(self, idx: int = 0) -> RequestProcessor:
        """The request; there is one, batches are not made of user code's requests."""
        return self.request_processor[idx]

    def get_request_header(self, idx: int, key: str) -> str | None:
        """One request header."""
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        """All request headers."""
        return self.request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Set the response's Content-Type."""
        self.set_response_header(idx, "Content-Type", value)

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Set one response header, `X-Amzn-SageMaker-Custom-Attributes` for example."""
        self.request_processor[idx].add_response_property(key, value)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        """The response headers set so far."""
        return self.request_processor[idx].response_headers

    def get_response_content_type(self, idx: int) -> str | None:
        """The Content-Type set so far."""
        return self.request_processor[idx].response_headers.get("Content-Type")

    def set_response_status(self, code: int = 200, phrase: str | None = "", idx: int = 0) -> None:
        """Set the response's status."""
        self.request_processor[idx].report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str | None = "") -> None:
        """Set the status of every response, of which there is one."""
        self.set_response_status(code, phrase)
