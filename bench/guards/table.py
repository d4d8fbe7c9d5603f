"""The table of all guards in docs/guarantees.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.guards.guard_list import Guard
from bench.guards.removal import ROOT, Removal

PAGE = ROOT / "docs" / "guarantees.md"
_BEGIN, _END = "<!-- guards: begin -->\n", "<!-- guards: end -->"
_HEAD = "| Guard | Without it | Code | Detected by |\n|---|---|---|---|\n"


def row(guard: Guard, detected_by: str) -> str:
    """Return the line of the table for a guard."""
    path, _, test = detected_by.partition("[")[0].partition("::")
    return f"| `{guard.id}` | {guard.guarantee} | `{guard.file}` | `{path}`: {test} |\n"


def write(removals: Iterable[Removal], page: Path = PAGE) -> None:
    """Replace the table in the page; a guard that no test detected gets an empty cell."""
    rows = "".join(row(removal.guard, removal.detected_by) for removal in removals)
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}{_HEAD}{rows}{_END}{after}", encoding="utf-8")
