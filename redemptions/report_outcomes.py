"""Changes of redemptions after a redemption request, by the outcome policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from promoportal import wire
from promoportal.db import state_machine
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import RELEASED, Lease
from promoportal.optimove import Verdict
from promoportal.optimove.throttle import UNAUTHORIZED, may_be_caused_by_rows
from promoportal.resilience import circuit_breaker, outcome_policy
from redemptions.models import Redemption, RedemptionReason, RedemptionState, Report

Outcome = Report.Outcome

# Failures after which staff decide. With the retry delays, about three days pass.
GIVE_UP_AFTER = 80
# Most redemptions whose batches are enlarged after a request that succeeded.
MAX_ENLARGED = 5000
# Seconds to wait after a redemption request that was not sent, and after a 401.
AFTER_HAND_BACK, AFTER_UNAUTHORIZED = 1, 10


@dataclass(frozen=True)
class ClaimedReport:
    """A stored redemption request, and the redemptions that a worker claimed for it."""

    report: Report
    lease: Lease
    rows: Sequence[Redemption]


def conclude(carried: ClaimedReport, result: Verdict | wire.WireError | None) -> None:
    """
    Record the outcome of a request and change its redemptions, in one transaction.

    `result` is the verdict, or the error, or None if nothing was sent.
    """
    if result is None:
        claimed = ClaimedRedemptions(carried, Outcome.NOT_SENT)
    elif isinstance(result, wire.WireError):
        claimed = _failed(carried, result)
    else:
        claimed = _answered(carried, result)
    with transaction.atomic():
        # After a failover, another request may have the same primary key.
        written = Report.objects.filter(pk=carried.report.pk, token=carried.lease.token)
        written.update(outcome=claimed.outcome, ended_at=Now(), **claimed.recorded)
        outcome_policy.FOLLOWS[claimed.outcome](claimed)


def _failed(carried: ClaimedReport, error: wire.WireError) -> ClaimedRedemptions:
    failures = max(row.failures for row in carried.rows)
    return ClaimedRedemptions(
        carried,
        Outcome(outcome_policy.outcome_of(error)),
        asdict(error.record),
        error=error,
        delay=outcome_policy.delay_after(error, failures),
    )


def _answered(carried: ClaimedReport, verdict: Verdict) -> ClaimedRedemptions:
    # A redemption that Optimove rejects as a duplicate was accepted before.
    refused = {
        carried.rows[refusal.index].pk: {
            "problem": f"{refusal.code}: {refusal.message}"[:2000]
        }
        for refusal in verdict.rejected
        if not refusal.duplicate
    }
    accepted = len(carried.rows) - len(refused)
    return ClaimedRedemptions(
        carried,
        Outcome.PARTLY if refused else Outcome.ACCEPTED,
        {**asdict(verdict.evidence), "accepted": accepted, "rejected": len(refused)},
        refused=refused,
    )


def _enlarge_batches(reported: Sequence[Redemption]) -> None:
    """
    Double the batches of waiting rows with the same batch limit.

    Otherwise, the batches would stay small after many failures. A row that is reported
    alone stays alone: it failed alone, or staff decided so.
    """
    limit = reported[0].batch_limit
    if limit < 2:
        return
    alike = Redemption.objects.filter(state=RedemptionState.WAITING, batch_limit=limit)
    # Other workers may do the same at this time, or claim these rows.
    free = alike.order_by("not_before", "pk").select_for_update(skip_locked=True)
    keys = list(free.values_list("pk", flat=True)[:MAX_ENLARGED])
    Redemption.objects.filter(pk__in=keys).update(batch_limit=2 * limit)


# States in which a late response counts. Staff may have written the redemption off.
_OPEN = (
    RedemptionState.UNCERTAIN,
    RedemptionState.WAITING,
    RedemptionState.WRITTEN_OFF,
)


@dataclass(frozen=True)
class ClaimedRedemptions:
    """The redemptions claimed for a redemption request, and the request's outcome."""

    carried: ClaimedReport
    outcome: Outcome
    recorded: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    error: wire.WireError | None = None
    delay: float = 0.0  # seconds, the same for all rows

    @property
    def rows(self) -> QuerySet[Redemption]:
        token = self.carried.lease.token
        return Redemption.objects.filter(state=RedemptionState.REPORTING, token=token)

    @property
    def at_fault(self) -> QuerySet[Redemption]:
        return self.rows.none() if self._failed_together() else self.rows

    @property
    def problem(self) -> str:
        return str(self.error or "")

    def finish(self) -> None:
        _enlarge_batches(self.carried.rows)
        self._hold(self.rows, RedemptionReason.REFUSED, each=self.refused)
        taken = self.rows | self._no_longer_claimed()
        why = "Optimove took report {}."
        self._move(taken, RedemptionState.REPORTED, why, reason="", problem="")

    def hand_back(self) -> None:
        self._wait(AFTER_HAND_BACK)

    def retry(self) -> None:
        if self._is_key_refused():
            self._wait(AFTER_UNAUTHORIZED)
        else:
            # These rows have failed too often.
            hopeless = self.rows.filter(failures__gte=GIVE_UP_AFTER)
            self._hold(hopeless, RedemptionReason.GIVEN_UP, problem=self.problem)
            counted = {"failures": F("failures") + 1}
            self._wait(self.delay, **self._failed_together() or counted)

    def put_in_doubt(self) -> None:
        self._move(
            self.rows,
            RedemptionState.UNCERTAIN,
            "Report {} was sent and not answered.",
            problem=self.problem,
            not_before=seconds_from_now(self.delay),
            lease_until=F(
                "lease_until"
            ),  # the request may arrive until some time later
            **self._failed_together() or {"failures": F("failures") + 1},
        )

    def refuse(self) -> None:
        if divided := self._failed_together():
            self._wait(0, **divided)
        else:
            self._hold(self.rows, RedemptionReason.REFUSED, problem=self.problem)

    def hold_malformed(self, rows: QuerySet[Redemption]) -> None:
        self._hold(rows, RedemptionReason.MALFORMED, problem=self.problem)

    def _failed_together(self) -> dict[str, Any]:
        """
        Return the changes of rows that failed together and may be the cause, or {}.

        The next requests have half as many rows, to find the redemption that causes
        the failure. The failure counts against none of them: it may be another one's.
        If all calls fail, Optimove is the cause, and smaller requests do not help.
        """
        count = len(self.carried.rows)
        if count == 1 or self.error is None or not may_be_caused_by_rows(self.error):
            return {}
        if circuit_breaker.is_open(circuit_breaker.Side.VENDOR):
            return {}
        return {"batch_limit": (count + 1) // 2}

    def _is_key_refused(self) -> bool:
        """Return whether the response was 401, which no row has caused."""
        error = self.error
        return isinstance(error, wire.Misconfigured) and error.status == UNAUTHORIZED

    def _no_longer_claimed(self) -> QuerySet[Redemption]:
        """Return the accepted rows that were not `REPORTED` when their lease ended."""
        lost = [RedemptionReason.UNANSWERED, RedemptionReason.GIVEN_UP]
        # The report is found by its token: after a failover, another report may have
        # its primary key.
        return Redemption.objects.filter(
            Q(state__in=_OPEN) | Q(state=RedemptionState.HELD, reason__in=lost),
            report__token=self.carried.lease.token,
        ).exclude(pk__in=self.refused)

    def _wait(self, seconds: float, **changes: Any) -> None:
        changes |= {"problem": self.problem, "not_before": seconds_from_now(seconds)}
        again = "Report {} is tried again."
        self._move(self.rows, RedemptionState.WAITING, again, **changes)

    def _hold(
        self, rows: QuerySet[Redemption], reason: RedemptionReason, **changes: Any
    ) -> None:
        why = f"Report {{}}: {reason.label}."
        self._move(rows, RedemptionState.HELD, why, reason=reason, **changes)

    def _move(
        self, rows: QuerySet[Redemption], to: RedemptionState, why: str, **changes: Any
    ) -> None:
        why = why.format(self.carried.report.pk)
        state_machine.move_all(rows, to, why=why, **{**RELEASED, **changes})
