"""Picture client: many pictures to one server, over connections that stay open."""

import queue
import threading
import time

from contract.errors import HostError, InterruptedJobError, RequestError
from control.client import base_url, is_ready, message_of
from control.http_connection import HttpAnswer, HttpConnection

ANSWER_SECONDS = 120.0  # the server may let a request wait for 60
BUSY_SECONDS = 300.0  # of 503 answers for one picture, until we give up
MOST_PAUSE_SECONDS = 30.0  # whatever Retry-After says
READY_SECONDS = 180.0  # a worker that died loads its model anew
POLL_SECONDS = 0.25
TRIES = 3
# The same request may fare better: overload and failures that are not the picture's.
MAY_PASS = frozenset({408, 429, 500, 502, 504, 507})
# No picture can change these: the address, or what we ask for, is wrong.
HOPELESS = frozenset({401, 403, 404, 405, 406, 415})


class PictureClient:
    """Asks about one picture at a time and connection. Thread-safe.

    Args:
        connections: requests under way at most; more threads wait for their turn.
    """

    def __init__(self, url: str, connections: int, content_type: str) -> None:
        self._url = base_url(url)
        headers = {"Content-Type": content_type, "Accept": "application/jsonlines"}
        self._all = [
            HttpConnection(f"{self._url}/invocations", headers, ANSWER_SECONDS)
            for _ in range(connections)
        ]
        self._idle: queue.LifoQueue[HttpConnection] = queue.LifoQueue()
        for connection in self._all:
            self._idle.put(connection)
        self._second_try = threading.Lock()
        self._stopped = threading.Event()

    def ask(self, picture: bytes) -> bytes:
        """The server's answer. Waits while it is busy or starting again.

        Raises RequestError: it refuses this picture. HostError: it is gone, or refuses everything.
        InterruptedJobError: `stop` was called.
        """
        try:
            return self._ask_patiently(picture)
        except OSError as error:
            reason = error
        # A picture may have killed the server, and those beside it lost their connections as well.
        # One at a time from here, so that only the culprit fails again and again.
        with self._second_try:
            for _ in range(TRIES - 1):
                self._wait_until_ready()
                try:
                    return self._ask_patiently(picture)
                except OSError as error:
                    reason = error
        why = str(reason) or type(reason).__name__
        raise RequestError(502, f"the server broke the connection {TRIES} times: {why}")

    def stop(self) -> None:
        """Have every `ask` return soon."""
        self._stopped.set()
        for connection in self._all:
            connection.interrupt()

    def close(self) -> None:
        """Close the connections; nobody may be asking."""
        for connection in self._all:
            connection.close()

    def _ask_patiently(self, picture: bytes) -> bytes:
        """Until there is an answer that is neither `busy` nor `try again`."""
        tries = 0
        patience = time.monotonic() + BUSY_SECONDS
        while True:
            answer = self._post(picture)
            status = answer.status
            if status == 200:
                return answer.body
            message = message_of(answer.body, status)
            if status in HOPELESS:
                raise HostError(f"{self._url} refuses all pictures: {message}")
            tries += status != 503
            if status == 503 and time.monotonic() > patience:
                raise HostError(f"{self._url} was busy for {BUSY_SECONDS:.0f} s: {message}")
            if status != 503 and (status not in MAY_PASS or tries >= TRIES):
                raise RequestError(status, message)
            self._pause(answer.headers.get("retry-after"))

    def _post(self, picture: bytes) -> HttpAnswer:
        """Raises OSError: no answer came over a connection that was made for this."""
        connection = self._idle.get()
        try:
            while True:
                self._check_stopped()
                was_open = connection.is_open
                try:
                    return connection.post(picture)
                except OSError:
                    self._check_stopped()
                    if not was_open:  # otherwise the server may just have closed an idle one
                        raise
        finally:
            self._idle.put(connection)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready(self._url):
            self._check_stopped()
            if time.monotonic() > deadline:
                raise HostError(f"{self._url} does not answer any more")
            self._stopped.wait(POLL_SECONDS)

    def _pause(self, retry_after: str | None) -> None:
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
        self._stopped.wait(min(seconds, MOST_PAUSE_SECONDS))
        self._check_stopped()

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise InterruptedJobError("the transform was told to stop")
