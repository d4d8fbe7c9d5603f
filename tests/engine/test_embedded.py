"""The server is there for as long as someone uses it, whoever is killed meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from pytest_django import Settings

from promoportal.embedded import programs
from promoportal.embedded.base import DatabaseWrapper
from promoportal.embedded.house import House
from promoportal.embedded.keeper import LONGEST_SOCKET
from tests.engine.processes import are_gone, everyone, kill, until

pytestmark = pytest.mark.skipif(
    not programs.find(), reason="the wheel does not exist for this platform"
)

# A process that uses the server until its standard input ends.
USER = """
import sys
from pathlib import Path
from promoportal.embedded.server import address
print(address(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class User:
    """Another process that uses a house's server."""

    def __init__(self, home: Path) -> None:
        self._address = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(home)],
            cwd=settings.BASE_DIR,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def address(self) -> str:
        """Where it found the server, once it did."""
        assert self.process.stdout
        assert self.process.stderr
        if not self._address:
            said = self.process.stdout.readline().strip()
            self._address = said or self.process.stderr.read()
        return self._address

    def ask(self, question: str) -> object:
        with psycopg.connect(
            host=self.address(), port=House.PORT, user="portal", dbname="postgres"
        ) as server:
            answer = server.execute(question)
            row = answer.fetchone() if answer.description else None
        return row and row[0]

    def leave(self) -> None:
        self.process.kill()
        self.process.communicate()


Come = Callable[[], User]


@pytest.fixture
def home() -> Iterator[Path]:
    """A PORTAL_HOME to be, in a folder that everyone may pass through."""
    around = Path(tempfile.mkdtemp(prefix="engine-"))
    around.chmod(0o711)
    yield around / "home"
    clear(around / "home")
    shutil.rmtree(around)


@pytest.fixture
def come(home: Path) -> Iterator[Come]:
    """New users of the home's server; all of them leave with the test."""
    users: list[User] = []

    def user() -> User:
        users.append(User(home))
        return users[-1]

    yield user
    for one in users:
        one.leave()
    until(lambda: not of(home), "the server and its keeper are gone", seconds=10)


def of(home: Path) -> set[int]:
    """The home's keeper, its server and what is starting."""
    places = {str(home), str(House(home).data.resolve())}
    return {
        one.pid
        for one in everyone().values()
        if places & set(one.command.split()) and USER not in one.command
    }


def keeper_of(home: Path) -> int:
    return everyone()[server_of(home)].parent


def server_of(home: Path) -> int:
    pid = House(home).postmaster()
    assert pid
    return pid


def clear(home: Path) -> None:
    """With what lies outside of it."""
    shutil.rmtree(House(home).rooms.resolve(), ignore_errors=True)


def test_those_who_start_it_at_once_share_one_server(home: Path, come: Come) -> None:
    users = [come() for _ in range(3)]

    began = {user.ask("SELECT pg_postmaster_start_time()") for user in users}

    assert len(began) == 1


def test_the_server_stops_when_its_last_user_was_killed(home: Path, come: Come) -> None:
    first, last = come(), come()
    assert first.ask("SELECT 1") == last.ask("SELECT 1")
    both = {keeper_of(home), server_of(home)}

    first.leave()
    assert both <= everyone().keys()
    last.leave()

    until(lambda: are_gone(both), "nothing is left", seconds=5)
    assert House(home).postmaster() is None


def test_who_comes_while_the_server_stops_gets_another_one(
    home: Path, come: Come
) -> None:
    early = come()
    early.address()
    before = server_of(home)

    early.leave()
    late = come()

    assert late.ask("SELECT 1") == 1
    assert server_of(home) != before


def test_without_its_keeper_the_server_does_not_stay(home: Path, come: Come) -> None:
    user = come()
    user.address()
    server = server_of(home)

    kill(keeper_of(home))
    assert come().ask("SELECT 1") == 1

    assert server_of(home) != server
    assert server not in everyone()


def test_what_was_committed_survives_the_death_of_the_server(
    home: Path, come: Come
) -> None:
    come().ask("CREATE TABLE kept AS SELECT 7 AS number")

    kill(server_of(home))

    assert come().ask("SELECT number FROM kept") == 7


def test_a_pid_that_someone_else_has_by_now_hinders_no_start(
    home: Path, come: Come
) -> None:
    come().address()
    crashed = {keeper_of(home), server_of(home)}
    note = House(home).data / "postmaster.pid"
    kill(keeper_of(home), signal.SIGSTOP)
    kill(server_of(home))
    lines = note.read_text().splitlines()
    note.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))
    for pid in crashed & everyone().keys():
        kill(pid)

    said = _connect(home)

    assert said.stdout == "[(1,)]\n", said.stderr


def test_a_deep_home_has_its_socket_elsewhere(home: Path) -> None:
    deep = home / ("deep" * 30) / "home"
    user = User(deep)

    address = user.address()
    assert len(address) < LONGEST_SOCKET
    assert stat.S_IMODE(Path(address).stat().st_mode) == 0o700
    user.leave()

    until(lambda: not of(deep), "the server and its keeper are gone", seconds=10)
    assert not Path(address).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has homes that others can't")
def test_a_home_that_the_server_may_not_enter_is_not_opened_to_it(home: Path) -> None:
    home.parent.chmod(0o700)
    user = User(home)

    address = Path(user.address())

    assert home.parent not in address.parents
    assert stat.S_IMODE(home.parent.stat().st_mode) == 0o700
    assert not stat.S_IMODE(address.parent.stat().st_mode) & 0o007
    user.leave()
    until(lambda: not of(home), "the server and its keeper are gone", seconds=10)


def test_what_lies_in_the_home_is_private(home: Path, come: Come) -> None:
    come().address()

    everything = [home, *home.rglob("*")]

    assert [found for found in everything if found.stat().st_mode & 0o007] == []
    assert [f for f in everything if f.is_file() and f.stat().st_mode & 0o077] == []


def test_a_server_that_can_not_start_says_why(home: Path, come: Come) -> None:
    user = come()
    user.address()
    server = {keeper_of(home), server_of(home)}
    user.leave()
    until(lambda: are_gone(server), "the server is gone")
    (House(home).data / "global" / "pg_control").write_bytes(b"")

    said = come().address()

    assert "The embedded PostgreSQL did not start. Set DATABASE_URL" in said
    assert "pg_control" in said


def test_outside_debug_it_is_refused_unless_asked_for(settings: Settings) -> None:
    settings.EMBEDDED_DATABASE = False

    with pytest.raises(ImproperlyConfigured, match="Set DATABASE_URL"):
        DatabaseWrapper(dict(connection.settings_dict)).get_connection_params()


def test_without_the_wheel_it_says_what_to_set(home: Path, tmp_path: Path) -> None:
    wheel = programs.find()
    assert wheel
    for package in wheel.parent.iterdir():
        if not package.name.startswith(wheel.name):
            (tmp_path / package.name).symlink_to(package)

    said = subprocess.run(
        [sys.executable, "-S", "-c", USER, str(home)],
        check=False,
        cwd=settings.BASE_DIR,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert "There is no embedded PostgreSQL for this platform" in said.stderr
    assert "set DATABASE_URL" in said.stderr


def _connect(home: Path) -> subprocess.CompletedProcess[str]:
    """Ask by way of Django."""
    script = (
        "from django.db import connection as c; cursor = c.cursor();"
        "cursor.execute('SELECT 1'); print(cursor.fetchall())"
    )
    environment = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", script],
        check=False,
        cwd=settings.BASE_DIR,
        env=environment | {"PORTAL_HOME": str(home), "EMBEDDED_DATABASE": "true"},
        capture_output=True,
        text=True,
    )
