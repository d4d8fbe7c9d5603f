"""State changes of assignments that several modules make, and their rules."""

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
    """
    Mark rewards as activated, each with its receipt; return the keys of changed rows.

    Rows in a state from which `ACTIVE` is not allowed stay as they are.
    """
    moved = state_machine.move_all(
        rows,
        AssignmentState.ACTIVE,
        by=by,
        why=why,
        each={pk: {"receipt": receipt} for pk, receipt in receipts.items()},
        doubtful=False,
        failures=0,
        reason=_if_differing(Value(AssignmentReason.DIFFERS)),
        problem=_if_differing(_PROBLEM),
        **RELEASED,
    )
    if moved:
        # Staff must see that a reward was activated although it was cancelled.
        late = Assignment.objects.filter(cancelled(), pk__in=moved)
        late.update(cancelled_too_late=True)
        signals.activated.send(Assignment, keys=moved)
    return moved


def _if_differing(value: Any) -> Case:
    """Return the value if Optimove changed the reward, which staff must see; or ""."""
    return Case(When(DIFFERS, then=value), default=Value(""), output_field=TextField())


def cancelled() -> Q:
    """Return a filter for rewards that must not be activated any more."""
    return ~_assigned() | Q(execution__stop=ExecutionStop.CANCELLED)


UNCLEAR = "Optimove says now what the contract does not know."
# During an upgrade, the previous release sets `reason`, but not `difference`.
DIFFERS = ~Q(difference="") | Q(reason=AssignmentReason.DIFFERS)
_CANCELLED_IN_DOUBT = (
    "It was taken back while in doubt: the platform is asked, not told again."
)


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
    Make rows pending (`OWED`) again if this is allowed; return all changed keys.

    A row becomes `VOID` if the execution is cancelled or the reward is not assigned any
    more. It becomes `HELD` if the status is unknown. In these cases, a `doubtful` row
    becomes `UNCERTAIN` instead. A reward that Optimove changed becomes `HELD`, unless
    the caller passes `difference`: this caller must have compared the rows with
    Optimove's list. The caller must have read `stop` under a lock on the execution.
    `settled` means that the caller knows the outcome: no row counts as `doubtful`.
    """
    everything, nothing = Q(pk__gt=0), Q(pk=None)
    is_over = stop == ExecutionStop.CANCELLED
    ended = everything if is_over else ~_assigned()
    unclear = nothing if is_over else Q(meaning=Meaning.UNKNOWN)
    doubtful = nothing if settled else Q(doubtful=True)
    differing = nothing if "difference" in changes else DIFFERS
    stopped = [
        *_hold_unclear(rows.filter(unclear).exclude(doubtful), changes),
        *_void(rows.filter(ended).exclude(unclear | doubtful), by, changes),
        *mark_uncertain(
            rows.filter(ended).filter(doubtful), why=_CANCELLED_IN_DOUBT, **changes
        ),
        *_hold_differing(rows.exclude(ended).filter(differing), changes),
    ]
    rest = rows.exclude(ended | differing).exclude(pk__in=stopped)
    return stopped + state_machine.move_all(
        rest, AssignmentState.OWED, by=by, why=why, **changes
    )


def cancel_assignments(
    rows: QuerySet[Assignment], *, by: Any = None, most: int | None = None
) -> int:
    """
    Apply a cancellation to rewards; return the number of rows changed.

    Rewards in `OWED` or `HELD` that are not `doubtful` become `VOID`. Rewards in `OWED`
    that are `doubtful` become `UNCERTAIN`. Activated rewards are marked as cancelled
    after activation. Of each of these three kinds, at most `most` rows change.
    """
    unsent, in_doubt, activated = _cancellable(rows)
    late = Assignment.objects.filter(pk__in=activated.values("pk")[:most])
    return (
        len(_void(unsent[:most], by, {}))
        + len(
            mark_uncertain(in_doubt[:most], why=_CANCELLED_IN_DOUBT, not_before=Now())
        )
        + late.update(cancelled_too_late=True)
    )


def mark_uncertain(
    rows: QuerySet[Assignment], *, why: str, **changes: Any
) -> list[int]:
    """Mark rows as `UNCERTAIN`, so that they are resolved; return the changed keys."""
    # The platform's "not found" counts only some time after `lease_until`. A later
    # `lease_until` is kept: after a restored backup, it may be in the future.
    columns = {**changes, "lease_until": Greatest("lease_until", Now())}
    return state_machine.move_all(rows, AssignmentState.UNCERTAIN, why=why, **columns)


def has_cancellable(rows: QuerySet[Assignment]) -> bool:
    """Return whether a cancellation would still change any of these rows."""
    return any(kind.exists() for kind in _cancellable(rows))


def _cancellable(rows: QuerySet[Assignment]) -> tuple[QuerySet[Assignment], ...]:
    """Return three kinds of rows: not activated, possibly activated, activated."""
    owed, held = AssignmentState.OWED, AssignmentState.HELD
    return (
        rows.filter(state__in=[owed, held], doubtful=False),
        rows.filter(state=owed, doubtful=True),
        rows.filter(state=AssignmentState.ACTIVE, cancelled_too_late=False),
    )


def _assigned() -> Q:
    return Q(meaning=Meaning.ACTIVATE)


def _void(rows: QuerySet[Assignment], by: Any, changes: dict[str, Any]) -> list[int]:
    reason = Case(
        When(meaning=Meaning.NOTHING, then=Value(AssignmentReason.NOT_ASSIGNED)),
        default=Value(AssignmentReason.CANCELLED),
        output_field=TextField(),
    )
    return state_machine.move_all(
        rows,
        AssignmentState.VOID,
        by=by,
        why="It was taken back before it was given.",
        **{**changes, "reason": reason},
    )


def _hold_unclear(rows: QuerySet[Assignment], changes: dict[str, Any]) -> list[int]:
    why = {"reason": AssignmentReason.UNKNOWN_STATUS, "problem": UNCLEAR}
    return _hold(rows, UNCLEAR, {**changes, **why})


_PROBLEM = Case(
    *(When(difference=each, then=Value(each.problem)) for each in AssignmentDifference),
    default=F("problem"),
    output_field=TextField(),
)


def _hold_differing(rows: QuerySet[Assignment], changes: dict[str, Any]) -> list[int]:
    """Set changed rewards to `HELD` until staff confirm them."""
    why = {"reason": AssignmentReason.DIFFERS, "problem": _PROBLEM}
    sentence = "Optimove changed the reward meanwhile."
    return _hold(rows, sentence, {**changes, **why})


def _hold(rows: QuerySet[Assignment], why: str, changes: dict[str, Any]) -> list[int]:
    # `each` has the problem and the time of a retry, but these rows are not retried.
    same = {name: value for name, value in changes.items() if name != "each"}
    return state_machine.move_all(rows, AssignmentState.HELD, why=why, **same)
