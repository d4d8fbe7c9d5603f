"""The list of guards, read from the TOML files of this folder."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Guard:
    """
    A guard, the edit that removes it, and the tests that must fail without it.

    `line` is text that occurs once in `file`, and `without` replaces it. If `schedules`
    is set, the schedule explorer must find a violation, too.
    """

    id: str
    guarantee: str
    file: str
    line: str
    without: str
    tests: Sequence[str]
    schedules: bool = False

    def remove_from(self, text: str) -> str:
        """
        Return the text of the file without the guard.

        :raises ValueError: if `line` does not occur exactly once
        """
        count = text.count(self.line)
        if count != 1:
            raise ValueError(
                f"{self.id}: the line occurs {count} times in {self.file}, not once."
            )
        return text.replace(self.line, self.without)


def read(folder: Path = FOLDER) -> list[Guard]:
    """
    Read all guards, in the order of the files.

    :raises ValueError: if two guards have the same ID, or an entry is incomplete
    """
    guards = [guard for path in sorted(folder.glob("*.toml")) for guard in _in(path)]
    known: set[str] = set()
    for guard in guards:
        if guard.id in known:
            raise ValueError(f"{guard.id} is the ID of two guards.")
        known.add(guard.id)
    return guards


def _in(path: Path) -> Iterable[Guard]:
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["guard"]:
        try:
            yield Guard(**entry)
        except TypeError as error:
            raise ValueError(f"{path.name}: {error}.") from error
