"""Pulse: the processes of a job listen to one another, so that none waits for a dead one.

A thread beats on every line and hears what the others say: that they failed, that they were told
to stop, that the leader has saved. Collectives of torch notice a closed connection but not a
silent host, and never say which host it was.
"""

import logging
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from contract.errors import HostError, InterruptedJobError, KennelError
from train.peer import Message, Peer
from train.stop import Stop
from train.world import World

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
SILENT_SECONDS = 30.0  # a peer that said nothing for so long is lost
ESCAPE_SECONDS = 5.0  # for the main thread to end by itself once a peer is lost
LEAVE_SECONDS = 20.0
_MAX_REASON = 4000
_ALARM = signal.SIGUSR1


class Pulse:
    """Watches the lines of one process. Start and close it in the main thread.

    Args:
        peers: the leader's lines to all others, or another process's line to the leader.
        last_words: called with the reason when the main thread hangs in a collective and the
            process has to end without it.
        farewell: called after that, also where no reason is to be told.
    """

    def __init__(
        self,
        world: World,
        peers: list[Peer],
        stop: Stop,
        last_words: Callable[[str], None],
        farewell: Callable[[], None] = lambda: None,
    ) -> None:
        self._world, self._peers, self._stop = world, peers, stop
        self._last_words, self._farewell = last_words, farewell
        self.lost: KennelError | None = None  # why the job cannot go on
        self._is_lost, self._is_over = threading.Event(), threading.Event()
        self._turns = threading.Semaphore(0)
        self._has_told_stop = self._is_parting = False
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Meanwhile a lost peer raises HostError (or InterruptedJobError) in the main thread."""
        before = signal.signal(_ALARM, self._raise)
        self._thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._thread.join(2 * BEAT_SECONDS)
            for peer in self._peers:
                peer.close(linger_seconds=0 if self._is_gone(peer) else 5.0)
            signal.signal(_ALARM, before)

    def give_turn(self) -> None:
        """The leader lets the others go on from `await_turn`."""
        self._tell_all({"turn": True})

    def await_turn(self) -> None:
        """Wait for the leader, for as long as it lives; signals are still heard."""
        while not self._turns.acquire(timeout=0.2):
            if self.lost is not None:
                raise self.lost

    def part(self) -> None:
        """The end of a job that went well: nobody leaves before the leader has saved.

        SageMaker's Local Mode kills all containers when the first one ends.
        """
        if self._world.rank > 0:
            self.await_turn()
            self._is_over.set()
            self._tell_all({"left": True})
            return
        self._is_parting = True  # all is saved: who dies now harms nobody
        self.give_turn()
        deadline = time.monotonic() + LEAVE_SECONDS
        while time.monotonic() < deadline and not all(map(self._is_gone, self._peers)):
            time.sleep(0.02)

    def tell_failure(self, error: BaseException) -> None:
        """Let all others fail with the same reason, or stop when we were told to stop."""
        self._is_over.set()
        text = " ".join(str(error).split())
        reason = text if isinstance(error, KennelError) else f"{type(error).__name__}: {text}"
        self._tell_all(self._failure(reason, isinstance(error, InterruptedJobError)))

    def explain(self, error: BaseException) -> KennelError | None:
        """The peer behind an error of a collective; waits until its silence is certain.

        None: the error is our own.
        """
        if isinstance(error, KennelError) and error is not self.lost:
            return None
        is_network = isinstance(error, RuntimeError) and not isinstance(error, MemoryError)
        if is_network and any(word in str(error) for word in _NETWORK_WORDS):
            self._is_lost.wait(SILENT_SECONDS + BEAT_SECONDS)
        return self.lost

    def _failure(self, reason: str, is_stop: bool) -> Message:
        return {"failed": reason[:_MAX_REASON], "rank": self._world.rank, "is_stop": is_stop}

    def _tell_all(self, message: Message) -> None:
        for peer in self._peers:
            peer.tell(message)

    def _is_gone(self, peer: Peer) -> bool:
        return peer.has_left or not peer.is_open

    def _raise(self, _signal: int, _frame: FrameType | None) -> None:
        if self.lost is not None and not self._is_over.is_set():
            raise self.lost

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for peer in self._peers:
                peer.heard = time.monotonic()
                selector.register(peer.socket, selectors.EVENT_READ, peer)
            beaten = -BEAT_SECONDS
            while not self._is_over.is_set() and self.lost is None:
                now = time.monotonic()
                if now - beaten >= BEAT_SECONDS:
                    if now - beaten > 2 * BEAT_SECONDS:  # we slept: the others' words may wait
                        for peer in self._peers:
                            peer.heard = now
                    beaten = now
                    self._beat()
                for key, _ in selector.select(BEAT_SECONDS / 4):
                    self._listen(key.data)
                    if not key.data.is_open:
                        selector.unregister(key.fileobj)
        if self.lost is not None:
            self._escape()

    def _beat(self) -> None:
        message: Message = {"beat": True}
        if self._stop.signalled and not self._has_told_stop:
            self._has_told_stop = True
            message = {"stop": True}
        self._tell_all(message)
        for peer in self._peers:
            silent_seconds = time.monotonic() - peer.heard
            if silent_seconds > SILENT_SECONDS and not self._is_gone(peer):
                name = self._world.name_of(peer.rank)
                self._lose(HostError(f"{name} has been silent for {silent_seconds:.0f} s"))

    def _listen(self, peer: Peer) -> None:
        for message in peer.receive():
            if "stop" in message:
                self._stop.signalled = True
            elif "turn" in message:
                self._turns.release()
            elif "left" in message:
                peer.has_left = True
            elif "failed" in message:
                peer.has_left = True
                self._hear_failure(message)
        if not peer.is_open and not peer.has_left:
            name = self._world.name_of(peer.rank)
            self._lose(HostError(f"{name} died: its connection closed without a word; see its log"))

    def _hear_failure(self, message: Message) -> None:
        reason = str(message["failed"])
        if message.get("is_stop"):
            self._lose(InterruptedJobError(reason))
        elif message.get("relayed"):
            self._lose(HostError(reason))
        else:
            name = self._world.name_of(int(message.get("rank", 0)))
            self._lose(HostError(f"{name} failed: {reason}"))

    def _lose(self, error: KennelError) -> None:
        if self.lost is None and not self._is_over.is_set() and not self._is_parting:
            self.lost = error
            is_stop = isinstance(error, InterruptedJobError)
            self._tell_all({**self._failure(str(error), is_stop), "relayed": True})
            self._is_lost.set()

    def _escape(self) -> None:
        """Wake the main thread; end the process when it is stuck where no signal is heard."""
        if self._is_over.is_set() or self.lost is None:
            return
        signal.pthread_kill(_main_thread(), _ALARM)
        if self._is_over.wait(ESCAPE_SECONDS):
            return
        try:
            if not isinstance(self.lost, InterruptedJobError):
                self._last_words(str(self.lost))
            self._farewell()
        finally:
            os._exit(self.lost.exit_code)


# What gloo, NCCL and torch's store say when the other end is gone.
_NETWORK_WORDS = ("onnection", "gloo", "NCCL", "ocket", "imed out", "Broken pipe")


def _main_thread() -> int:
    identity = threading.main_thread().ident
    assert identity is not None
    return identity
