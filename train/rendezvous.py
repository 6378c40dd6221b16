"""Rendezvous: the processes of a job find one another within a time limit.

The leading process listens; the others call it until it answers. Hosts start in any order and
minutes apart, and their names resolve late (CONTRACT A.3.3).
"""

import logging
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from contract.errors import HostError
from train.peer import Peer
from train.world import World

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5
_TELL_SECONDS = 10.0  # between lines about who is waited for
_BACKLOG = 1024
_GRACE_SECONDS = 15.0  # a follower lets the leader's own limit pass first: it knows more


def meet(world: World, seconds: float) -> tuple[list[Peer], int]:
    """Wait until all processes are there: (lines to them, port for torch's own store).

    The leader has a line to every other process, the others one to the leader.

    Raises HostError after `seconds`, naming who was silent.
    """
    if world.rank == 0:
        return _lead(world, seconds)
    return _follow(world, seconds)


def _lead(world: World, seconds: float) -> tuple[list[Peer], int]:
    here: dict[int, Peer] = {}
    expected = range(1, world.size)
    deadline = time.monotonic() + seconds
    with _listening(world.port) as server, selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        told = time.monotonic()
        while len(here) < len(expected):
            if time.monotonic() > deadline:
                _give_up(world, here, seconds)
            for key, _ in selector.select(_RETRY_SECONDS):
                if key.fileobj is server:
                    peer = Peer(server.accept()[0])
                    selector.register(peer.socket, selectors.EVENT_READ, peer)
                else:
                    _greet(key.data, here, world)
                    if key.data.rank > 0 or not key.data.is_open:
                        selector.unregister(key.fileobj)
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                log.info("hosts  waiting for %s", _names(world, here))
    store_port = free_port()
    peers = [here[rank] for rank in expected]
    for peer in peers:
        peer.tell({"ready": store_port})
    return peers, store_port


def _greet(peer: Peer, here: dict[int, Peer], world: World) -> None:
    """Read who called; callers that do not belong here are sent away."""
    for message in peer.receive():
        rank, same = message.get("rank"), message.get("world") == _describe(world)
        if not isinstance(rank, int) or not 0 < rank < world.size or not same:
            peer.tell({"refused": f"the job of {_describe(world)}"})
            peer.close(linger_seconds=1)
            return
        if rank in here:  # it started again
            here[rank].close(linger_seconds=0)
        peer.rank = rank
        here[rank] = peer


def _give_up(world: World, here: dict[int, Peer], seconds: float) -> None:
    reason = (
        f"{_names(world, here)} did not join the job within {seconds:g} s (rendezvous-seconds): "
        f"every host must start and reach {world.host} on port {world.port}; see their logs"
    )
    for peer in here.values():
        peer.tell({"failed": reason})
        peer.close(linger_seconds=1)
    raise HostError(reason)


def _follow(world: World, seconds: float) -> tuple[list[Peer], int]:
    peer = Peer(_call(world, seconds), rank=0)
    peer.tell({"rank": world.rank, "world": _describe(world)})
    deadline = time.monotonic() + seconds + _GRACE_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(peer.socket, selectors.EVENT_READ)
        while time.monotonic() < deadline and peer.is_open:
            for message in peer.receive() if selector.select(_RETRY_SECONDS) else []:
                if isinstance(message.get("ready"), int):
                    return [peer], message["ready"]
                if "failed" in message:
                    raise HostError(str(message["failed"]))
                if "refused" in message:
                    raise HostError(
                        f"{world.name_of(0)} leads {message['refused']}; this host expected "
                        f"{_describe(world)}"
                    )
    why = "did not begin" if peer.is_open else "ended before all hosts had met; see its log"
    raise HostError(f"{world.name_of(0)}, which leads the job, {why}")


def _call(world: World, seconds: float) -> socket.socket:
    """A connection to the leader, as soon as its name resolves and it listens."""
    deadline = time.monotonic() + seconds
    told = time.monotonic()
    while True:
        try:
            return socket.create_connection((world.leader_address, world.port), timeout=2)
        except OSError as error:
            why = error.strerror or str(error)
        now = time.monotonic()
        if now > deadline:
            raise HostError(
                f"{world.name_of(0)} did not answer on port {world.port} within {seconds:g} s "
                f"(rendezvous-seconds): {why}; see its log"
            )
        if now - told > _TELL_SECONDS:
            told = now
            log.info("hosts  waiting for %s: %s", world.hosts[0], why)
        time.sleep(_RETRY_SECONDS)


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    try:
        server = socket.create_server(("", port), backlog=_BACKLOG)
    except OSError as error:
        raise HostError(
            f"port {port} is taken ({error.strerror}): another job leads from this host"
        ) from error
    with server:
        yield server


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def _describe(world: World) -> str:
    return f"{', '.join(world.hosts)} with {world.local_size} processes each"


def _names(world: World, here: dict[int, Peer]) -> str:
    return ", ".join(world.name_of(rank) for rank in range(1, world.size) if rank not in here)
