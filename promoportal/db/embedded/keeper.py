"""
The keeper: starts the server, is its parent, and stops it when nobody uses it.

Run as `python -m promoportal.db.embedded.keeper PORTAL_HOME WHEEL` by the first user; tests
say besides how many seconds a fast shutdown may take. It imports the standard library
only: it stays for as long as the server does.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promoportal.db.embedded import binaries
from promoportal.db.embedded.data_directory import House, lock, open_private, server_of

# The one superuser. Who may open the socket may do all: the folder's mode is the guard.
ROLE = "portal"

# Linux takes 107 bytes, macOS 103.
MAX_SOCKET_PATH = 103
_AWKWARD = re.compile(r"""[,"'\\@]""")

# A file in such rooms that says whose they are: a hard link of one in the home, as the
# number of its names tells a home that was deleted from one that was moved.
_NOTE = "home"

_FAST, _IMMEDIATE = signal.SIGINT, signal.SIGQUIT  # PostgreSQL's words for them
_PR_SET_PDEATHSIG = 1

_SETTINGS = {
    "listen_addresses": "",
    "port": str(House.PORT),
    "unix_socket_permissions": "0700",
    # Durable: what was committed survives a power cut.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Small: a desk runs other things too.
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    # In containers the memory that parallel plans share is often 64 MB.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "log_checkpoints": "off",
    # What failed, without the customers' data: the end of the log is in our errors.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
    "cluster_name": "promoportal",
}
_LARGEST_LOG = 4_000_000  # bytes; the one before is kept as postgres.log.old


@dataclass(frozen=True)
class Keeper:
    """One start of one house's server, and its end."""

    house: House
    user: pwd.struct_passwd | None
    patience: float  # seconds that a fast shutdown may take

    def make_rooms(self) -> None:
        rooms = self.house.rooms
        if not rooms.exists():
            rooms.unlink(missing_ok=True)
            self._furnish(rooms)
            if self.user and not binaries.may_enter(rooms, self.user):
                rooms.rmdir()
                self._move_outside(self.user)

    def _move_outside(self, user: pwd.struct_passwd) -> None:
        """
        Keep the rooms where the server may enter them; the home keeps a link.

        No folder above the home is opened for that: it may hold other private things.
        """
        if not binaries.OUTSIDE.exists():
            binaries.OUTSIDE.mkdir(parents=True, exist_ok=True)
            binaries.OUTSIDE.chmod(0o711)
        self._clear_outside()
        rooms = Path(tempfile.mkdtemp(dir=binaries.OUTSIDE))
        self._furnish(rooms)
        if not binaries.may_enter(rooms, user):
            rooms.rmdir()
            msg = f"{user.pw_name}, who would run PostgreSQL, may not enter {binaries.OUTSIDE}."
            raise PermissionError(msg)
        self.house.rooms.symlink_to(rooms)
        note = self.house.home / "postgres.home"
        note.unlink(missing_ok=True)
        note.write_text(str(self.house.home))
        with suppress(OSError):  # on another disk; then they are never cleared
            (rooms / _NOTE).hardlink_to(note)

    def _clear_outside(self) -> None:
        """Remove rooms whose home was deleted."""
        for note in binaries.OUTSIDE.glob(f"*/{_NOTE}"):
            rooms = note.parent
            with suppress(OSError):
                is_linked = House(Path(note.read_text())).rooms.resolve() == rooms
                is_gone = note.stat().st_nlink == 1 and not is_linked
                if is_gone and not server_of(rooms / "data"):
                    shutil.rmtree(rooms, ignore_errors=True)

    def _furnish(self, rooms: Path) -> None:
        """The server's user may pass through, and write only in its own folders."""
        rooms.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            os.chown(rooms, self.house.home.stat().st_uid, self.user.pw_gid)
            rooms.chmod(0o710)

    def _private(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        return folder

    def end_orphan(self) -> None:
        """
        End a server whose keeper was killed.

        Where the system tells it of its parent's death it is ending already.
        """
        for sign, seconds in self._words():
            pid = server_of(self.house.data)
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
            self._wait_for_end(seconds=seconds)
        self.disown()

    def _wait_for_end(self, *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and server_of(self.house.data):
            time.sleep(0.05)

    def _words(self) -> Iterator[tuple[signal.Signals, float]]:
        """
        How it is told to end, ever more plainly, and how long each is waited for.

        A fast shutdown that comes while it recovers from a crash may wait for itself for
        ever. After the others it recovers with the next start what was committed.
        """
        yield from ((_FAST, self.patience), (_FAST, self.patience))
        # By then it has killed what does not end, five seconds after the word.
        yield from ((_IMMEDIATE, 10), (signal.SIGKILL, 10))

    def disown(self) -> None:
        """
        Let PostgreSQL pass a pid file whose pid may by now be someone else's.

        It ignores its parent's pid. To remove the file would be wrong: it also names
        the memory by which it finds out that processes of the dead server still live.

        :raises TimeoutError: if it is the pid of a server that outlived all words
        """
        if pid := server_of(self.house.data):
            msg = (
                f"PostgreSQL (process {pid}) does not end, even if it is killed. Its "
                "data is left alone until it does; restart the machine if it never does."
            )
            raise TimeoutError(msg)
        file = self.house.data / "postmaster.pid"
        with suppress(FileNotFoundError):
            lines = file.read_text().splitlines()
            # Written in place, so that it stays the server's own file.
            file.write_text("\n".join([str(os.getpid()), *lines[1:7], ""]))

    def make_data(self, folder: Path) -> None:
        """Make the data, whole or not at all."""
        if self.house.data.exists():
            return
        # By its real path: the server may not follow a link through our folder.
        unfinished = self.house.rooms.resolve() / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._private(unfinished)
        self._run(
            [
                str(folder / "initdb"),
                f"--pgdata={unfinished}",
                f"--username={ROLE}",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--auth-local=trust",
                "--auth-host=reject",
                "--no-instructions",
            ]
        ).check_returncode()
        unfinished.rename(self.house.data)
        _sync(self.house.rooms)

    def make_run(self) -> Path:
        """A private folder for the socket, its path short enough to be one."""
        run = self.house.run
        if run.is_symlink() and not self._is_ours(run):
            run.unlink()
        if not run.exists():
            self._private(run)
        if not run.is_symlink() and not _fits(run.resolve()):
            run.rmdir()
            # The name can't be guessed, and what others may have put there since is
            # seen by its owner.
            short = tempfile.mkdtemp(prefix="portal-", dir="/tmp")
            run.symlink_to(self._private(Path(short)))
        for leftover in run.glob(".s.PGSQL.*"):
            leftover.unlink()
        return run.resolve()

    def _is_ours(self, run: Path) -> bool:
        with suppress(OSError):
            found = run.stat()
            owner = self.user.pw_uid if self.user else os.geteuid()
            return found.st_uid == owner and not found.st_mode & 0o077
        return False

    def start(self, folder: Path, run: Path) -> subprocess.Popen[bytes]:
        settings = _SETTINGS | {"unix_socket_directories": str(run)}
        return self._popen(
            [
                str(folder / "postgres"),
                "-D",
                str(self.house.data.resolve()),
                *(f"--{name}={value}" for name, value in settings.items()),
            ]
        )

    def stop_when_unused(self, server: subprocess.Popen[bytes], users: int) -> None:
        """Wait until no user is left. Who comes now waits for our end, and starts anew."""
        fcntl.flock(users, fcntl.LOCK_EX)
        self.end(server)

    def end(self, server: subprocess.Popen[bytes]) -> None:
        """End our own server, whatever becomes of its folder meanwhile."""
        for sign, seconds in self._words():
            server.send_signal(sign)
            with suppress(subprocess.TimeoutExpired):
                server.wait(seconds)
                break

    def clear_run(self) -> None:
        if self.house.run.is_symlink():
            with suppress(OSError):
                self.house.run.resolve().rmdir()
                self.house.run.unlink()

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        with self._popen(command) as process:
            return subprocess.CompletedProcess(command, process.wait())

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=_environment(os.environ),
            preexec_fn=_end_with_parent,  # noqa: PLW1509 no other thread runs yet
            user=self.user and self.user.pw_uid,
            group=self.user and self.user.pw_gid,
            extra_groups=[] if self.user else None,
        )


def _environment(outer: Mapping[str, str]) -> dict[str, str]:
    """Without PGPORT and the like, which PostgreSQL would take for orders."""
    kept = ("PATH", "LD_LIBRARY_PATH")
    return {name: outer[name] for name in kept if name in outer} | {"LC_ALL": "C"}


def _end_with_parent() -> None:
    """A fast shutdown when the keeper is killed, where the system can arrange it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(_FAST), 0, 0, 0)


def _fits(run: Path) -> bool:
    name = os.fsencode(run / House.SOCKET)
    return len(name) <= MAX_SOCKET_PATH and not _AWKWARD.search(str(run))


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write_log(house: House) -> None:
    """Say everything into the log from now on, PostgreSQL included."""
    with suppress(FileNotFoundError):
        if house.log.stat().st_size > _LARGEST_LOG:
            house.log.rename(house.log.with_suffix(".log.old"))
    file = open_private(house.log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    os.close(file)


def keep(house: House, wheel: Path, patience: float) -> int:
    """Start the server and stay until it ends. The exit code is the server's."""
    keeper = Keeper(house, house.server_user(), patience)
    # First of all: a home that is deleted meanwhile must not keep us from waiting.
    users = open_private(house.users, os.O_RDWR)
    keeper.make_rooms()
    major = house.data / "PG_VERSION"
    folder = binaries.of_version(
        wheel, major.read_text().strip() if major.exists() else None
    )
    folder = binaries.within_reach(folder, keeper.user, house.rooms.resolve())
    keeper.end_orphan()
    keeper.make_data(folder)
    server = keeper.start(folder, keeper.make_run())
    signal.signal(signal.SIGTERM, lambda *_: _aside(keeper.end, server))
    _aside(keeper.stop_when_unused, server, users)
    code = server.wait()
    keeper.clear_run()
    return abs(code)


def _aside(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def main(home: str, wheel: str, patience: str = "20") -> None:
    """Return when there is a keeper: this process's child, or one that was faster."""
    house = House(Path(home))
    with lock(house.keeping, fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
        # The child holds the lock from here on: a lock is shared with forks.
        if held and os.fork() == 0:
            os._exit(_keep_in_peace(house, Path(wheel), float(patience)))


def _keep_in_peace(house: House, wheel: Path, patience: float) -> int:
    os.setsid()
    os.chdir("/")
    _write_log(house)
    try:
        return keep(house, wheel, patience)
    except (LookupError, OSError, subprocess.SubprocessError) as error:
        os.write(sys.stderr.fileno(), f"{error}\n".encode())
        return 1


if __name__ == "__main__":
    main(*sys.argv[1:])
