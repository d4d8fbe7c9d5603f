"""Homes for embedded servers, and processes that use them."""

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
from promoportal.db.embedded.data_directory import House

ROOT = Path(__file__).resolve().parents[4]
VISITOR = Path(__file__).with_name("user_process.py")
OUTSIDE = Path("/var/lib/promoportal")


class Visitor:
    """A process that uses the embedded database until it leaves, or is killed."""

    def __init__(self, home: Path, **environment: str) -> None:
        outer = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
        paths = [environment.pop("PYTHONPATH", ""), str(ROOT), outer.get("PYTHONPATH")]
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", VISITOR, home],
            env=outer
            | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
            | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, sql: str) -> None:
        """Ask without waiting for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{sql}\n")
        self.process.stdin.flush()

    def hear(self) -> object:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, sql: str) -> object:
        self.begin(sql)
        return self.hear()

    def value(self, sql: str) -> object:
        answer = self.ask(sql)
        assert isinstance(answer, list), answer
        return answer[0][0]

    def leave(self) -> None:
        with self.process:
            assert self.process.stdin is not None
            self.process.stdin.close()

    def kill(self) -> None:
        with self.process:
            self.process.kill()


Enter = Callable[..., Visitor]


def processes(house: House) -> dict[int, str]:
    """The keeper and the server of that house, by pid."""
    said = subprocess.run(
        ["ps", "-axww", "-o", "pid=,command="],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = (line.split(maxsplit=1) for line in said.splitlines())
    keepers = f"promoportal.db.embedded.keeper {house.home} "
    return {
        int(pid): "keeper" if keepers in command else "server"
        for pid, command in found
        if keepers in command or f"-D {house.data.resolve()} " in command
    }


def the(name: str, house: House) -> int:
    """The pid of the one keeper, or server."""
    [pid] = [pid for pid, called in processes(house).items() if called == name]
    return pid


def is_left(house: House, within: float = 8) -> bool:
    """Whether nothing runs there any more."""
    return eventually(lambda: not processes(house), within)


def eventually(is_so: Callable[[], bool], within: float = 8) -> bool:
    deadline = time.monotonic() + within
    while not is_so():
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
def lived_in(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("lived") / ".portal")
    visitor = Visitor(house.home)
    said = visitor.ask("SELECT 1")
    visitor.leave()
    assert said == [[1]]
    yield house
    clear(house)


@pytest.fixture
def house(lived_in: House) -> House:
    """A house with nobody there, whose data was made before, as that takes longest."""
    assert is_left(lived_in)
    return lived_in


@pytest.fixture
def new_house(wheel: Path, tmp_path: Path) -> Iterator[House]:
    """A house that does not exist yet."""
    house = House(tmp_path / "clone" / ".portal")
    yield house
    clear(house)


def clear(house: House) -> None:
    """Leave nothing of it behind: as root, its rooms may be elsewhere."""
    is_left(house)
    rooms = house.rooms.resolve()
    if OUTSIDE in rooms.parents:
        shutil.rmtree(rooms)


@pytest.fixture
def enter(request: pytest.FixtureRequest) -> Iterator[Enter]:
    """Start a visitor. Who has not left by the end of the test is killed."""
    # Made before us, so that it is cleared after the last visitor is gone.
    for name in {"house", "new_house"} & set(request.fixturenames):
        request.getfixturevalue(name)
    with ExitStack() as stack:

        def start(house: House, **environment: str) -> Visitor:
            visitor = Visitor(house.home, **environment)
            stack.callback(visitor.kill)
            return visitor

        yield start
