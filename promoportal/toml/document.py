"""A TOML file: its values and the line of each, or the reason why it can't be read."""

from __future__ import annotations

import enum
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from promoportal.toml.lines import Lines


class Fault(enum.Enum):
    """Reasons why a file can't be read. Callers have a message for each."""

    INACCESSIBLE = enum.auto()
    NOT_UTF8 = enum.auto()
    NOT_TOML = enum.auto()


class UnreadableFile(Exception):
    """An error about a file that can't be opened, or is not TOML in UTF-8."""

    def __init__(self, fault: Fault, line: int, reason: object) -> None:
        super().__init__(str(reason))
        self.fault = fault
        self.line = line
        self.reason = str(reason)


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a TOML file, and the lines on which they are."""

    values: dict[str, Any]
    lines: Lines


def read(path: Path, parse_float: Callable[[str], Any] = Decimal) -> Document:
    """
    Read a TOML file.

    :param parse_float: converts the text of a number with a fraction
    :raises UnreadableFile: if the file can't be opened or parsed
    """
    text = _text(path)
    try:
        return Document(tomllib.loads(text, parse_float=parse_float), Lines(text))
    except (ValueError, RecursionError) as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines()) or 1
        raise UnreadableFile(Fault.NOT_TOML, line, error) from error


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFile(Fault.INACCESSIBLE, 1, reason) from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(Fault.NOT_UTF8, line, error) from error
