"""
The keeper, which starts the server as its child, and stops a server without users.

The first user runs `python -m promoportal.db.embedded.keeper PORTAL_HOME WHEEL`. Tests
add the seconds that a fast shutdown may take. The keeper imports the standard library
only, to stay small, because it runs as long as the server.
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
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promoportal.db.embedded import binaries
from promoportal.db.embedded.data_directory import Layout, lock, open_private, server_of

# The only superuser. Access to the socket gives all rights, so its folder is private.
ROLE = "portal"

# The longest path of a socket in bytes: 107 on Linux, 103 on macOS.
MAX_SOCKET_PATH = 103
_AWKWARD = re.compile(r"""[,"'\\@]""")

# A file with the path of the home, in a folder outside the home. It is a hard link to a
# file in the home. If it has no other link, the home was deleted, and not only moved.
_NOTE = "home"

_FAST, _IMMEDIATE = signal.SIGINT, signal.SIGQUIT  # PostgreSQL's names of shutdowns
_PR_SET_PDEATHSIG = 1

_SETTINGS = {
    "listen_addresses": "",
    "port": str(Layout.PORT),
    "unix_socket_permissions": "0700",
    # Durable: committed data survives a power cut.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Small: a development machine also runs other programs.
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    # In containers the shared memory of parallel plans is often limited to 64 MB.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "log_checkpoints": "off",
    # No customer data in the log, because an error message quotes the log's last lines.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
    "cluster_name": "promoportal",
}
_LARGEST_LOG = 4_000_000  # bytes; the previous log is kept as postgres.log.old


@dataclass(frozen=True)
class Keeper:
    """One run of an embedded server, from start to stop."""

    layout: Layout
    user: pwd.struct_passwd | None
    patience: float  # seconds that a fast shutdown may take

    def make_folder(self) -> None:
        folder = self.layout.folder
        if not folder.exists():
            folder.unlink(missing_ok=True)
            self._grant_access(folder)
            if self.user and not binaries.may_enter(folder, self.user):
                folder.rmdir()
                self._move_outside(self.user)

    def _move_outside(self, user: pwd.struct_passwd) -> None:
        """
        Create the server's folder outside the home, and link to it from the home.

        PostgreSQL's user cannot enter the home. The folders above the home keep their
        permissions, because they may contain other private files.
        """
        if not binaries.OUTSIDE.exists():
            binaries.OUTSIDE.mkdir(parents=True, exist_ok=True)
            binaries.OUTSIDE.chmod(0o711)
        self._clear_outside()
        folder = Path(tempfile.mkdtemp(dir=binaries.OUTSIDE))
        self._grant_access(folder)
        if not binaries.may_enter(folder, user):
            folder.rmdir()
            msg = f"{user.pw_name}, who would run PostgreSQL, may not enter {binaries.OUTSIDE}."
            raise PermissionError(msg)
        self.layout.folder.symlink_to(folder)
        note = self.layout.home / "postgres.home"
        note.unlink(missing_ok=True)
        note.write_text(str(self.layout.home))
        with suppress(OSError):  # on another disk: then this folder is never removed
            (folder / _NOTE).hardlink_to(note)

    def _clear_outside(self) -> None:
        """Remove folders whose home was deleted."""
        for note in binaries.OUTSIDE.glob(f"*/{_NOTE}"):
            folder = note.parent
            with suppress(OSError):
                is_linked = Layout(Path(note.read_text())).folder.resolve() == folder
                is_gone = note.stat().st_nlink == 1 and not is_linked
                if is_gone and not server_of(folder / "data"):
                    shutil.rmtree(folder, ignore_errors=True)

    def _grant_access(self, folder: Path) -> None:
        """Create a folder that the server's user may enter, but not write to."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            os.chown(folder, self.layout.home.stat().st_uid, self.user.pw_gid)
            folder.chmod(0o710)

    def _private(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)
        return folder

    def end_orphan(self) -> None:
        """
        Stop a server whose keeper was killed.

        On Linux, the server is already stopping, because the system sent it a signal.
        """
        for sign, seconds in self._signals():
            pid = server_of(self.layout.data)
            if pid is None:
                break
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and server_of(self.layout.data):
                time.sleep(0.05)
        self.clear_stale_pid()

    def _signals(self) -> Iterator[tuple[signal.Signals, float]]:
        """
        Yield the signals that stop the server, and the seconds to wait after each.

        A fast shutdown during crash recovery may hang, so stronger signals follow. The
        next start after a stronger signal recovers all committed data.
        """
        yield from ((_FAST, self.patience), (_FAST, self.patience))
        # Five seconds after the first of these, the server kills its own processes.
        yield from ((_IMMEDIATE, 10), (signal.SIGKILL, 10))

    def clear_stale_pid(self) -> None:
        """
        Write the keeper's pid to a stale pid file.

        If another process has the old pid by now, PostgreSQL may refuse to start. It
        accepts the pid of its parent, the keeper. The file must remain: it names the
        shared memory that shows whether processes of the crashed server still run.

        :raises TimeoutError: if the server survived all signals
        """
        if pid := server_of(self.layout.data):
            raise TimeoutError(
                f"PostgreSQL (process {pid}) cannot be stopped. Its data stays locked "
                "until it stops. If it does not, restart the machine."
            )
        file = self.layout.data / "postmaster.pid"
        with suppress(FileNotFoundError):
            lines = file.read_text().splitlines()
            # Written in place, so that the server still owns the file.
            file.write_text("\n".join([str(os.getpid()), *lines[1:7], ""]))

    def make_data(self, folder: Path) -> None:
        """Create the data unless they exist. Incomplete data have another name."""
        if self.layout.data.exists():
            return
        # Use the real path, because the server may not be able to enter the home.
        unfinished = self.layout.folder.resolve() / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._private(unfinished)
        command = [
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
        with self._popen(command) as initdb:
            if code := initdb.wait():
                raise subprocess.CalledProcessError(code, command)
        unfinished.rename(self.layout.data)
        _sync(self.layout.folder)

    def make_run(self) -> Path:
        """Create a private folder for the socket, and return its short path."""
        run = self.layout.run
        if run.is_symlink() and not self._is_private(run):
            run.unlink()
        if not run.exists():
            self._private(run)
        if not run.is_symlink() and not _fits(run.resolve()):
            run.rmdir()
            # Others cannot guess the name. If they create a folder of this name later,
            # it has another owner.
            short = tempfile.mkdtemp(prefix="portal-", dir="/tmp")
            run.symlink_to(self._private(Path(short)))
        for leftover in run.glob(".s.PGSQL.*"):
            leftover.unlink()
        return run.resolve()

    def _is_private(self, run: Path) -> bool:
        with suppress(OSError):
            status = run.stat()
            owner = self.user.pw_uid if self.user else os.geteuid()
            return status.st_uid == owner and not status.st_mode & 0o077
        return False

    def start(self, folder: Path, run: Path) -> subprocess.Popen[bytes]:
        settings = _SETTINGS | {"unix_socket_directories": str(run)}
        return self._popen(
            [
                str(folder / "postgres"),
                "-D",
                str(self.layout.data.resolve()),
                *(f"--{name}={value}" for name, value in settings.items()),
            ]
        )

    def stop_when_unused(self, server: subprocess.Popen[bytes], users: int) -> None:
        """Wait until no user is left, then stop the server. New users wait for it."""
        fcntl.flock(users, fcntl.LOCK_EX)
        self.end(server)

    def end(self, server: subprocess.Popen[bytes]) -> None:
        """Stop this keeper's server, even if its folder was removed."""
        for sign, seconds in self._signals():
            server.send_signal(sign)
            with suppress(subprocess.TimeoutExpired):
                server.wait(seconds)
                break

    def clear_run(self) -> None:
        if self.layout.run.is_symlink():
            with suppress(OSError):
                self.layout.run.resolve().rmdir()
                self.layout.run.unlink()

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=_environment(),
            preexec_fn=stop_with_parent,  # noqa: PLW1509 no other thread runs yet
            user=self.user and self.user.pw_uid,
            group=self.user and self.user.pw_gid,
            extra_groups=[] if self.user else None,
        )


def _environment() -> dict[str, str]:
    """Return an environment without variables that PostgreSQL reads, such as PGPORT."""
    kept = os.environ.keys() & {"PATH", "LD_LIBRARY_PATH"}
    return {name: os.environ[name] for name in kept} | {"LC_ALL": "C"}


def stop_with_parent() -> None:
    """On Linux, request a fast shutdown of the server if the keeper is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(_FAST), 0, 0, 0)


def _fits(run: Path) -> bool:
    name = os.fsencode(run / Layout.SOCKET)
    return len(name) <= MAX_SOCKET_PATH and not _AWKWARD.search(str(run))


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _write_log(layout: Layout) -> None:
    """Redirect all output, PostgreSQL's included, to the log."""
    with suppress(FileNotFoundError):
        if layout.log.stat().st_size > _LARGEST_LOG:
            layout.log.rename(layout.log.with_suffix(".log.old"))
    file = open_private(layout.log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    os.close(file)


def keep(layout: Layout, wheel: Path, patience: float) -> int:
    """Start the server and wait until it exits. Return its exit code."""
    keeper = Keeper(layout, layout.server_user(), patience)
    # Open this first, so that the keeper can wait even if the home is deleted.
    users = open_private(layout.users, os.O_RDWR)
    keeper.make_folder()
    major = layout.data / "PG_VERSION"
    folder = binaries.of_version(
        wheel, major.read_text().strip() if major.exists() else None
    )
    folder = binaries.within_reach(folder, keeper.user, layout.folder.resolve())
    keeper.end_orphan()
    keeper.make_data(folder)
    server = keeper.start(folder, keeper.make_run())
    signal.signal(signal.SIGTERM, lambda *_: _in_thread(keeper.end, server))
    _in_thread(keeper.stop_when_unused, server, users)
    code = server.wait()
    keeper.clear_run()
    return abs(code)


def _in_thread(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def main(home: str, wheel: str, patience: str = "20") -> None:
    """Fork a keeper and return. If another keeper already runs, only return."""
    layout = Layout(Path(home))
    with lock(layout.keeping, fcntl.LOCK_EX | fcntl.LOCK_NB) as is_first:
        # The child keeps the lock, because forks share it.
        if is_first and os.fork() == 0:
            os._exit(_keep_in_background(layout, Path(wheel), float(patience)))


def _keep_in_background(layout: Layout, wheel: Path, patience: float) -> int:
    os.setsid()
    os.chdir("/")
    _write_log(layout)
    try:
        return keep(layout, wheel, patience)
    except (LookupError, OSError, subprocess.SubprocessError) as error:
        os.write(sys.stderr.fileno(), f"{error}\n".encode())
        return 1


if __name__ == "__main__":
    main(*sys.argv[1:])
