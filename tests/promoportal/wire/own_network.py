"""A network of this thread's own, which a test can cut without harm to others."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

_NETWORK = 0x40000000  # CLONE_NEWNET
_HERE = "/proc/thread-self/ns/net"


@dataclass
class Network:
    """The loopback interface of a network namespace."""

    is_up: bool = False

    def restore(self) -> None:
        self._set("up")

    def cut(self) -> bool:
        """Lose all packets from now on. Return True, so that it can be a condition."""
        self._set("down")
        return True

    def _set(self, state: str) -> None:
        subprocess.run(["ip", "link", "set", "lo", state], check=True)
        self.is_up = state == "up"


@contextlib.contextmanager
def own_network() -> Iterator[Network]:
    """
    Move this thread to a new network, in which only 127.0.0.1 exists.

    Threads and processes that it starts belong to the new network, too.

    :raises OSError: if the system has no namespaces, or this process may not use them
    """
    kernel = ctypes.CDLL(None, use_errno=True)
    before = os.open(_HERE, os.O_RDONLY)
    try:
        if not hasattr(kernel, "unshare") or kernel.unshare(_NETWORK):
            raise OSError(ctypes.get_errno(), "no network namespace can be made")
        try:
            network = Network()
            network.restore()
            yield network
        finally:
            kernel.setns(before, _NETWORK)
    finally:
        os.close(before)


def why_impossible() -> str:
    """Return why this process cannot have a network of its own, or ""."""
    try:
        with own_network():
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"needs Linux, root and ip: {error}"
