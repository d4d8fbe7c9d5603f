"""Real processes: their descendants, their exit, and what their jobs logged."""

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


class JobLog:
    """Lines that jobs wrote while they ran."""

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
        """Wait for `count` such lines. Return the latest."""

        def found() -> list[Line]:
            return [line for line in self.lines(what) if pk in (None, line.pk)]

        until(lambda: len(found()) >= count, f"{count} times {what} {pk or ''}")
        return found()[-1]


def until(
    condition: Callable[[], object], description: str, *, seconds: float = 20
) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"Not so after {seconds} s: {description}"
        time.sleep(0.05)


def all_processes() -> dict[int, Relative]:
    output = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,stat=,command="],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = (line.split(None, 3) for line in output.splitlines())
    return {
        int(row[0]): Relative(int(row[0]), int(row[1]), row[2], row[-1])
        for row in rows
        if not row[2].startswith("Z")
    }


def children(pid: int) -> list[int]:
    """Return the processes that a process started, oldest first."""
    return sorted(
        process.pid for process in all_processes().values() if process.parent == pid
    )


def family(pid: int) -> set[int]:
    """Return a process and all its descendants."""
    alive = all_processes()
    found = {pid} & alive.keys()
    while (
        more := {p for p, process in alive.items() if process.parent in found} - found
    ):
        found |= more
    return found


def kill(pid: int, sign: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, sign)


def are_gone(pids: set[int]) -> bool:
    return not pids & all_processes().keys()
