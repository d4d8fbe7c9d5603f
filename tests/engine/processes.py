"""Real processes: their families, their ends, and what they said."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Relative(NamedTuple):
    pid: int
    parent: int
    state: str
    command: str


class Line(NamedTuple):
    what: str
    pk: int
    pid: int


class Book:
    """What jobs wrote while they ran, line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, what: str = "") -> list[Line]:
        text = self.path.read_text() if self.path.exists() else ""
        found = (line.split() for line in text.splitlines())
        return [
            Line(word, int(pk), int(pid))
            for word, pk, pid in found
            if what in ("", word)
        ]

    def wait(self, what: str, pk: int | None = None, *, count: int = 1) -> Line:
        """The latest such line, once there are that many."""

        def found() -> list[Line]:
            return [line for line in self.lines(what) if pk in (None, line.pk)]

        until(lambda: len(found()) >= count, f"{count} times {what} {pk or ''}")
        return found()[-1]


def until(is_so: Callable[[], object], what: str, *, seconds: float = 20) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"Not so after {seconds} s: {what}"
        time.sleep(0.05)


def everyone() -> dict[int, Relative]:
    said = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,stat=,command="],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = (line.split(None, 3) for line in said.splitlines())
    return {
        int(row[0]): Relative(int(row[0]), int(row[1]), row[2], row[-1])
        for row in rows
        if not row[2].startswith("Z")
    }


def children(pid: int) -> list[int]:
    """Who a process started, the oldest first."""
    return sorted(one.pid for one in everyone().values() if one.parent == pid)


def family(pid: int) -> set[int]:
    """A process and all its descendants."""
    alive = everyone()
    found = {pid} & alive.keys()
    while more := {p for p, one in alive.items() if one.parent in found} - found:
        found |= more
    return found


def kill(pid: int, sign: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, sign)


def are_gone(pids: set[int]) -> bool:
    return not pids & everyone().keys()
