"""For the load tests: clients with threads, open or closed loop, and a server's memory."""

import http.client
import json
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

CLIENT_SECONDS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one request came to. Times are of time.monotonic."""

    begun: float
    ended: float
    status: int  # 0: the connection broke
    retry_after: str | None = None
    body: bytes = b""


@dataclass(kw_only=True)
class Load:
    """Clients that ask one server for the same picture. Each request is a connection of its own."""

    port: int
    data: bytes
    path: str = "/invocations"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "image/jpeg"})
    replies: list[Reply] = field(default_factory=list)

    def ask(self) -> Reply:
        """One request; a broken connection is a reply, too."""
        begun = time.monotonic()
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CLIENT_SECONDS)
        try:
            link.request("POST", self.path, self.data, self.headers)
            answer = link.getresponse()
            body = answer.read()
            status, retry_after = answer.status, answer.headers.get("Retry-After")
        except (OSError, http.client.HTTPException):
            status, retry_after, body = 0, None, b""
        finally:
            link.close()
        reply = Reply(
            begun=begun, ended=time.monotonic(), status=status, retry_after=retry_after, body=body
        )
        self.replies.append(reply)
        return reply

    def closed(self, clients: int, requests: int) -> float:
        """`requests` in all by clients that wait for each answer; requests a second."""
        left = iter(range(requests))
        lock = threading.Lock()

        def run() -> None:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                self.ask()

        begun = time.monotonic()
        _together([threading.Thread(target=run) for _ in range(clients)])
        return requests / (time.monotonic() - begun)

    def until(self, stop: threading.Event, clients: int) -> list[threading.Thread]:
        """Clients that wait for each answer, and go on until `stop` is set. Join them."""

        def run() -> None:
            while not stop.is_set():
                self.ask()

        threads = [threading.Thread(target=run) for _ in range(clients)]
        for thread in threads:
            thread.start()
        return threads

    def open(self, rate: float, seconds: float, clients: int) -> None:
        """Requests at a fixed rate, whatever becomes of them, for as long as clients are free."""
        begun = time.monotonic()
        numbers = iter(range(int(rate * seconds)))
        lock = threading.Lock()

        def run() -> None:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                time.sleep(max(0.0, begun + number / rate - time.monotonic()))
                self.ask()

        _together([threading.Thread(target=run) for _ in range(clients)])

    def statuses(self) -> Counter[int]:
        """How often each status came; 0 for broken connections."""
        return Counter(reply.status for reply in self.replies)

    def seconds(self, share: float) -> float:
        """The quantile of how long accepted requests took."""
        taken = sorted(reply.ended - reply.begun for reply in self.replies if reply.status == 200)
        return taken[min(len(taken) - 1, int(share * len(taken)))]


def family_mb(pid: int) -> float:
    """Memory of a process and all below it, without the files that they map; shared counts once.

    Libraries are left out: how much of them counts for us depends on who else runs here.
    """
    total = 0.0
    for process in [pid, *below(pid)]:
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:  # it has just ended
            continue
        total += sum(
            int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss_Anon:")
        )
    return total / 1000


def below(pid: int) -> list[int]:
    """Children and theirs."""
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for text in file.read_text().split():
            found += [int(text), *below(int(text))]
    return found


def is_long() -> bool:
    """Whether the long versions were asked for (KENNEL_LONG=1)."""
    return os.environ.get("KENNEL_LONG", "") not in ("", "0")


def label_of(body: bytes) -> str:
    """The label in an answer."""
    label: str = json.loads(body)["predictions"][0]["label"]
    return label


def _together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
