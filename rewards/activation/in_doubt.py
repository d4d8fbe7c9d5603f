"""
Resolution of rewards whose outcome is unknown, because they may have been sent.

If the platform is idempotent, an assigned reward becomes `OWED`, to be sent again with
its key by `activate`. Otherwise, the key is looked up if the platform is askable. In
other cases, or if an idempotent platform may have forgotten the key, staff decide.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from executions.locks import lock_shared
from executions.models import Execution, ExecutionStop
from promoportal import platforms
from promoportal.db import state_machine
from promoportal.db.database_clock import Moment, seconds_from_now
from promoportal.db.leases import RELEASED, due
from promoportal.optimove import Meaning
from promoportal.platforms import Capability, Platform, Receipt
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Side
from promoportal.runtime import crash_points
from promoportal.runtime.crash_points import Point
from promoportal.runtime.time_budget import TimeBudget
from rewards import signals
from rewards.activation import platform_throttle, promises
from rewards.activation.call_pool import CallResult, Outcome, call_all
from rewards.activation.claims import (
    COMPANY,
    TURN,
    may_repeat,
    sendable,
    within_key_retention,
)
from rewards.activation.deadlines import SWEEP
from rewards.activation.outcomes import apply_receipts
from rewards.activation.request_lifetime import MAX_CALL_SECONDS, was_over
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from rewards.transitions import cancelled, mark_owed, mark_uncertain

# Most rows per batch of look-ups.
ASKED = 50
_FORGOTTEN = "It was sent so long ago that the platform may have forgotten its key."
# After `COMPANY` crashes and this number of further crashes, a row needs review.
MAX_CRASHES_ALONE = 3


def settle() -> None:
    """Resolve due rows in `UNCERTAIN` in the ways that the platform supports."""
    with closing(platforms.from_settings()) as platform:
        capability = platform.capability
        _hold_poison()
        _stop_stranded(capability)
        if capability.idempotent:
            _send_again(capability)
            _hold_unanswered(
                _uncertain().exclude(within_key_retention(capability)), _FORGOTTEN
            )
        if capability.askable:
            _ask(platform)
        elif not capability.idempotent:
            _hold_unanswered(_uncertain(), "The platform cannot be asked about it.")
        else:
            _hold_unanswered(
                _uncertain().filter(cancelled()),
                "It is not assigned any more, and the platform cannot be asked about it.",
            )
            _hold_changed(capability)


def is_due() -> bool:
    """Return whether a row is due to be resolved, and calls are permitted."""
    if circuit_breaker.is_open(Side.PLATFORM):
        return False
    capability = platforms.current_capability()
    return _uncertain().exists() or _stranded(capability).exists()


def _uncertain() -> QuerySet[Assignment]:
    return Assignment.objects.filter(due(), state=AssignmentState.UNCERTAIN)


def _stranded(capability: Capability) -> QuerySet[Assignment]:
    """
    Return due, `doubtful` rows in `OWED` that no worker may send.

    Rows that are not cleared wait: their list may be stored in part, and "not found"
    would end their doubt before it is known which row has which key.
    """
    doubtful = Assignment.objects.filter(
        due(), state=AssignmentState.OWED, doubtful=True, cleared=True
    )
    return doubtful.exclude(sendable(capability))


def _hold_poison() -> None:
    crashing = _uncertain().filter(deaths__gte=COMPANY + MAX_CRASHES_ALONE)
    state_machine.move_all(
        crashing[:SWEEP],
        AssignmentState.HELD,
        why="Activating it killed the worker, repeatedly, while it went alone.",
        reason=AssignmentReason.POISON,
    )


def _send_again(capability: Capability) -> None:
    """Make rows pending again if the platform knows their key: a repeat is harmless."""
    again = _uncertain().filter(may_repeat(capability)).exclude(cancelled())
    found = sorted(again.values_list("execution_id", "pk")[:SWEEP])
    for execution_pk, rows in groupby(found, itemgetter(0)):
        with transaction.atomic():
            moved = mark_owed(
                again.filter(pk__in=[pk for _, pk in rows]),
                stop=lock_shared(execution_pk),
                why="It is sent again with the same key.",
            )
            if moved:
                signals.owed.send(Execution)


def _stop_stranded(capability: Capability) -> None:
    rows, is_known = _stranded(capability), within_key_retention(capability)
    if not capability.idempotent:
        why = "It is in doubt, and the platform knows no keys."
        mark_uncertain(rows[:SWEEP], why=why)
        return
    _hold_unanswered(rows.exclude(is_known), _FORGOTTEN)
    for kind, why in (
        (~may_repeat(capability), "It is in doubt, and was sent under other settings."),
        (~Q(meaning=Meaning.ACTIVATE), "It is in doubt, and not assigned any more."),
        (Q(meaning=Meaning.ACTIVATE), "It is in doubt, and Optimove changed it."),
    ):
        mark_uncertain(rows.filter(is_known, kind)[:SWEEP], why=why)


def _hold_changed(capability: Capability) -> None:
    """Hold rewards that were sent to another platform, or under another promise."""
    rows = _uncertain().exclude(may_repeat(capability)).order_by("not_before")
    for row in rows[:ASKED]:
        same = _uncertain().filter(pk=row.pk)
        _hold_unanswered(same, promises.obstacle_to_repeat(row, capability))


def _hold_unanswered(rows: QuerySet[Assignment], problem: str) -> None:
    state_machine.move_all(
        rows[:SWEEP],
        AssignmentState.HELD,
        why=problem,
        reason=AssignmentReason.UNANSWERED,
        problem=problem,
    )


def _ask(platform: Platform) -> None:
    budget = TimeBudget(TURN)
    with platform_throttle.to_ask() as threads:
        while threads and not budget.is_spent() and ask_some(platform, budget, threads):
            pass


def ask_some(platform: Platform, budget: TimeBudget, threads: int) -> bool:
    """Look up a batch of rows; return False if none is due or no call is permitted."""
    rows = platform_throttle.take_if_permitted(_take_to_ask, ASKED)
    if not rows:
        return False
    crash_points.at(Point.SETTLING_TAKEN)
    begun = Moment.now()
    answers = call_all(
        rows,
        lambda row: _look_up(row, platform),
        threads=threads,
        may_begin=lambda: not budget.is_spent(),
    )
    with closing(answers):
        for answer in answers:
            crash_points.at(Point.SETTLING_ANSWERED)
            _conclude(answer, platform.capability, begun)
    return True


def _look_up(row: Assignment, platform: Platform) -> Receipt | None:
    assert row.key is not None  # noqa: S101 - a row that was sent has a key
    return platform.look_up(row.key)


def _take_to_ask(most: int) -> list[Assignment]:
    """Select rows to look up; postpone them, so that no other worker selects them."""
    with transaction.atomic():
        rows = list(
            _uncertain()
            .select_related("execution")
            .order_by("not_before")
            .select_for_update(of=["self"], skip_locked=True)[:most]
        )
        chosen = Assignment.objects.filter(pk__in=[row.pk for row in rows])
        chosen.update(
            not_before=seconds_from_now(TURN + MAX_CALL_SECONDS),
            attempts=F("attempts") + 1,
        )
        return rows


def _conclude(answer: CallResult, capability: Capability, begun: Moment) -> None:
    row = answer.row
    # A row that changed since the look-up began stays as it is, unless the reward was
    # given. After a failover, another row may have the primary key of this row.
    same = Assignment.objects.filter(
        key=row.key, state=AssignmentState.UNCERTAIN, attempts=row.attempts + 1
    )
    if answer.outcome == Outcome.NOT_SENT:
        # The turn was over before the call began.
        same.update(not_before=Now(), attempts=row.attempts)
        return
    platform_throttle.record_results([answer])
    _record(answer, capability)
    if answer.outcome == Outcome.GIVEN:
        # Staff may have said in the meantime that it was not activated.
        why = "The platform knows it: given."
        apply_receipts({row.key: answer.receipt}, why=why)
        return
    with transaction.atomic():
        owner = Assignment.objects.filter(key=row.key)
        stop = lock_shared(owner.values("execution"))
        if answer.outcome == Outcome.NOT_FOUND:
            _not_found(same, capability, stop, begun)
        else:
            due = seconds_from_now(answer.delay)
            same.update(not_before=due, failures=F("failures") + 1)


def _record(answer: CallResult, capability: Capability) -> None:
    """Store the result of a look-up as an attempt, if its row is in this database."""
    owner = Assignment.objects.filter(key=answer.row.key).first()
    if owner is None:
        return
    attempt = Attempt(
        assignment=owner,
        kind=Attempt.Kind.LOOK_UP,
        number=answer.row.attempts + 1,
        ended_at=Now(),
        outcome=answer.outcome,
        **asdict(answer.evidence),
        **promises.recorded(capability),
    )
    # After a failover, this number may be the number of a later attempt.
    Attempt.objects.bulk_create([attempt], ignore_conflicts=True)


def _not_found(
    same: QuerySet[Assignment],
    capability: Capability,
    stop: ExecutionStop,
    begun: Moment,
) -> None:
    """
    Make a row pending again if the platform does not know its key.

    The activation request may still be running until `settle_grace` after the end of
    the lease. "Not found" has no effect if the look-up `begun` before this time: the
    request may have arrived since. The row is then looked up again. If the row was sent
    under other settings of the platform, it needs review.
    """
    # Locked first: no translation of its times can come between the comparisons.
    row = same.select_for_update().first()
    if row is None:
        return
    grace = promises.settle_grace(row, capability)
    final = same.filter(was_over(begun.earliest(), grace))
    if problem := promises.obstacle_to_not_found(row, capability):
        _hold_unanswered(final, problem)
    moved = mark_owed(
        final,
        stop=stop,
        settled=True,
        why="The platform does not know it: it was not given.",
        doubtful=False,
        first_sent_at=None,
        not_before=Now(),
        **RELEASED,
    )
    if moved:
        signals.owed.send(Execution)
    else:
        same.update(not_before=F("lease_until") + grace)
