"""The same deed, done to many rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet

from promoportal.admin.deeds import Done
from promoportal.states import IllegalMove, LostRace


def one_by_one(
    rows: QuerySet[Any],
    act: Callable[..., Any],
    refused: Callable[[Any], str],
    **how: Any,
) -> Done:
    """Do it to each row; those that may not go there stay, and `refused` says why."""
    done = Done()
    for row in rows.order_by("pk"):
        try:
            act(row, **how)
        except IllegalMove:
            done.skipped[refused(row)] += 1
        except LostRace:
            done.skipped["it moved on meanwhile"] += 1
        else:
            done.done += 1
    return done
