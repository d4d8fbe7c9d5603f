"""A PostgreSQL server with a standby, at an address that follows the primary."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urlencode

import psycopg

from bench.chaos.processes import send
from promoportal.db.embedded import binaries
from promoportal.db.embedded.data_directory import Layout
from promoportal.db.embedded.keeper import ROLE, Keeper, stop_with_parent

# The portal's role. It is not a superuser, so it cannot use the reserved connections.
_PORTAL = "portal_app"
_SETTINGS = {
    "listen_addresses": "",
    "port": str(Layout.PORT),
    "unix_socket_permissions": "0700",
    # Enough for two hosts, and few enough to use all of them up quickly.
    "max_connections": "120",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "wal_keep_size": "256MB",
    # A standby must allow as many as its primary. In containers the shared memory of
    # parallel plans is often limited to 64 MB.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
}
_TIMEOUT = 120.0


class Server:
    """One PostgreSQL server, below its own folder, and without a keeper."""

    def __init__(self, home: Path, log: IO[bytes], programs: Path | None) -> None:
        self.layout = Layout(home)
        self.layout.make()
        self._log = log
        self._keeper = Keeper(self.layout, self.layout.server_user(), patience=20)
        self._keeper.make_folder()
        self.programs = programs or self._find_programs()
        self.run = self._keeper.make_run()
        self.process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Create an empty database cluster."""
        self._wait_for("initdb", *_initdb(self._new_data()))

    def copy_of(self, primary: Server) -> subprocess.Popen[bytes]:
        """Begin to copy a primary, so that this server can follow it."""
        return self._start(
            "pg_basebackup",
            f"--pgdata={self._new_data()}",
            f"--host={primary.run}",
            f"--port={Layout.PORT}",
            f"--username={ROLE}",
            "--checkpoint=fast",
            "--wal-method=stream",
            "--write-recovery-conf",
        )

    def begin(self) -> None:
        """Begin to start the server."""
        settings = _SETTINGS | {"unix_socket_directories": str(self.run)}
        words = (f"--{name}={value}" for name, value in settings.items())
        self.process = self._start("postgres", "-D", str(self._data), *words)

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        self.begin()
        until = time.monotonic() + _TIMEOUT
        while not self.accepts():
            if time.monotonic() > until or not self.is_up:
                raise RuntimeError(f"PostgreSQL did not start in {self.layout.home}.")
            time.sleep(0.1)

    def crash(self) -> bool:
        """Stop the server immediately, without a checkpoint; return False if down."""
        return self.is_up and send(self.pid, signal.SIGQUIT)

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self) -> None:
        """Stop the server, and wait until it has ended."""
        if self.process is None:
            return
        for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            send(self.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
                return

    def wait(self) -> None:
        """Wait until a crash has ended all processes of the server."""
        assert self.process is not None
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def clear_run(self) -> None:
        self._keeper.clear_run()

    def remove(self) -> None:
        """Wait for the end of the server, and delete its data and its socket."""
        self.wait()
        self.clear_run()
        shutil.rmtree(self._data, ignore_errors=True)

    def rows(
        self, sql: str, parameters: Sequence[Any] = (), database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Execute a statement as the superuser, and return its rows."""
        with self._connect(ROLE, database) as session:
            cursor = session.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def connect_as_portal(self) -> psycopg.Connection[Any]:
        return self._connect(_PORTAL, "portal")

    def _connect(self, role: str, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=str(self.run),
            port=Layout.PORT,
            user=role,
            dbname=name,
            autocommit=True,
            connect_timeout=5,
        )

    def accepts(self) -> bool:
        with suppress(psycopg.OperationalError):
            self.rows("SELECT 1")
            return True
        return False

    @property
    def _data(self) -> Path:
        return self.layout.folder.resolve() / "data"

    def _new_data(self) -> Path:
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        if user := self._keeper.user:
            os.chown(self._data, user.pw_uid, user.pw_gid)
        return self._data

    def _find_programs(self) -> Path:
        wheel = binaries.find()
        if wheel is None:
            raise RuntimeError("There is no PostgreSQL for this platform.")
        folder = binaries.of_version(wheel, None)
        reachable = self.layout.folder.resolve()
        return binaries.within_reach(folder, self._keeper.user, reachable)

    def _wait_for(self, program: str, *words: str) -> None:
        if code := self._start(program, *words).wait(_TIMEOUT):
            raise RuntimeError(f"{program} exited with {code}.")

    def _start(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        user = self._keeper.user
        return subprocess.Popen(
            [str(self.programs / program), *words],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd="/",
            env={"LC_ALL": "C"},
            # If the fault test is killed, its servers end, too.
            preexec_fn=stop_with_parent,  # noqa: PLW1509 before any other thread
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=[] if user else None,
        )


def _initdb(data: Path) -> list[str]:
    return [
        f"--pgdata={data}",
        f"--username={ROLE}",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--auth-local=trust",
        "--auth-host=reject",
        "--no-instructions",
    ]


class ReplicatedDatabase:
    """
    A primary and a standby that follows it.

    `url` stays the same when the standby takes over: it names a link to the folder of
    the primary's socket, as a host name would.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._number = 0
        self._copying: subprocess.Popen[bytes] | None = None
        self.primary: Server | None = None
        self.standby: Server | None = None
        self.standby_follows = False

    def __enter__(self) -> Self:
        self._log = (self._home / "postgres.log").open("ab")
        # A short path, because the path of a socket is limited to about 100 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
        self._link = self._folder / "db"
        self.primary = self._new_server()
        self.primary.create()
        self.primary.start()
        self._point_to(self.primary)
        self.primary.rows(f"CREATE ROLE {_PORTAL} LOGIN")
        self.primary.rows(f"CREATE DATABASE portal OWNER {_PORTAL}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._copying:
            self._copying.kill()
            self._copying.wait()
        for server in (self.standby, self.primary):
            if server:
                server.end()
                server.clear_run()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._log.close()

    @property
    def url(self) -> str:
        address = urlencode({"host": str(self._link), "port": Layout.PORT})
        return f"postgresql://{_PORTAL}@/portal?{address}"

    @property
    def is_up(self) -> bool:
        return self.primary is not None and self.primary.is_up

    @property
    def pid(self) -> int | None:
        """Return the pid of the primary's main process, or None if it is down."""
        return self.primary.pid if self.primary and self.primary.is_up else None

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """
        Execute a statement on the portal's data as the superuser; return its rows.

        :raises psycopg.Error: if the server is down, among other reasons
        """
        assert self.primary is not None
        return self.primary.rows(sql, parameters, "portal")

    def restart(self) -> None:
        """Start the primary again after a crash; it recovers all committed data."""
        assert self.primary is not None
        self.primary.wait()
        self.primary.start()

    def prepare_standby(self) -> None:
        """Continue to build a standby, without waiting for the copy of the primary."""
        if self.standby_follows or not self.is_up:
            return
        assert self.primary is not None
        if self.standby is None:
            self.standby = self._new_server()
        if self.standby.is_up:
            self.standby_follows = self.standby.accepts()
        elif self._copying is None:
            self._copying = self.standby.copy_of(self.primary)
        elif (code := self._copying.poll()) is not None:
            self._copying = None
            if code == 0:
                self.standby.begin()

    def hold_standby_back(self) -> None:
        """Cut the standby off from the primary, so that it falls behind."""
        assert self.standby is not None
        self.standby_follows = False
        self.standby.rows("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.rows("SELECT pg_reload_conf()")
        until = time.monotonic() + 10
        while self.standby.rows("SELECT 1 FROM pg_stat_wal_receiver"):
            if time.monotonic() > until:
                raise RuntimeError("The standby still receives from the primary.")
            time.sleep(0.02)

    def fail_over(self) -> None:
        """Kill the primary permanently, and let the standby take over its address."""
        assert self.primary is not None
        assert self.standby is not None
        self.primary.crash()
        self.primary.remove()
        self.standby.rows("SELECT pg_promote(true, 60)")
        self._point_to(self.standby)
        self.primary, self.standby = self.standby, None

    def _point_to(self, server: Server) -> None:
        new = self._folder / "new"
        new.symlink_to(server.run)
        new.replace(self._link)

    def _new_server(self) -> Server:
        self._number += 1
        programs = self.primary.programs if self.primary else None
        return Server(self._home / f"database-{self._number}", self._log, programs)
