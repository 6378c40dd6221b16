"""Child: the process of one model that brings code, as `serve.isolated` starts it.

It is the single-model server without a port: the same application, asked over a socket.
"""

import logging
import logging.config
import os
import queue
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from flask import Flask
from werkzeug.test import Client

from contract.errors import KennelError
from contract.host import cpu_limit
from serve.app import create_app
from serve.log import log_config
from serve.memory import is_out_of_memory
from serve.model import load_model
from serve.service import Service, Status
from serve.settings import ServeSettings, read_settings
from serve.wire import receive, send

log = logging.getLogger(__name__)

# Headers about how the body travelled; it has arrived.
TRANSPORT = frozenset({"content-length", "transfer-encoding", "expect", "connection"})
Message = tuple[dict[str, Any], bytes]


def main(arguments: Sequence[str]) -> int:
    """Load the model, say so, then answer until the server is gone or ends us."""
    settings = read_settings()
    logging.config.dictConfig(log_config(settings.log_level))
    # The server logs each request already; errors, with their tracebacks, are ours.
    logging.getLogger("serve.exchange").setLevel(logging.WARNING)
    with socket.socket(fileno=int(arguments[0])) as link:
        service = _load(settings, link)
        if service is None:
            return 1
        app = create_app(service, settings)
        facts = service.describe()
        send(link, {"facts": {name: facts[name] for name in facts.keys() - {"status"}}})
        for head, body in _messages(link):
            _answer(app, link, head, body)
            if service.status is Status.BROKEN:
                log.error("ending: the GPU refuses this process; the next request starts another")
                return 1
    return 0


def _load(settings: ServeSettings, link: socket.socket) -> Service | None:
    num_cpus = settings.threads or cpu_limit()
    service = Service(lambda: load_model(settings, num_cpus), settings.max_in_flight)
    try:
        service.load()
    except KennelError as error:
        _refuse(link, error)
        log.error("the model cannot be served: %s", error, exc_info=error.__cause__ is not None)
        return None
    except BaseException as error:  # whatever it is: the server waits for a word, the log for all
        _refuse(link, error)
        raise
    return service


def _refuse(link: socket.socket, error: BaseException) -> None:
    send(link, {"error": _line(error), "out_of_memory": is_out_of_memory(error)})


def _answer(app: Flask, link: socket.socket, head: dict[str, Any], body: bytes) -> None:
    headers = {
        name: value for name, value in head["headers"].items() if name.lower() not in TRANSPORT
    }
    response = Client(app).post("/invocations", data=body, headers=headers)
    send(
        link,
        {"status": response.status_code, "headers": dict(response.headers)},
        response.get_data(),
    )


def _messages(link: socket.socket) -> Iterator[Message]:
    """The requests, read by a thread of their own: when the server dies, so does this process."""
    waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def read() -> None:
        while True:
            try:
                waiting.put(receive(link))
            except (EOFError, OSError):
                os._exit(0)

    threading.Thread(target=read, name="link", daemon=True).start()
    while True:
        yield waiting.get()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:2000] or type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
