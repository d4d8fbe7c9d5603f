"""Homes of embedded servers, and processes that use them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from promoportal.db.embedded import binaries
from promoportal.db.embedded.data_directory import Layout

ROOT = Path(__file__).resolve().parents[4]
USER_PROCESS = Path(__file__).with_name("user_process.py")
OUTSIDE = Path("/var/lib/promoportal")


class UserProcess:
    """A process that uses the embedded database until it is closed or killed."""

    def __init__(self, home: Path, **environment: str) -> None:
        outer = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
        paths = [environment.pop("PYTHONPATH", ""), str(ROOT), outer.get("PYTHONPATH")]
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", USER_PROCESS, home],
            env=outer
            | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
            | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, sql: str) -> None:
        """Send a statement without waiting for its result."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{sql}\n")
        self.process.stdin.flush()

    def receive(self) -> object:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, sql: str) -> object:
        self.send(sql)
        return self.receive()

    def value(self, sql: str) -> object:
        answer = self.ask(sql)
        assert isinstance(answer, list), answer
        return answer[0][0]

    def close(self) -> None:
        with self.process:
            assert self.process.stdin is not None
            self.process.stdin.close()

    def kill(self) -> None:
        with self.process:
            self.process.kill()


Start = Callable[..., UserProcess]


def processes(layout: Layout) -> dict[int, str]:
    """Return the keeper and the server of this layout by pid."""
    output = subprocess.run(
        ["ps", "-axww", "-o", "pid=,command="],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = (line.split(maxsplit=1) for line in output.splitlines())
    keepers = f"promoportal.db.embedded.keeper {layout.home} "
    return {
        int(pid): "keeper" if keepers in command else "server"
        for pid, command in found
        if keepers in command or f"-D {layout.data.resolve()} " in command
    }


def pid_of(name: str, layout: Layout) -> int:
    """Return the pid of the one keeper, or server."""
    [pid] = [pid for pid, kind in processes(layout).items() if kind == name]
    return pid


def is_stopped(layout: Layout, within: float = 8) -> bool:
    """Return whether no process of this layout runs any more."""
    return eventually(lambda: not processes(layout), within)


def eventually(condition: Callable[[], bool], within: float = 8) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="session")
def wheel() -> Path:
    found = binaries.find()
    if found is None:
        pytest.skip("There is no embedded PostgreSQL for this platform.")
    return found


@pytest.fixture(scope="session")
def used_layout(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Layout]:
    layout = Layout(tmp_path_factory.mktemp("lived") / ".portal")
    user = UserProcess(layout.home)
    answer = user.ask("SELECT 1")
    user.close()
    assert answer == [[1]]
    yield layout
    clear(layout)


@pytest.fixture
def layout(used_layout: Layout) -> Layout:
    """A home without users whose data exists already, because creating it is slow."""
    assert is_stopped(used_layout)
    return used_layout


@pytest.fixture
def new_layout(wheel: Path, tmp_path: Path) -> Iterator[Layout]:
    """A home that does not exist yet."""
    layout = Layout(tmp_path / "clone" / ".portal")
    yield layout
    clear(layout)


def clear(layout: Layout) -> None:
    """Remove all files: as root, the server's folder may be outside the home."""
    is_stopped(layout)
    folder = layout.folder.resolve()
    if OUTSIDE in folder.parents:
        shutil.rmtree(folder)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start a user process, which is killed at the end of the test at the latest."""
    # Requested first, so that it is cleared after the last user has exited.
    for name in {"layout", "new_layout"} & set(request.fixturenames):
        request.getfixturevalue(name)
    with ExitStack() as stack:

        def open_user(layout: Layout, **environment: str) -> UserProcess:
            user = UserProcess(layout.home, **environment)
            stack.callback(user.kill)
            return user

        yield open_user
