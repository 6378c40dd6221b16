"""Hosts of a user's script: waiting for their addresses, and the variables that name them."""

import json
import logging
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.errors import HostError

log = logging.getLogger(__name__)

MASTER_PORT = "7777"  # as in AWS's PyTorch containers
ADDRESS_SECONDS = (
    900.0  # from the first container's start to the last one's, as AWS's toolkit waits
)
_RETRY_SECONDS = 1.0
_TELL_SECONDS = 60.0
_NETWORKS = Path("/sys/class/net")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptHosts:
    """The hosts that run one script together."""

    names: tuple[str, ...]  # sorted: the first one leads
    current: str
    interface: str  # as resourceconfig.json says; it need not exist

    @property
    def rank(self) -> int:
        """Of this host among all."""
        return self.names.index(self.current)

    @property
    def others(self) -> tuple[str, ...]:
        """All but this one."""
        return tuple(name for name in self.names if name != self.current)

    def variables(self) -> dict[str, str]:
        """What a script needs for `init_process_group`, as AWS's PyTorch containers set it.

        A variable that the job's author set should win over these.
        """
        leader = self.names[0]
        if not self.others and not has_address(leader):
            leader = "127.0.0.1"
        settings = {
            "MASTER_ADDR": leader,
            "MASTER_PORT": MASTER_PORT,
            "NCCL_IB_DISABLE": "1",
            "NCCL_DEBUG": "WARN",
        }
        if (_NETWORKS / self.interface).exists():
            settings |= {
                "NCCL_SOCKET_IFNAME": self.interface,
                "GLOO_SOCKET_IFNAME": self.interface,
            }
        return settings

    def names_as_json(self) -> str:
        """In the order in which the ranks are counted."""
        return json.dumps(list(self.names), separators=(",", ":"))


def has_address(name: str) -> bool:
    """True when the name resolves now."""
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return False
    return True


def await_addresses(names: Sequence[str], seconds: float = ADDRESS_SECONDS) -> None:
    """Wait until every name resolves: containers of one job start minutes apart.

    Raises HostError naming the hosts that did not. Signals are heard meanwhile: the lookups, which
    may block for long in C, are another thread's.
    """
    missing = list(names)
    changed = threading.Event()

    def look_up() -> None:
        while missing and not given_up.is_set():
            for name in tuple(missing):
                if has_address(name):
                    missing.remove(name)
            if not missing:
                break
            given_up.wait(_RETRY_SECONDS)
        changed.set()

    given_up = threading.Event()
    threading.Thread(target=look_up, name="addresses", daemon=True).start()
    started = told = time.monotonic()
    try:
        is_told = changed.wait(_RETRY_SECONDS / 2)
        while not is_told:
            now = time.monotonic()
            if now - started > seconds:
                raise HostError(
                    f"{_list(missing)} got no address within {seconds:g} s: did every host of "
                    f"the job ({', '.join(names)}) start, on one network?"
                )
            if told == started or now - told > _TELL_SECONDS:
                told = now
                log.info(
                    "script  waiting for the address of %s, for %g s at most",
                    _list(missing),
                    seconds,
                )
            is_told = changed.wait(_RETRY_SECONDS / 2)
        if told != started:
            log.info("script  all hosts have addresses after %.0f s", time.monotonic() - started)
    finally:
        given_up.set()


def _list(names: Sequence[str]) -> str:
    return ("host " if len(names) == 1 else "hosts ") + ", ".join(names)
