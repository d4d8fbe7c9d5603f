"""
A journal of the sandbox's facts, which survive if the process is killed.

Each fact is appended before the request is answered. So an incomplete last line belongs
to a request that was not answered.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Keep = Callable[[str, Mapping[str, Any]], None]
"""A function that takes the kind and the content of a fact, and stores the fact."""


def forget(kind: str, fact: Mapping[str, Any]) -> None:
    """Store nothing. A sandbox without a journal uses this function."""


class Taken(Exception):
    """Another process uses the folder of the journal."""


class Journal:
    """A file of facts in the order in which they were stored."""

    def __init__(self, folder: Path) -> None:
        """Open or create the journal, and remove an incomplete last line."""
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
        """Yield the kind and the content of each fact, the oldest first."""
        with self._path.open("rb") as lines:
            for line in lines:
                kind, fact = json.loads(line)
                yield kind, fact

    def clear(self) -> None:
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        os.close(self._file)

    def _lock(self) -> None:
        """Lock the file until it is closed or the process ends."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            msg = f"Another sandbox uses the folder {self._path.parent}."
            raise Taken(msg) from error

    def _cut_torn_line(self) -> None:
        end = 0
        with self._path.open("rb") as lines:
            for line in lines:
                end += len(line) if line.endswith(b"\n") else 0
        os.ftruncate(self._file, end)
