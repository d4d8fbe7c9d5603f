from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Ports:
    """The ports of the portal and the sandbox on this machine."""

    portal: int
    sandbox: int

    @property
    def portal_url(self) -> str:
        return f"http://127.0.0.1:{self.portal}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox}"


def free_port(wanted: int) -> int:
    """Return the wanted port if it is free, or any other free port."""
    for port in (wanted, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as taken:
                return int(taken.getsockname()[1])
        except OSError:
            continue
    raise OSError("No free port found.")
