"""What follows when the vendor lists a row otherwise than before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from executions.models import Execution, Stop
from promoportal import states
from promoportal.optimove import Meaning, Row
from rewards import limits, listing, signals
from rewards.models import Assignment, Reason, State
from rewards.owing import owe, take_back

# Held for what the vendor said, so that what it says now decides.
_READ_ANEW = (Reason.UNREADABLE, Reason.UNKNOWN_STATUS)
# What a row is worth; frozen once it was sent.
_WORTH = ("reward", "value", "unit", "unique_code", "properties")


def follow(
    execution: Execution, pairs: Sequence[tuple[Assignment, Row]], *, stop: Stop
) -> None:
    """Follow every difference between what was listed and what is listed now."""
    changed = {old.pk: row for old, row in pairs if _differs(old, row)}
    for old in _locked(changed):
        row = changed[old.pk]
        worth_differs = _worth(old) != _worth_of(row)
        was_owed = old.meaning == Meaning.ACTIVATE
        _say(old, row)
        if row.problem or row.meaning == Meaning.UNKNOWN:
            _unclear(old, row, stop)
        elif row.meaning != Meaning.ACTIVATE:
            take_back(_one(old))
        elif _is_new_to_us(old, was_owed=was_owed):
            _assigned_now(execution, old, row, stop)
        elif worth_differs:
            _worth_something_else(old)


def _differs(old: Assignment, row: Row) -> bool:
    said = (row.status, row.meaning, _worth_of(row))
    return (old.vendor_status, old.meaning, _worth(old)) != said


def _locked(changed: Iterable[int]) -> Iterable[Assignment]:
    """As they are now, and as they stay until this transaction ends."""
    rows = Assignment.objects.filter(pk__in=list(changed)).order_by("pk")
    return rows.select_for_update()


def _worth(old: Assignment) -> Any:
    return old.reward, old.unique_code, old.properties


def _worth_of(row: Row) -> Any:
    reward = listing.worth(row.reward) if row.reward else None
    return reward, row.unique_code or "", row.properties


def _say(old: Assignment, row: Row) -> None:
    """Keep what the vendor says now; what was sent stays as it was sent."""
    columns = listing.substance(row)
    for name in _WORTH if old.order is not None else ():
        del columns[name]
    _one(old).update(**columns)


def _unclear(old: Assignment, row: Row, stop: Stop) -> None:
    """Nobody can say what it means now, so that a person has to."""
    _, reason, problem = listing.verdict(row)
    waiting = [State.OWED] if stop == Stop.CANCELLED else [State.OWED, State.VOID]
    unsent = _one(old).filter(doubtful=False, state__in=waiting)
    states.move_all(
        unsent.exclude(reason=Reason.WRITTEN_OFF),
        State.HELD,
        why=problem,
        reason=reason,
        problem=problem,
    )


def _is_new_to_us(old: Assignment, *, was_owed: bool) -> bool:
    """It was not assigned before, or not readably, and is now."""
    if old.state == State.VOID:
        return not was_owed and old.reason != Reason.WRITTEN_OFF
    return old.state == State.HELD and old.reason in _READ_ANEW and not old.doubtful


def _assigned_now(execution: Execution, old: Assignment, row: Row, stop: Stop) -> None:
    key = old.key or listing.key_of(execution, row, repeated=old.repeated)
    moved = owe(
        _one(old),
        stop=stop,
        why="The vendor assigns it now.",
        reason="",
        problem="",
        key=key,
        not_before=Now(),
        owed_since=Now(),
    )
    if moved:
        fresh = _one(old).get()
        limits.count(execution, [(fresh.unit, fresh.value)])
        signals.owed.send(Execution)


def _worth_something_else(old: Assignment) -> None:
    problem = "The vendor lists another reward than before."
    note: dict[str, Any] = {"reason": Reason.DIFFERS, "problem": problem}
    owed = _one(old).filter(state=State.OWED, doubtful=False)
    if not states.move_all(owed, State.HELD, why=problem, **note):
        # Given, or on its way: it is marked, and whatever comes back to be owed is held.
        _one(old).exclude(state=State.VOID).update(**note)


def _one(old: Assignment) -> QuerySet[Assignment]:
    return Assignment.objects.filter(pk=old.pk)
