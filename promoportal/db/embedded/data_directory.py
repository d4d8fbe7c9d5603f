"""
The file layout below PORTAL_HOME, and the lock files that processes share.

The keeper imports this module and must stay small: standard library only.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_READY = b"ready"


class Layout:
    """The files of one embedded server."""

    PORT = 5432
    SOCKET = f".s.PGSQL.{PORT}"

    def __init__(self, home: Path) -> None:
        self.home = home
        # Each user has a shared lock. A keeper that stops the server locks exclusively.
        self.users = home / "users.lock"
        # The user that starts the server has this lock; other users wait for it.
        self.starting = home / "start.lock"
        # The keeper has this lock, so that there is at most one keeper.
        self.keeping = home / "keeper.lock"
        self.log = home / "postgres.log"
        # The folder that PostgreSQL may enter: a link if the home is unreachable.
        self.folder = home / "postgres"
        self.data = self.folder / "data"
        # The folder of the socket: a link if the path of the socket would be too long.
        self.run = self.folder / "run"
        self.socket = self.run / self.SOCKET

    def make(self) -> None:
        """
        Create the home as a private folder. Root also lets the server's group enter it.

        The home gets its permissions before its name, because any process that finds
        the home may start a server. A home that exists is not changed.
        """
        if self.home.exists():
            return
        self.home.parent.mkdir(parents=True, exist_ok=True)
        created = tempfile.mkdtemp(prefix=f"{self.home.name}.", dir=self.home.parent)
        if user := self.server_user():
            os.chown(created, 0, user.pw_gid)
            Path(created).chmod(0o710)
        try:
            Path(created).rename(self.home)
        except OSError:  # another process has created the home first
            Path(created).rmdir()

    def server_user(self) -> pwd.struct_passwd | None:
        """
        Return the user that runs PostgreSQL, or None for the current user.

        PostgreSQL refuses to run as root. So for root, the result is the first of these
        users that exists and is not root: the owner of the data, the owner of the home,
        `postgres`, `_postgres`, `nobody`. The portal adds no user to the system. Other
        programs of the chosen user can read the data: acceptable for development.

        :raises LookupError: if none of these users exists
        """
        if os.geteuid() != 0:
            return None
        for place in (self.data, self.home):
            with suppress(OSError, KeyError):
                if owner := place.stat().st_uid:
                    return pwd.getpwuid(owner)
        for name in ("postgres", "_postgres", "nobody"):
            with suppress(KeyError):
                return pwd.getpwnam(name)
        raise LookupError(
            "PostgreSQL cannot run as root, and this system has no user `nobody`. Run "
            "the portal as another user, or set DATABASE_URL."
        )

    def postmaster(self) -> int | None:
        """Return the pid in PostgreSQL's pid file, even if the process does not run."""
        return _pid(_pid_file(self.data))

    def is_ready(self) -> bool:
        """
        Return whether a running server reports that it accepts connections.

        The result may be wrong after a crash, if another process has the crashed
        server's pid. So a caller that cannot connect must also check `is_kept`.
        """
        lines = _pid_file(self.data)
        pid = _pid(lines)
        return bool(
            pid and _is_alive(pid) and len(lines) > 7 and lines[7].strip() == _READY
        )

    def is_kept(self) -> bool:
        """Return whether a keeper runs. The caller must have the lock `starting`."""
        with lock(self.keeping, fcntl.LOCK_SH | fcntl.LOCK_NB) as is_free:
            return not is_free


def server_of(data: Path) -> int | None:
    """Return the pid in the pid file if this process really is the server, or None."""
    pid = _pid(_pid_file(data))
    if pid is None or not _is_alive(pid):
        return None
    if Path("/proc/self/cwd").exists():
        with suppress(OSError):
            return pid if Path(f"/proc/{pid}/cwd").samefile(data) else None
        return None
    command = subprocess.run(  # noqa: S603
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    ).stdout
    return pid if str(data.resolve()) in command else None


def _pid_file(data: Path) -> list[bytes]:
    with suppress(OSError):
        return (data / "postmaster.pid").read_bytes().splitlines()
    return []


def _pid(lines: list[bytes]) -> int | None:
    with suppress(IndexError, ValueError):
        # The pid is negative for a server in single-user mode.
        return abs(int(lines[0]))
    return None


def _is_alive(pid: int) -> bool:
    try:
        with suppress(PermissionError):
            os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def open_private(path: Path, flags: int) -> int:
    """Open a file that only the home's owner may access; create it if missing."""
    file = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        # After a `sudo manage.py ...`, the home's owner must still have access.
        os.fchown(file, path.parent.stat().st_uid, -1)
    return file


@contextmanager
def lock(path: Path, operation: int) -> Iterator[bool]:
    """Lock a file in the `with` block. Yield False if another process has the lock."""
    file = open_private(path, os.O_RDWR)
    is_locked = False
    try:
        with suppress(BlockingIOError):
            fcntl.flock(file, operation)
            is_locked = True
        yield is_locked
    finally:
        os.close(file)
