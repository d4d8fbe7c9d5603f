"""Faults of the assignment list, between two pages or in the content of a page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from promoportal.sandbox.faults import Fault
from promoportal.sandbox.messages import Answer, Request, Unreadable, Work, identity
from promoportal.sandbox.optimove.assignment_rows import Row
from promoportal.sandbox.optimove.occurrences import Campaigns, Occurrence

_IDS = ("assignmentId", "customerId")
Around = Callable[[Fault, Occurrence, Work], Answer]


def around_page(
    fault: Fault, request: Request, campaigns: Campaigns, work: Work
) -> Answer:
    """Return the answer with a page, and apply the fault if the list has rows."""
    occurrence = _asked_for(request, campaigns)
    if occurrence is None or not occurrence.rows:
        return work()
    return ON_LISTS[fault.kind](fault, occurrence, work)


def _asked_for(request: Request, campaigns: Campaigns) -> Occurrence | None:
    try:
        name = identity(request.fields().get("occurrenceId"))
    except Unreadable:
        return None
    return campaigns.get(name or "")


def _shifted_up(fault: Fault, occurrence: Occurrence, work: Work) -> Answer:
    """Hide the page's first row for `seconds`, so that the next page skips a row."""
    answer = work()
    if (row := _first_of(answer, occurrence)) is not None:
        _later(fault, occurrence.hide(row))
    return answer


def _shifted_down(fault: Fault, occurrence: Occurrence, work: Work) -> Answer:
    """List the page's first row again at the top, so the next page repeats a row."""
    answer = work()
    if (row := _first_of(answer, occurrence)) is not None:
        _later(fault, occurrence.rows.repeat(row))
    return answer


def _listed_late(fault: Fault, occurrence: Occurrence, work: Work) -> Answer:
    """Remove the last row of the whole list for `seconds`, also from this page."""
    _later(fault, occurrence.hide(occurrence.rows[-1]))
    return work()


def _wrong_total(fault: Fault, _occurrence: Occurrence, work: Work) -> Answer:
    """Add `by` to the total in the answer. The total is never below 0."""

    def change(body: dict[str, Any]) -> None:
        body["totalCount"] = max(0, body["totalCount"] + fault.by)

    return _changed(work(), change)


def _other_ids(_fault: Fault, _occurrence: Occurrence, work: Work) -> Answer:
    """Send numeric IDs as texts, and texts of digits as numbers."""

    def change(body: dict[str, Any]) -> None:
        for row in body["assignments"]:
            if isinstance(row, dict):
                row |= {name: _other(row[name]) for name in _IDS if name in row}

    return _changed(work(), change)


ON_LISTS: Mapping[str, Around] = {
    "shifted_up": _shifted_up,
    "shifted_down": _shifted_down,
    "listed_late": _listed_late,
    "wrong_total": _wrong_total,
    "other_ids": _other_ids,
}


def _first_of(answer: Answer, occurrence: Occurrence) -> Row | None:
    body = json.loads(answer.body)
    for row in body.get("assignments", []):
        name = identity(row.get("assignmentId")) if isinstance(row, dict) else None
        return occurrence.row(name) if name else None
    return None


def _later(fault: Fault, then: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(fault.seconds, then)


def _changed(answer: Answer, change: Callable[[dict[str, Any]], None]) -> Answer:
    body = json.loads(answer.body)
    change(body)
    return replace(answer, body=json.dumps(body).encode())


def _other(value: object) -> object:
    if isinstance(value, int):
        return str(value)
    is_number = isinstance(value, str) and value.isascii() and value.isdecimal()
    return int(str(value)) if is_number else value
