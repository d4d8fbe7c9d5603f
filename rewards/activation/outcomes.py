"""Application of call results to the claimed rows, many rows per transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from executions.locks import lock_exclusive, lock_shared
from executions.models import ExecutionStop
from promoportal.db import bulk, state_machine
from promoportal.db.database_clock import database_now
from promoportal.resilience import outcome_policy
from rewards import limits
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import Claim
from rewards.activation.request_lifetime import lease_end_of_doubt, released
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from rewards.transitions import mark_active, mark_owed

_WHY_AGAIN: Mapping[str, str] = {
    Outcome.UNAVAILABLE: "The platform was not available; it is tried again.",
    Outcome.MISCONFIGURED: (
        "The platform did not take our token or address; it is tried again."
    ),
}


def conclude(claim: Claim, results: Sequence[CallResult]) -> None:
    """
    Record the result of each call, and change its row by the outcome policy.

    The policy is not used for a row whose claim has ended. If there is a receipt for
    this row, the receipt is applied as a late confirmation.
    """
    with transaction.atomic():
        stop, by_outcome, late = _lock(claim, results)
        # Attempts are locked after their rows, as in expire(), to prevent a deadlock.
        _record(claim, results)
        for outcome, group in by_outcome.items():
            outcome_policy.FOLLOWS[outcome](ClaimedAssignments(claim, group, stop))
    receipts = {r.row.key: r.receipt for r in late if r.outcome == Outcome.GIVEN}
    apply_receipts(receipts, why="The platform's answer came late: it was given.")


def _record(claim: Claim, results: Iterable[CallResult]) -> None:
    """Store the results in the attempts of this claim."""
    # After a failover, another claim may have an attempt with the same primary key.
    keys = claim.attempts.values()
    own = Attempt.objects.filter(pk__in=keys, token=claim.lease.token)
    known = set(own.values_list("pk", flat=True))
    columns = {
        claim.attempts[r.row.pk]: {"outcome": r.outcome, **asdict(r.evidence)}
        for r in results
        if claim.attempts[r.row.pk] in known
    }
    bulk.bulk_update(Attempt, columns, ended_at=Now())


@dataclass(frozen=True)
class ClaimedAssignments:
    """The rows of one claim whose calls had the same outcome."""

    claim: Claim
    results: Sequence[CallResult]
    stop: ExecutionStop

    @property
    def rows(self) -> QuerySet[Assignment]:
        return _claimed(self.claim, self.results)

    @property
    def at_fault(self) -> QuerySet[Assignment]:
        return self.rows  # each was sent in a call of its own

    def finish(self) -> None:
        receipts = {result.row.pk: result.receipt for result in self.results}
        mark_active(self.rows, receipts, why="The platform gave it.")

    def hand_back(self) -> None:
        self._owe_again("It was handed back unsent.")

    def retry(self) -> None:
        # A gateway may respond with 5xx although the platform activated the reward.
        broken = [r.row.pk for r in self.results if (r.evidence.status or 0) >= 500]
        if broken:
            self.rows.filter(pk__in=broken).update(doubtful=True)
        why = _WHY_AGAIN[self.results[0].outcome]
        self._owe_again(why, each=self._delays(), failures=F("failures") + 1)

    def put_in_doubt(self) -> None:
        state_machine.move_all(
            self.rows,
            AssignmentState.UNCERTAIN,
            why="It was sent and no answer came that says what became of it.",
            each=self._delays(),
            doubtful=True,
            failures=F("failures") + 1,
            token=None,
            lease_until=lease_end_of_doubt(),
        )

    def refuse(self) -> None:
        why = "The platform refused it."
        self._hold(self.rows, AssignmentReason.REFUSED, why, **released())

    def hold_malformed(self, rows: QuerySet[Assignment]) -> None:
        why = "The platform's answers keep breaking its contract."
        ended = {"token": None, "lease_until": lease_end_of_doubt()}
        self._hold(rows, AssignmentReason.MALFORMED, why, doubtful=True, **ended)

    def _owe_again(self, why: str, **changes: Any) -> None:
        """Apply `mark_owed`; clear the order of rewards that are not `doubtful`."""
        moved = mark_owed(self.rows, stop=self.stop, why=why, **changes, **released())
        unsent = Assignment.objects.filter(
            pk__in=moved,
            doubtful=False,
            state__in=[AssignmentState.OWED, AssignmentState.VOID],
        )
        unsent.update(first_sent_at=None, order=None)

    def _hold(
        self,
        rows: QuerySet[Assignment],
        reason: AssignmentReason,
        why: str,
        **changes: Any,
    ) -> None:
        problems = {r.row.pk: {"problem": r.problem} for r in self.results}
        state_machine.move_all(
            rows,
            AssignmentState.HELD,
            why=why,
            each=problems,
            reason=reason,
            **changes,
        )

    def _delays(self) -> dict[int, dict[str, Any]]:
        now = database_now()
        delays = ((r, timedelta(seconds=r.delay)) for r in self.results)
        return {
            r.row.pk: {"problem": r.problem, "not_before": now + delay}
            for r, delay in delays
        }


def _lock(
    claim: Claim, results: Sequence[CallResult]
) -> tuple[ExecutionStop, dict[Outcome, list[CallResult]], list[CallResult]]:
    """
    Lock the execution (shared), then the rows that still have the token of the claim.

    Return the execution's `stop`, the results of these rows by outcome, and the results
    of the other rows. A row with a late receipt in `evidence` has the outcome `GIVEN`.
    """
    claimed = _claimed(claim, results).order_by("pk").select_for_update()
    stop = lock_shared(claim.execution_pk)
    receipts = dict(claimed.values_list("pk", "evidence"))
    by_outcome: dict[Outcome, list[CallResult]] = {}
    late = []
    for result in results:
        if result.row.pk not in receipts:
            late.append(result)
            continue
        receipt = result.receipt or receipts[result.row.pk]
        given = replace(result, outcome=Outcome.GIVEN, receipt=receipt)
        known = given if receipt else result
        by_outcome.setdefault(known.outcome, []).append(known)
    return stop, by_outcome, late


def _claimed(claim: Claim, results: Iterable[CallResult]) -> QuerySet[Assignment]:
    # The token shows whether another worker claimed the row after the lease ended.
    return Assignment.objects.filter(
        pk__in=[result.row.pk for result in results],
        state=AssignmentState.ACTIVATING,
        token=claim.lease.token,
    )


def apply_receipts(receipts: Mapping[UUID | None, str], *, why: str) -> None:
    """
    Mark rewards as activated by their receipts, in every state but `ACTIVATING`.

    A receipt proves that the platform activated the reward of its key. It is stored in
    `evidence`. If a worker is sending the row now, the receipt is applied when this
    worker stores its result, or is lost. Rows are found by key: after a failover, their
    primary keys may be those of other rows. The lock is exclusive, as the execution may
    have to be reopened.
    """
    found = Assignment.objects.filter(key__in=receipts).order_by("execution")
    owners = found.values_list("execution", "pk", "key")
    for execution_pk, rows in groupby(owners, itemgetter(0)):
        given = {pk: receipts[key] for _, pk, key in rows}
        with transaction.atomic():
            lock_exclusive(execution_pk)
            evidence = {pk: {"evidence": receipt} for pk, receipt in given.items()}
            bulk.bulk_update(Assignment, evidence)
            waiting = Assignment.objects.filter(pk__in=given).exclude(
                state__in=[AssignmentState.ACTIVATING, AssignmentState.ACTIVE]
            )
            limits.admit_activated(waiting.select_related("execution"))
            mark_active(waiting, given, why=why)
