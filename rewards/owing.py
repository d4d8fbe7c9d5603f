"""What becomes of a reward that is not given yet: owed, void, asked about or held."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, F, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Now

from executions.models import Stop
from promoportal import states
from promoportal.optimove import Meaning
from rewards.models import Assignment, Reason, State


def owe(
    rows: QuerySet[Assignment],
    *,
    stop: Stop,
    why: str,
    by: Any = None,
    settled: bool = False,
    **changes: Any,
) -> list[int]:
    """
    Make the rows owed again, but for those that must not be given; say which moved.

    In a cancelled execution, or once the vendor took it back, what would become owed
    becomes void - unless it is in doubt: then it is asked about and not given again.
    Where the vendor changed the reward, a person decides. `stop` was read under the
    share lock by the caller; `settled` says that no row of the set is in doubt any more.
    """
    taken_back = Q(pk__gt=0) if stop == Stop.CANCELLED else ~_assigned()
    doubtful = Q(pk=None) if settled else Q(doubtful=True)
    return [
        *_void(rows.filter(taken_back).exclude(doubtful), by, changes),
        *_ask(rows.filter(taken_back).filter(doubtful), changes),
        *_differing(rows.exclude(taken_back), changes),
        *states.move_all(
            rows.exclude(taken_back), State.OWED, by=by, why=why, **changes
        ),
    ]


def take_back(
    rows: QuerySet[Assignment], *, by: Any = None, most: int | None = None
) -> int:
    """
    What is not given yet becomes void, what is in doubt is asked about, what is given
    is marked: a state may not lie about what the customer has.

    At most so many of each kind; gives back how many that were.
    """
    waiting = rows.filter(state__in=[State.OWED, State.HELD], doubtful=False)
    in_doubt = rows.filter(state=State.OWED, doubtful=True)
    given = rows.filter(state=State.ACTIVE, cancelled_too_late=False)
    marked = Assignment.objects.filter(pk__in=given.values("pk")[:most])
    return (
        len(_void(waiting[:most], by, {}))
        + len(_ask(in_doubt[:most], {"not_before": Now()}))
        + marked.update(cancelled_too_late=True)
    )


def _assigned() -> Q:
    return Q(meaning=Meaning.ACTIVATE)


def _void(rows: QuerySet[Assignment], by: Any, changes: dict[str, Any]) -> list[int]:
    taken_back = "It was taken back before it was given."
    reason = Case(
        When(meaning=Meaning.NOTHING, then=Value(Reason.NOT_ASSIGNED)),
        default=Value(Reason.CANCELLED),
        output_field=TextField(),
    )
    return states.move_all(
        rows, State.VOID, by=by, why=taken_back, **{**changes, "reason": reason}
    )


def _ask(rows: QuerySet[Assignment], changes: dict[str, Any]) -> list[int]:
    why = "It was taken back while in doubt: the platform is asked, not told again."
    # "Not known there" counts only some time after this.
    asked = {**changes, "lease_until": Now()}
    return states.move_all(rows, State.UNCERTAIN, why=why, **asked)


def _differing(rows: QuerySet[Assignment], changes: dict[str, Any]) -> list[int]:
    differing = rows.filter(reason=Reason.DIFFERS)
    kept = {**changes, "reason": F("reason")}
    why = "The vendor changed the reward meanwhile."
    return states.move_all(differing, State.HELD, why=why, **kept)
