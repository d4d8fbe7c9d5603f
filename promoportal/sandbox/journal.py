"""
What both far sides know, written down before they say it; for a sandbox that is killed.

One fact in a line of JSON, appended with one write: what the system took outlives the
process, and a line that was cut off in the middle was never answered for.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Keep = Callable[[str, Mapping[str, Any]], None]
"""Told a kind of fact, and the fact."""


def forget(kind: str, fact: Mapping[str, Any]) -> None:
    """Keep nothing: what is known ends with the process."""


class Taken(Exception):
    """Another sandbox keeps its facts there."""


class Journal:
    """A file of facts, in the order in which they became so."""

    def __init__(self, folder: Path) -> None:
        """
        Open it, or begin it.

        :raises OSError: if the folder cannot be written
        :raises Taken: if another process has it open
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "journal.jsonl"
        self._file = os.open(self._path, os.O_APPEND | os.O_CREAT | os.O_RDWR, 0o600)
        self._lock()
        self._cut_torn_line()

    def keep(self, kind: str, fact: Mapping[str, Any]) -> None:
        line = json.dumps([kind, fact], separators=(",", ":")).encode() + b"\n"
        while line:
            line = line[os.write(self._file, line) :]

    def facts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Everything that was kept, the first first."""
        with self._path.open("rb") as lines:
            for line in lines:
                kind, fact = json.loads(line)
                yield kind, fact

    def begin_anew(self) -> None:
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        os.close(self._file)

    def _lock(self) -> None:
        """Until our process ends, however it does."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            msg = f"Another sandbox keeps what it knows in {self._path.parent}."
            raise Taken(msg) from error

    def _cut_torn_line(self) -> None:
        end = 0
        with self._path.open("rb") as lines:
            for line in lines:
                end += len(line) if line.endswith(b"\n") else 0
        os.ftruncate(self._file, end)
