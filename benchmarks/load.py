"""Load: one process that keeps a server busy and takes little of the processors it shares.

Closed loop: so many clients, each sends when it has its answer. Open loop: requests are sent when
their time has come, whatever the server does, and latency counts from that time: a server that
stalls is charged for all who wait (no coordinated omission).
"""

import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

ANSWER_SECONDS = 60.0
RECV_BYTES = 65536
HOST = "127.0.0.1"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a load saw. `latencies` (seconds) are those of status 200."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    server_cpu_seconds: float = 0.0

    def add(self, status: int, latency: float) -> None:
        """One answer."""
        self.statuses[status] += 1
        if status == 200:
            self.latencies.append(latency)

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def errors(self) -> int:
        """Answers other than 200."""
        return sum(self.statuses.values()) - self.statuses[200]

    def percentile_ms(self, percent: float) -> float:
        """Latency of good answers in milliseconds; NaN without any."""
        return float(np.percentile(self.latencies, percent)) * 1e3 if self.latencies else np.nan


class Connection:
    """One HTTP/1.1 connection, opened when needed and again when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._buffer = b""
        self.started = 0.0

    def fileno(self) -> int:
        """For select."""
        assert self._socket is not None
        return self._socket.fileno()

    def send(self, request: bytes, started: float) -> None:
        """Send one request; `started` is when its latency begins."""
        self.started, self._buffer = started, b""
        if self._socket is None:
            self._socket = socket.create_connection((HOST, self._port), timeout=ANSWER_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)

    def receive(self) -> tuple[int, bytes] | None:
        """Status and body once they are whole; None until then."""
        assert self._socket is not None
        data = self._socket.recv(RECV_BYTES)
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not data and not blank:
            raise ConnectionError(f"port {self._port}: closed before it answered")
        if not blank:
            return None
        lines = head.lower().split(b"\r\n")
        fields = dict(line.split(b":", 1) for line in lines[1:])
        length = int(fields[b"content-length"])
        if len(body) < length:
            return None
        if fields.get(b"connection", b"").strip() == b"close":
            self.close()
        return int(lines[0].split(b" ", 2)[1]), body[:length]

    def close(self) -> None:
        """May be repeated."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def ask(port: int, request: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = Connection(port)
    try:
        connection.send(request, time.perf_counter())
        while (answer := connection.receive()) is None:
            pass
        return answer
    finally:
        connection.close()


def closed_loop(
    port: int,
    requests: Sequence[bytes],
    clients: int,
    seconds: float,
    *,
    warm_seconds: float = 0.0,
    cpu_seconds: Callable[[], float] = float,
) -> Outcome:
    """`clients` at a time for `warm_seconds`, not counted, and then `seconds`.

    An answer counts when it comes within the time; `cpu_seconds` is read at both ends of it.
    """
    connections = [Connection(port) for _ in range(clients)]
    sent = 0
    for connection in connections:
        connection.send(requests[sent % len(requests)], time.perf_counter())
        sent += 1
    outcome = Outcome()
    begin = time.perf_counter() + warm_seconds
    is_counting, cpu, own = False, 0.0, 0.0
    try:
        while True:
            ready, _, _ = select.select(connections, [], [], ANSWER_SECONDS)
            if not ready:
                raise TimeoutError(f"port {port}: no answer in {ANSWER_SECONDS:g} s")
            now = time.perf_counter()
            if not is_counting and now >= begin:
                is_counting, begin = True, now
                cpu, own = cpu_seconds(), time.process_time()
            if now >= begin + seconds:
                break
            for connection in ready:
                answer = connection.receive()
                if answer is None:
                    continue
                if is_counting:
                    outcome.add(answer[0], time.perf_counter() - connection.started)
                connection.send(requests[sent % len(requests)], time.perf_counter())
                sent += 1
        outcome.seconds = now - begin
        outcome.server_cpu_seconds = cpu_seconds() - cpu
        outcome.client_cpu_seconds = time.process_time() - own
        _drain(connections)
    finally:
        for connection in connections:
            connection.close()
    return outcome


def open_loop(port: int, requests: Sequence[bytes], arrivals: Sequence[float]) -> Outcome:
    """Send at `arrivals` (seconds from now), each on a free connection, else on a new one."""
    outcome, own = Outcome(), time.process_time()
    free: list[Connection] = []
    busy: list[Connection] = []
    due = deque(arrivals)
    begin = time.perf_counter()
    try:
        while due or busy:
            now = time.perf_counter() - begin
            while due and due[0] <= now:
                connection = free.pop() if free else Connection(port)
                position = len(arrivals) - len(due)
                connection.send(requests[position % len(requests)], begin + due.popleft())
                busy.append(connection)
            wait = max(0.0, due[0] - (time.perf_counter() - begin)) if due else ANSWER_SECONDS
            ready, _, _ = select.select(busy, [], [], wait)
            if not ready and not due:
                raise TimeoutError(f"port {port}: no answer in {ANSWER_SECONDS:g} s")
            for connection in ready:
                answer = connection.receive()
                if answer is None:
                    continue
                outcome.add(answer[0], time.perf_counter() - connection.started)
                busy.remove(connection)
                free.append(connection)
        outcome.seconds = time.perf_counter() - begin
        outcome.client_cpu_seconds = time.process_time() - own
    finally:
        for connection in (*free, *busy):
            connection.close()
    return outcome


def poisson_arrivals(per_second: float, seconds: float, seed: int) -> list[float]:
    """Times at which independent clients would come."""
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(1 / per_second, size=int(2 * per_second * seconds) + 20)
    times = np.cumsum(gaps)
    return [float(at) for at in times[times < seconds]]


def even_arrivals(per_second: float, seconds: float) -> list[float]:
    """Times at equal distances."""
    return [index / per_second for index in range(int(per_second * seconds))]


def _drain(connections: Sequence[Connection]) -> None:
    """Wait for the answers under way: a server that is stopped next must not owe any."""
    owed = list(connections)
    while owed:
        ready, _, _ = select.select(owed, [], [], ANSWER_SECONDS)
        if not ready:
            raise TimeoutError(f"{len(owed)} answers are missing after {ANSWER_SECONDS:g} s")
        for connection in ready:
            if connection.receive() is not None:
                owed.remove(connection)
