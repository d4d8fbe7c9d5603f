"""
What lies where below PORTAL_HOME, and the locks that processes meet at.

Imported by the keeper too, which must stay small: the standard library only.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_READY = b"ready"


@dataclass(frozen=True)
class House:
    """The folder of one embedded server."""

    PORT = 5432
    SOCKET = f".s.PGSQL.{PORT}"

    home: Path

    @property
    def users(self) -> Path:
        """Held shared by every user, exclusively by a keeper that stops the server."""
        return self.home / "users.lock"

    @property
    def starting(self) -> Path:
        """Held by the one user who starts the server; the others wait for it."""
        return self.home / "start.lock"

    @property
    def keeping(self) -> Path:
        """Held by the keeper: a house has one, or none."""
        return self.home / "keeper.lock"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    @property
    def rooms(self) -> Path:
        """The folder that PostgreSQL may enter; a link if it may not enter ours."""
        return self.home / "postgres"

    @property
    def data(self) -> Path:
        return self.rooms / "data"

    @property
    def run(self) -> Path:
        """The folder of the socket; a link if its path would be too long."""
        return self.rooms / "run"

    @property
    def socket(self) -> Path:
        return self.run / self.SOCKET

    def make(self) -> None:
        """
        Make the home, private; as root, with a door for the server's user alone.

        It appears with its door, as whoever finds it may start a server. A home that
        was there already is left as it is.
        """
        if self.home.exists():
            return
        self.home.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix=f"{self.home.name}.", dir=self.home.parent)
        if user := self.server_user():
            os.chown(made, 0, user.pw_gid)
            Path(made).chmod(0o710)
        try:
            Path(made).rename(self.home)
        except OSError:  # someone was faster, and lives in it already
            Path(made).rmdir()

    def server_user(self) -> pwd.struct_passwd | None:
        """
        Who PostgreSQL runs as, or None where that is simply us.

        It refuses to be root. Then it is whoever owns the data already, else the home's
        owner, as after `sudo manage.py`, else the user that a PostgreSQL of the system
        would have, else `nobody`. None is created: a
        program tried out on a desk should not change who lives on the machine. What
        else runs as that user could read the data, which a desk can bear.

        :raises LookupError: if there is none of them
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
        msg = "PostgreSQL refuses to run as root, and there is no user `nobody` either."
        raise LookupError(msg)

    def postmaster(self) -> int | None:
        """The pid in PostgreSQL's own pid file, dead or alive."""
        return _pid(_pid_file(self.data))

    def is_ready(self) -> bool:
        """
        Whether a live server says that it takes connections.

        It may be wrong after a crash, when the dead server's pid lives again as
        something else: whoever fails to connect must ask `is_kept` too.
        """
        lines = _pid_file(self.data)
        pid = _pid(lines)
        return bool(
            pid and _is_alive(pid) and len(lines) > 7 and lines[7].strip() == _READY
        )

    def is_kept(self) -> bool:
        """Whether there is a keeper. Ask only as the one who is starting."""
        with lock(self.keeping, fcntl.LOCK_SH | fcntl.LOCK_NB) as held:
            return not held


def server_of(data: Path) -> int | None:
    """The pid of the live server of that data, and not of a later namesake."""
    pid = _pid(_pid_file(data))
    if pid is None or not _is_alive(pid):
        return None
    if Path("/proc/self/cwd").exists():
        with suppress(OSError):
            return pid if Path(f"/proc/{pid}/cwd").samefile(data) else None
        return None
    said = subprocess.run(  # noqa: S603
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    ).stdout
    return pid if str(data.resolve()) in said else None


def _pid_file(data: Path) -> list[bytes]:
    with suppress(OSError):
        return (data / "postmaster.pid").read_bytes().splitlines()
    return []


def _pid(lines: list[bytes]) -> int | None:
    with suppress(IndexError, ValueError):
        # Negative in a server that serves one person's standard input.
        return abs(int(lines[0]))
    return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def open_private(path: Path, flags: int) -> int:
    """A file descriptor of a file that is the home's owner's alone, made if missing."""
    file = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        # So that `sudo manage.py ...` once does not lock the owner out.
        os.fchown(file, path.parent.stat().st_uid, -1)
    return file


@contextmanager
def lock(path: Path, operation: int) -> Iterator[bool]:
    """Hold a lock that ends with its holder, however it ends; False if it is taken."""
    file = open_private(path, os.O_RDWR)
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        os.close(file)
        yield False
        return
    try:
        yield True
    finally:
        os.close(file)
