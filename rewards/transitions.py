"""What becomes of a reward that is not given yet: owed, void, asked about or held."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, F, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Greatest, Now

from executions.models import ExecutionStop
from promoportal.db import state_machine
from promoportal.db.leases import RELEASED
from promoportal.optimove import Meaning
from rewards import signals
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
)


def mark_active(
    rows: QuerySet[Assignment],
    receipts: dict[int, str],
    *,
    why: str,
    by: Any = None,
) -> list[int]:
    """Make rows active, each with its receipt, from wherever that is allowed."""
    moved = state_machine.move_all(
        rows,
        AssignmentState.ACTIVE,
        by=by,
        why=why,
        each={pk: {"receipt": receipt} for pk, receipt in receipts.items()},
        doubtful=False,
        failures=0,
        reason=_unless_differing("reason"),
        problem=_unless_differing("problem"),
        **RELEASED,
    )
    if moved:
        # Staff must see that a reward was activated although it was cancelled.
        late = Assignment.objects.filter(cancelled(), pk__in=moved)
        late.update(cancelled_too_late=True)
        signals.activated.send(Assignment, keys=moved)
    return moved


def _unless_differing(name: str) -> Case:
    """Nothing, but for what staff must still see of a reward that was given."""
    differs = When(reason=AssignmentReason.DIFFERS, then=F(name))
    return Case(differs, default=Value(""), output_field=TextField())


def cancelled() -> Q:
    """Return the filter for rewards that are not to be given any more."""
    return ~_assigned() | Q(execution__stop=ExecutionStop.CANCELLED)


_TAKEN_BACK = "It was taken back while in doubt: the platform is asked, not told again."


def mark_owed(
    rows: QuerySet[Assignment],
    *,
    stop: ExecutionStop,
    why: str,
    by: Any = None,
    settled: bool = False,
    **changes: Any,
) -> list[int]:
    """
    Make the rows owed again, but for those that must not be given; say which moved.

    In a cancelled execution, or once the vendor took it back, what would become owed
    becomes void - unless it is in doubt: then it is asked about and not given again.
    Where the vendor changed the reward, or says what nobody understands, a person
    decides. `stop` was read under the share lock by the caller; `settled` says that no
    row of the set is in doubt any more. A caller that sets `difference` has compared the
    rows with what Optimove lists; without it, no row that differs becomes owed.
    """
    everything, nothing = Q(pk__gt=0), Q(pk=None)
    is_over = stop == ExecutionStop.CANCELLED
    taken_back = everything if is_over else ~_assigned()
    unclear = nothing if is_over else Q(meaning=Meaning.UNKNOWN)
    doubtful = nothing if settled else Q(doubtful=True)
    differing = nothing if "difference" in changes else _DIFFERS
    stopped = [
        *_hold_unclear(rows.filter(unclear).exclude(doubtful), changes),
        *_void(rows.filter(taken_back).exclude(unclear | doubtful), by, changes),
        *mark_uncertain(
            rows.filter(taken_back).filter(doubtful), why=_TAKEN_BACK, **changes
        ),
        *_hold_differing(rows.exclude(taken_back).filter(differing), changes),
    ]
    rest = rows.exclude(taken_back | differing).exclude(pk__in=stopped)
    return stopped + state_machine.move_all(
        rest, AssignmentState.OWED, by=by, why=why, **changes
    )


def cancel_assignments(
    rows: QuerySet[Assignment], *, by: Any = None, most: int | None = None
) -> int:
    """
    What is not given yet becomes void, what is in doubt is asked about, what is given
    is marked: a state may not lie about what the customer has.

    At most so many of each kind; gives back how many that were.
    """
    unsent, in_doubt, activated = _cancellable(rows)
    late = Assignment.objects.filter(pk__in=activated.values("pk")[:most])
    return (
        len(_void(unsent[:most], by, {}))
        + len(mark_uncertain(in_doubt[:most], why=_TAKEN_BACK, not_before=Now()))
        + late.update(cancelled_too_late=True)
    )


def mark_uncertain(
    rows: QuerySet[Assignment], *, why: str, **changes: Any
) -> list[int]:
    """The platform is asked what became of them, and not told again."""
    # "Not known there" counts only some time after this; after a restored backup, later.
    asked = {**changes, "lease_until": Greatest("lease_until", Now())}
    return state_machine.move_all(rows, AssignmentState.UNCERTAIN, why=why, **asked)


def has_cancellable(rows: QuerySet[Assignment]) -> bool:
    """Return whether a cancellation would still change any of these rows."""
    return any(kind.exists() for kind in _cancellable(rows))


def _cancellable(rows: QuerySet[Assignment]) -> tuple[QuerySet[Assignment], ...]:
    """Return the rows that are not sent, possibly activated, and activated."""
    owed, held = AssignmentState.OWED, AssignmentState.HELD
    return (
        rows.filter(state__in=[owed, held], doubtful=False),
        rows.filter(state=owed, doubtful=True),
        rows.filter(state=AssignmentState.ACTIVE, cancelled_too_late=False),
    )


def _assigned() -> Q:
    return Q(meaning=Meaning.ACTIVATE)


def _void(rows: QuerySet[Assignment], by: Any, changes: dict[str, Any]) -> list[int]:
    taken_back = "It was taken back before it was given."
    reason = Case(
        When(meaning=Meaning.NOTHING, then=Value(AssignmentReason.NOT_ASSIGNED)),
        default=Value(AssignmentReason.CANCELLED),
        output_field=TextField(),
    )
    return state_machine.move_all(
        rows,
        AssignmentState.VOID,
        by=by,
        why=taken_back,
        **{**changes, "reason": reason},
    )


def _hold_unclear(rows: QuerySet[Assignment], changes: dict[str, Any]) -> list[int]:
    problem = "Optimove says now what the contract does not know."
    why = {"reason": AssignmentReason.UNKNOWN_STATUS, "problem": problem}
    return _hold(rows, problem, {**changes, **why})


# The reason is what the previous release writes during an upgrade; it has no column.
_DIFFERS = ~Q(difference="") | Q(reason=AssignmentReason.DIFFERS)
_PROBLEM = Case(
    *(When(difference=each, then=Value(each.problem)) for each in AssignmentDifference),
    default=F("problem"),
    output_field=TextField(),
)


def _hold_differing(rows: QuerySet[Assignment], changes: dict[str, Any]) -> list[int]:
    """Hold rows that staff must confirm first, whatever their last attempt left."""
    why = {"reason": AssignmentReason.DIFFERS, "problem": _PROBLEM}
    sentence = "Optimove changed the reward meanwhile."
    return _hold(rows, sentence, {**changes, **why})


def _hold(rows: QuerySet[Assignment], why: str, changes: dict[str, Any]) -> list[int]:
    # `each` has the problem and the time of a retry, which does not take place.
    same = {name: value for name, value in changes.items() if name != "each"}
    return state_machine.move_all(rows, AssignmentState.HELD, why=why, **same)
