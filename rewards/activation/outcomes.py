"""What follows from an answer, for many rows in one short transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from executions.locks import lock_exclusive, lock_shared
from executions.models import ExecutionStop
from promoportal.db import bulk, state_machine
from promoportal.db.database_clock import database_now
from promoportal.db.leases import RELEASED
from promoportal.resilience.backoff import backoff_seconds
from promoportal.resilience.outcome_policy import BACKOFF, MAX_MALFORMED
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import Claim
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from rewards.transitions import mark_active, mark_owed


@dataclass(frozen=True)
class _Group:
    """Claimed rows with one outcome, and whether their execution is stopped."""

    rows: QuerySet[Assignment]
    answers: Sequence[CallResult]
    stop: ExecutionStop


def conclude(claim: Claim, answers: Sequence[CallResult]) -> None:
    """Record every attempt and move every row on, all or none."""
    with transaction.atomic():
        stop = lock_shared(claim.execution_pk)
        ours = _still_ours(claim, answers)  # rows before attempts, as expiring does
        _record(claim, answers)
        _follow(claim, [a for a in answers if a.row.pk in ours], ours, stop)
    _heed_late(claim, [a for a in answers if a.row.pk not in ours])


def _still_ours(claim: Claim, answers: Iterable[CallResult]) -> dict[int, str]:
    """Rows our lease still holds, each with a receipt that came late, if one did."""
    rows = _claimed(claim).filter(pk__in=[answer.row.pk for answer in answers])
    locked = rows.order_by("pk").select_for_update()
    return dict(locked.values_list("pk", "evidence"))


def _claimed(claim: Claim) -> QuerySet[Assignment]:
    # The token: a row that was lost to its lease's end and claimed anew is not ours.
    return Assignment.objects.filter(
        state=AssignmentState.ACTIVATING, token=claim.lease.token
    )


def _record(claim: Claim, answers: Iterable[CallResult]) -> None:
    bulk.bulk_update(
        Attempt,
        {
            claim.attempts[answer.row.pk]: {
                "outcome": answer.outcome,
                "status": answer.status,
                "answer": answer.answer or answer.problem,
                "duration_ms": answer.duration_ms,
            }
            for answer in answers
        },
        ended_at=Now(),
    )


def _follow(
    claim: Claim,
    answers: Sequence[CallResult],
    evidence: dict[int, str],
    stop: ExecutionStop,
) -> None:
    by_outcome: dict[Outcome, list[CallResult]] = {}
    for answer in answers:
        # A receipt that came late from an earlier attempt outweighs what came now.
        late = evidence[answer.row.pk]
        given = replace(answer, outcome=Outcome.GIVEN, receipt=answer.receipt or late)
        known = given if late else answer
        by_outcome.setdefault(known.outcome, []).append(known)
    for outcome, group in by_outcome.items():
        rows = _claimed(claim).filter(pk__in=[answer.row.pk for answer in group])
        _FOLLOWS[outcome](_Group(rows, group, stop))


def _given(group: _Group) -> None:
    receipts = {a.row.pk: a.receipt for a in group.answers}
    mark_active(group.rows, receipts, why="The platform gave it.")


def _unavailable(group: _Group) -> None:
    _doubt(group)
    mark_owed(
        group.rows,
        stop=group.stop,
        why="The platform was not available; it is tried again.",
        each=_waits(group.answers),
        failures=F("failures") + 1,
        **RELEASED,
    )
    _forget_unsent(group.answers)


def _doubt(group: _Group) -> None:
    """A gateway may say 503 of work that was done: so long as the key is remembered."""
    said = [answer.row.pk for answer in group.answers if (answer.status or 0) >= 500]
    if said:
        group.rows.filter(pk__in=said).update(doubtful=True)


def _not_sent(group: _Group) -> None:
    mark_owed(group.rows, stop=group.stop, why="It was handed back unsent.", **RELEASED)
    _forget_unsent(group.answers)


def _misconfigured(group: _Group) -> None:
    # Each waits longer than the last time: if it is about this row alone, the others
    # have their turn before it.
    mark_owed(
        group.rows,
        stop=group.stop,
        why="The platform did not take our token or address; it is tried again.",
        each=_waits(group.answers),
        failures=F("failures") + 1,
        **RELEASED,
    )
    _forget_unsent(group.answers)


def _unanswered(group: _Group) -> None:
    # The lease's end stays: a platform that is asked gets some time from there on.
    state_machine.move_all(
        group.rows,
        AssignmentState.UNCERTAIN,
        why="It was sent and no answer came that says what became of it.",
        each=_waits(group.answers),
        doubtful=True,
        failures=F("failures") + 1,
        token=None,
    )


def _malformed(group: _Group) -> None:
    hopeless = group.rows.filter(malformed__gte=MAX_MALFORMED - 1)
    state_machine.move_all(
        hopeless,
        AssignmentState.HELD,
        why="The platform's answers keep breaking its contract.",
        each=_problems(group.answers),
        reason=AssignmentReason.MALFORMED,
        doubtful=True,
        **RELEASED,
    )
    group.rows.update(malformed=F("malformed") + 1)
    _unanswered(group)


def _refused(group: _Group) -> None:
    state_machine.move_all(
        group.rows,
        AssignmentState.HELD,
        why="The platform refused it.",
        each=_problems(group.answers),
        reason=AssignmentReason.REFUSED,
        **RELEASED,
    )


_FOLLOWS = {
    Outcome.GIVEN: _given,
    Outcome.UNAVAILABLE: _unavailable,
    Outcome.NOT_SENT: _not_sent,
    Outcome.MISCONFIGURED: _misconfigured,
    Outcome.UNANSWERED: _unanswered,
    Outcome.MALFORMED: _malformed,
    Outcome.REFUSED: _refused,
}


def _waits(answers: Iterable[CallResult]) -> dict[int, dict[str, Any]]:
    now = database_now()
    waits = (
        (a, backoff_seconds(BACKOFF, a.row.failures + 1, a.retry_after))
        for a in answers
    )
    return {
        a.row.pk: {"problem": a.problem, "not_before": now + timedelta(seconds=seconds)}
        for a, seconds in waits
    }


def _problems(answers: Iterable[CallResult]) -> dict[int, dict[str, Any]]:
    return {a.row.pk: {"problem": a.problem} for a in answers}


def _forget_unsent(answers: Iterable[CallResult]) -> None:
    """Nothing was sent, so that nothing is remembered over there, nor frozen here."""
    rows = Assignment.objects.filter(pk__in=[a.row.pk for a in answers])
    unsent = rows.filter(
        doubtful=False, state__in=[AssignmentState.OWED, AssignmentState.VOID]
    )
    unsent.update(first_sent_at=None, order=None)


def _heed_late(claim: Claim, answers: Sequence[CallResult]) -> None:
    """
    An answer to a claim that is no longer ours is evidence.

    That it was given moves the row wherever it waits; where it is being activated anew,
    the receipt is kept for whoever concludes that.
    """
    receipts = {a.row.pk: a.receipt for a in answers if a.outcome == Outcome.GIVEN}
    if not receipts:
        return
    with transaction.atomic():
        lock_exclusive(claim.execution_pk)  # it may be settled, and has to be reopened
        rows = Assignment.objects.filter(pk__in=receipts)
        bulk.bulk_update(
            Assignment, {pk: {"evidence": r} for pk, r in receipts.items()}
        )
        waiting = rows.exclude(
            state__in=[AssignmentState.ACTIVATING, AssignmentState.ACTIVE]
        )
        mark_active(
            waiting, receipts, why="The platform's answer came late: it was given."
        )
