"""
Bad days of a list: it changes while it is read, or says what is not so.

Each stands around one page of Customer Assignment.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from promoportal.sandbox.messages import Answer, Asked, Unreadable, Work, identity
from promoportal.sandbox.optimove.assignment_rows import Row
from promoportal.sandbox.optimove.occurrences import Campaigns, Occurrence

if TYPE_CHECKING:
    from promoportal.sandbox.faults import Fault
_IDS = ("assignmentId", "customerId")
Around = Callable[["Fault", Occurrence, Work], Answer]


async def around_page(
    fault: Fault, asked: Asked, campaigns: Campaigns, work: Work
) -> Answer:
    """Answer with a page, and let the fault happen to it or to the list."""
    occurrence = _asked_for(asked, campaigns)
    if occurrence is None or not occurrence.rows:
        return work()
    return ON_LISTS[fault.kind](fault, occurrence, work)


def _asked_for(asked: Asked, campaigns: Campaigns) -> Occurrence | None:
    try:
        name = identity(asked.fields().get("occurrenceId"))
    except Unreadable:
        return None
    return campaigns.get(name or "")


def _shifted_up(fault: Fault, occurrence: Occurrence, work: Work) -> Answer:
    """A row before the next page leaves the list, so that the next page misses one."""
    answer = work()
    if (row := _first_of(answer, occurrence)) is not None:
        _later(fault, occurrence.hide(row))
    return answer


def _shifted_down(fault: Fault, occurrence: Occurrence, work: Work) -> Answer:
    """A row is listed again at the top, so that the next page repeats the last one."""
    answer = work()
    if (row := _first_of(answer, occurrence)) is not None:
        _later(fault, occurrence.rows.repeat(row))
    return answer


def _listed_late(fault: Fault, occurrence: Occurrence, work: Work) -> Answer:
    """The last row of all is not listed yet."""
    _later(fault, occurrence.hide(occurrence.rows[-1]))
    return work()


def _wrong_total(fault: Fault, _occurrence: Occurrence, work: Work) -> Answer:
    """The list says that it has `by` more than it has, or fewer."""

    def change(said: dict[str, Any]) -> None:
        said["totalCount"] = max(0, said["totalCount"] + fault.by)

    return _changed(work(), change)


def _other_ids(_fault: Fault, _occurrence: Occurrence, work: Work) -> Answer:
    """Ids that were numbers come as text, and text that is digits comes as numbers."""

    def change(said: dict[str, Any]) -> None:
        for row in said["assignments"]:
            if isinstance(row, dict):
                row |= {name: _other(row[name]) for name in _IDS if name in row}

    return _changed(work(), change)


ON_LISTS: Mapping[str, Around] = MappingProxyType(
    {
        "shifted_up": _shifted_up,
        "shifted_down": _shifted_down,
        "listed_late": _listed_late,
        "wrong_total": _wrong_total,
        "other_ids": _other_ids,
    }
)


def _first_of(answer: Answer, occurrence: Occurrence) -> Row | None:
    said = json.loads(answer.body)
    for row in said.get("assignments", []):
        name = identity(row.get("assignmentId")) if isinstance(row, dict) else None
        return occurrence.row(name) if name else None
    return None


def _later(fault: Fault, then: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(fault.seconds, then)


def _changed(answer: Answer, change: Callable[[dict[str, Any]], None]) -> Answer:
    said = json.loads(answer.body)
    change(said)
    return replace(answer, body=json.dumps(said).encode())


def _other(value: object) -> object:
    if isinstance(value, int):
        return str(value)
    is_number = isinstance(value, str) and value.isascii() and value.isdecimal()
    return int(str(value)) if is_number else value
