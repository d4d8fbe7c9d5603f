"""The table of all guards in docs/guarantees.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.guards import guard_list
from bench.guards.guard_list import Guard
from bench.guards.removal import ROOT, Removal

PAGE = ROOT / "docs" / "guarantees.md"
NOT_RUN = "not run yet"
_BEGIN, _END = "<!-- guards: begin -->\n", "<!-- guards: end -->"
_HEAD = (
    "| Guard | What it prevents or ensures | Code | Detected by |\n|---|---|---|---|\n"
)
_ROW = re.compile(r"^\| `([^`]+)` \| .* \| `[^`]+` \| ([^|]+) \|$", re.MULTILINE)


def row(guard: Guard, detected_by: str) -> str:
    """Return the line of the table for a guard."""
    return f"| `{guard.id}` | {guard.guarantee} | `{guard.file}` | {detected_by} |\n"


def shown(page: Path = PAGE) -> dict[str, str]:
    """Return the test that the table shows for each guard, by the guard's ID."""
    return dict(_ROW.findall(page.read_text(encoding="utf-8")))


def write(removals: Iterable[Removal], page: Path = PAGE) -> None:
    """Update the table with new results; guards without a result are `NOT_RUN`."""
    found = shown(page) | {each.guard.id: _cell(each) for each in removals}
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    table = _HEAD + _rows(found)
    page.write_text(f"{before}{_BEGIN}{table}{_END}{after}", encoding="utf-8")


def _rows(found: Mapping[str, str]) -> str:
    guards = guard_list.read()
    return "".join(row(guard, found.get(guard.id, NOT_RUN)) for guard in guards)


def _cell(removal: Removal) -> str:
    if not removal.is_detected:
        return "**no test**"
    path, _, test = removal.detected_by.partition("[")[0].partition("::")
    return f"`{path}`: {test}"
