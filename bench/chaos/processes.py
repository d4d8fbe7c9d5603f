"""The processes of this machine, and the descendants of a process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple


class Process(NamedTuple):
    pid: int
    parent: int
    command: str


def everyone() -> Mapping[int, Process]:
    """Return every process of this machine by its pid, without zombies."""
    listed = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,stat=,command="],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = (line.split(None, 3) for line in listed.splitlines())
    return {
        int(row[0]): Process(int(row[0]), int(row[1]), row[3])
        for row in rows
        if len(row) == 4 and not row[2].startswith("Z")
    }


def descendants(pid: int) -> list[Process]:
    """Return all descendants of a process, the nearest first."""
    alive = everyone()
    found: list[Process] = []
    above = {pid}
    while nearer := [one for one in alive.values() if one.parent in above]:
        found += nearer
        above = {one.pid for one in nearer}
    return found


def send(pid: int, number: int) -> bool:
    """Send a signal; return False if the process has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
