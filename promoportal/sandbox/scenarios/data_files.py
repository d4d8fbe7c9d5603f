"""Readers of the other files of a scenario: lists, tables of customers, texts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

from promoportal.sandbox.engine import EVENT, Value
from promoportal.sandbox.scenarios.compact_columns import decimals, interned
from promoportal.sandbox.scenarios.population import ID, Customers
from promoportal.toml.problems import Problems
from promoportal.toml.tables import Table

# CONFIRMED (optimove.md, section 5): a CSV of one column, at most 10 MB.
MAX_BYTES = 10 * 1024 * 1024
_MAX_PROBLEMS_SHOWN = 10


class _File:
    """The text of a file, with a limit on the number of problems that are reported."""

    def __init__(self, path: Path, text: str, problems: Problems) -> None:
        self.path = path
        self.text = text
        self._problems = problems
        self._wrong = 0

    def wrong(self, line: int, sentence: str) -> None:
        """Add a problem. After ten problems, further problems are only counted."""
        self._wrong += 1
        if self._wrong <= _MAX_PROBLEMS_SHOWN:
            self._problems.elsewhere(self.path, line, sentence)

    def end(self) -> None:
        more = self._wrong - _MAX_PROBLEMS_SHOWN
        if more > 0:
            line = self.text.count("\n") + 1
            self._problems.elsewhere(
                self.path, line, f"{more:,} more lines have errors."
            )

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the last line's number and the fields of each row that is not empty."""
        reader = csv.reader(io.StringIO(self.text, newline=""))
        for row in reader:
            if any(field.strip() for field in row):
                yield reader.line_num, [field.strip() for field in row]


def text(table: Table, key: str) -> tuple[Path, str] | None:
    """Return the path and the text of the file named in a key, or None."""
    found = _read(table, key)
    return (found.path, found.text) if found else None


def column(table: Table, key: str) -> tuple[str, ...]:
    """Return the values of a CSV file with one column and without a header."""
    found = _read(table, key, most=MAX_BYTES)
    if found is None:
        return ()
    lines: dict[str, int] = {}
    for line, row in found.rows():
        if len(row) != 1 or re.search("[;\t]", row[0]):
            found.wrong(line, "There must be one column, without a header.")
        elif row[0] in lines:
            found.wrong(line, f'"{row[0]}" is also on line {lines[row[0]]}.')
        else:
            lines[row[0]] = line
    if not found.text.strip():
        found.wrong(1, "There must be one value on each line; the file is empty.")
    found.end()
    return tuple(lines)


def _read(table: Table, key: str, *, most: int | None = None) -> _File | None:
    name = table.text(key)
    if not name:
        return None
    path = table.problems.file.parent / name
    try:
        size = path.stat().st_size
        if most is not None and size > most:
            reason = (
                f"has {size / 1024**2:.1f} MB; the maximum is {most // 1024**2} MB."
            )
            table.wrong(key, f'names "{name}", which {reason}')
            return None
        content = path.read_bytes()
    except OSError as error:
        table.wrong(key, f'names "{name}", which cannot be read: {error.strerror}.')
        return None
    return _File(path, _decoded(content, path, table.problems), table.problems)


def _decoded(content: bytes, path: Path, problems: Problems) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.elsewhere(path, line, "The file is not valid UTF-8.")
        return content.decode("utf-8-sig", errors="replace")


# --- Customers ------------------------------------------------------------------------


def customers(table: Table, key: str, most: int | None) -> Customers | None:
    """Return the first `most` customers of a CSV file with a header, or None."""
    found = _read(table, key)
    if found is None:
        return None
    rows = found.rows()
    line, header = next(rows, (1, []))
    if not _is_header(found, line, header):
        return None
    columns = _columns(found, header, rows, most)
    found.end()
    ids = columns.pop(ID)
    if most is not None and len(ids) < most:
        table.wrong(key, f"has {len(ids):,} customers; {most:,} were requested.")
    return Customers(ids, {name: inferred(texts) for name, texts in columns.items()})


def _is_header(found: _File, line: int, header: Sequence[str]) -> bool:
    if ID not in header:
        found.wrong(line, f"The first line must name the columns, including {ID}.")
        return False
    for name in sorted({name for name in header if header.count(name) > 1}):
        found.wrong(line, f'More than one column is named "{name}".')
    for name in header:
        if not name or name.startswith(EVENT):
            found.wrong(line, f'A column must not be named "{name}".')
    return True


def _columns(
    found: _File,
    header: Sequence[str],
    rows: Iterator[tuple[int, list[str]]],
    most: int | None,
) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {name: [] for name in header}
    seen: dict[str, int] = {}
    place = header.index(ID)
    shared: dict[str, str] = {}
    for line, row in rows:
        if len(seen) == most:
            break
        if len(row) != len(header):
            found.wrong(line, f"There are {len(row)} columns, not {len(header)}.")
        elif not row[place]:
            found.wrong(line, f"The {ID} is missing.")
        elif row[place] in seen:
            found.wrong(line, f'"{row[place]}" is also on line {seen[row[place]]}.')
        else:
            seen[row[place]] = line
            for name, value in zip(header, row, strict=True):
                columns[name].append(shared.setdefault(value, value))
    if not seen:
        found.wrong(1, "There must be at least one customer.")
    return columns


def inferred(texts: Sequence[str]) -> Sequence[Value]:
    """Return a column's values, converted to the first kind that fits all its texts."""
    written = {text for text in texts if text}
    for pattern, read in _KINDS.items():
        if written and all(re.fullmatch(pattern, text) for text in written):
            try:
                values = {text: read(text) for text in written}
            except ValueError:
                continue  # has the form of a date, but is not a date: 2025-02-30
            return interned(values.get(text) for text in texts)
    if written and all(
        re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text) for text in written
    ):
        return decimals(Decimal(text) if text else None for text in texts)
    return interned(text or None for text in texts)


# A number with a leading zero remains a text, because it may be a phone number.
_KINDS: dict[str, Callable[[str], Value]] = {
    r"-?(0|[1-9]\d{0,17})": int,
    r"\d{4}-\d{2}-\d{2}": date.fromisoformat,
    r"(?i:true|false)": lambda text: text.lower() == "true",
}
