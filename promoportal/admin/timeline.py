from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.html import format_html

from promoportal.admin.formatting import badge


@dataclass(frozen=True)
class Moment:
    """An event of a row or of its related rows."""

    at: datetime
    what: str
    by: str = ""
    why: str = ""
    detail: str = ""


# Maximum number of transitions on a timeline, which shows the latest ones.
MAX_TRANSITIONS = 200


def transitions_of(row: Any, what: str = "") -> list[Moment]:
    """Return the transitions of a row; `what` is a text before each state."""
    latest = row.transitions.select_related("by").order_by("-pk")[:MAX_TRANSITIONS]
    # The labels of the states of all state machines of the row.
    fields = [row._meta.get_field(name) for name in row.machines]
    labels = {value: label for each in fields for value, label in each.flatchoices}
    return [_moment(move, labels, what) for move in reversed(latest)]


def _moment(move: Any, labels: dict[str, str], what: str) -> Moment:
    shown = badge(move.after, labels.get(move.after, move.after))
    return Moment(
        at=move.at,
        what=format_html("{} {}", what, shown) if what else shown,
        by=str(move.by) if move.by else "",
        why=move.why,
    )
