from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.html import format_html

from promoportal.admin.formatting import badge


@dataclass(frozen=True)
class Moment:
    """Something that happened to a row, or to what belongs to it."""

    at: datetime
    what: str
    by: str = ""
    why: str = ""
    detail: str = ""


# Of a row that moved more often than this, the latest moves are told.
MAX_TRANSITIONS = 200


def moves_of(row: Any, labels: dict[str, str], what: str = "") -> list[Moment]:
    """The transitions of a row, each with who and why."""
    latest = row.transitions.select_related("by").order_by("-pk")[:MAX_TRANSITIONS]
    return [
        Moment(
            at=move.at,
            what=_moved(move.after, labels, what),
            by=str(move.by) if move.by else "",
            why=move.why,
        )
        for move in reversed(latest)
    ]


def _moved(after: str, labels: dict[str, str], what: str) -> str:
    shown = badge(after, labels.get(after, after))
    return format_html("{} {}", what, shown) if what else shown
