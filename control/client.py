"""Asking a server: GET /ping and POST /invocations with the standard library's HTTP client.

urllib.request is imported where it is used: it brings in ssl and email, which `kennel --help`
need not wait for.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from contract.errors import HostError, KennelError, RequestError, UsageError

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ANSWER_SECONDS = 60.0  # SageMaker waits as long for a container's answer
PING_SECONDS = 2.0


def is_ready(url: str) -> bool:
    """True when GET /ping answers 200 within two seconds."""
    try:
        with _opener(url).open(f"{base_url(url)}/ping", timeout=PING_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def get_json(url: str, path: str) -> dict[str, Any]:
    """The object that GET `path` answers; empty where a server has no such path.

    Raises HostError when nobody answers.
    """
    from urllib.error import HTTPError

    try:
        with _opener(url).open(f"{base_url(url)}{path}", timeout=ANSWER_SECONDS) as answer:
            value = json.loads(answer.read())
    except HTTPError as error:
        error.close()
        return {}
    except OSError as error:
        raise _nobody(url, error) from None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def ask(url: str, picture: bytes) -> dict[str, Any]:
    """The server's prediction for one picture, as `Prediction.to_json` writes it.

    Raises RequestError with the server's own words, or HostError when nobody answers.
    """
    from urllib.error import HTTPError
    from urllib.request import Request

    request = Request(
        f"{base_url(url)}/invocations",
        data=picture,
        headers={"Content-Type": "application/octet-stream", "Accept": "application/json"},
    )
    try:
        with _opener(url).open(request, timeout=ANSWER_SECONDS) as answer:
            body = answer.read()
    except HTTPError as error:
        with error:
            raise RequestError(error.code, message_of(error.read(), error.code)) from None
    except OSError as error:
        raise _nobody(url, error) from None
    return prediction_of(body, url)


def read_picture(path: Path) -> bytes:
    """The bytes of a picture's file; what is in them is the server's to judge."""
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder: give pictures, e.g. {path}/*.jpg") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def base_url(url: str) -> str:
    """The server's address: a pasted .../invocations or a closing slash is fine."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--url: expected e.g. http://127.0.0.1:8080, got {url!r}")
    return url.rstrip("/").removesuffix("/invocations")


def _nobody(url: str, error: OSError) -> HostError:
    reason = getattr(error, "reason", error)
    return HostError(
        f"nothing answers at {url} ({reason}): start `kennel serve RUN`, or give --bundle"
    )


def _opener(url: str) -> "OpenerDirector":
    """Proxies are for the world outside; this machine is asked directly."""
    from urllib.request import ProxyHandler, build_opener

    return build_opener(ProxyHandler({})) if urlsplit(url).hostname in LOOPBACK else build_opener()


def message_of(body: bytes, status: int) -> str:
    """The `message` of an error's JSON body, or the beginning of whatever came."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {status}: {body[:200].decode('utf-8', 'replace')}"


def prediction_of(body: bytes, url: str) -> dict[str, Any]:
    """The one prediction in an answer. Raises KennelError: `url` is no server of ours."""
    try:
        (prediction,) = json.loads(body)["predictions"]
        return {"label": prediction["label"], **prediction}
    except (ValueError, KeyError, TypeError):
        start = body[:80].decode("utf-8", "replace")
        raise KennelError(f"{url} does not answer as Kennel's server does: {start!r}") from None
