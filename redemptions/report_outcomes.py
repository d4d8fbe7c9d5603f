from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from promoportal import wire
from promoportal.db import state_machine
from promoportal.db.database_clock import seconds_from_now
from promoportal.db.leases import RELEASED, Lease
from promoportal.optimove import Verdict
from promoportal.optimove.throttle import UNAUTHORIZED
from promoportal.resilience.backoff import backoff_seconds
from promoportal.resilience.outcome_policy import BACKOFF, MAX_MALFORMED
from redemptions.models import Redemption, RedemptionReason, RedemptionState, Report

# Three days of them.
GIVE_UP_AFTER = 80


@dataclass(frozen=True)
class ClaimedReport:
    """A report that is ours to send, with what it carries."""

    report: Report
    lease: Lease
    rows: Sequence[Redemption]


def _ours(carried: ClaimedReport) -> QuerySet[Redemption]:
    return Redemption.objects.filter(
        state=RedemptionState.REPORTING, token=carried.lease.token
    )


def apply_response(carried: ClaimedReport, verdict: Verdict) -> None:
    # One that was taken before is taken: it counts, and a repeat changes nothing.
    refused = {
        carried.rows[refusal.index].pk: {
            "problem": f"{refusal.code}: {refusal.message}"[:2000]
        }
        for refusal in verdict.rejected
        if not refusal.duplicate
    }
    with transaction.atomic():
        outcome = Report.Outcome.PARTLY if refused else Report.Outcome.ACCEPTED
        accepted = len(carried.rows) - len(refused)
        counted = {"accepted": accepted, "rejected": len(refused)}
        _close(carried, outcome, verdict.evidence, **counted)
        _hold(carried, refused, RedemptionReason.REFUSED)
        taken = _ours(carried) | _given_up_for_lost(carried).exclude(pk__in=refused)
        state_machine.move_all(
            taken,
            RedemptionState.REPORTED,
            why=f"Optimove took report {carried.report.pk}.",
            reason="",
            problem="",
            **RELEASED,
        )


def _given_up_for_lost(carried: ClaimedReport) -> QuerySet[Redemption]:
    """What our lease ran out on: an answer that comes late is evidence all the same."""
    return Redemption.objects.filter(
        Q(state=RedemptionState.UNCERTAIN)
        | Q(state=RedemptionState.HELD, reason=RedemptionReason.UNANSWERED),
        report=carried.report,
    )


def _hold(
    carried: ClaimedReport,
    problems: Mapping[int, Mapping[str, Any]],
    reason: RedemptionReason,
) -> None:
    state_machine.move_all(
        _ours(carried),
        RedemptionState.HELD,
        why=f"Report {carried.report.pk}: {reason.label}.",
        each=problems,
        reason=reason,
        **RELEASED,
    )


def apply_error(carried: ClaimedReport, error: wire.WireError) -> None:
    with transaction.atomic():
        match error:
            case wire.Misconfigured():
                _close(carried, Report.Outcome.MISCONFIGURED, _evidence(error))
                _forbidden(carried, error)
            case wire.Rejected():
                _close(carried, Report.Outcome.REFUSED, _evidence(error))
                _refused_whole(carried, error)
            case wire.Malformed():
                _close(carried, Report.Outcome.MALFORMED, _evidence(error))
                _malformed(carried, error)
            case wire.Unanswered():
                _close(carried, Report.Outcome.UNANSWERED, _evidence(error))
                _unanswered(carried, error)
            case _:
                _close(carried, Report.Outcome.UNAVAILABLE, _evidence(error))
                _unavailable(carried, error)


def hand_back(carried: ClaimedReport) -> None:
    with transaction.atomic():
        _close(carried, Report.Outcome.NOT_SENT)
        _again(carried, 1, "")


def _evidence(error: wire.WireError) -> wire.Evidence:
    return wire.Evidence(error.status, error.answer or str(error), error.duration_ms)


def _close(
    carried: ClaimedReport,
    outcome: Report.Outcome,
    evidence: wire.Evidence | None = None,
    **changes: Any,
) -> None:
    said = asdict(evidence) if evidence else {}
    Report.objects.filter(pk=carried.report.pk).update(
        outcome=outcome, ended_at=Now(), **said, **changes
    )


def _again(
    carried: ClaimedReport, seconds: float, problem: str, **changes: Any
) -> None:
    state_machine.move_all(
        _ours(carried),
        RedemptionState.WAITING,
        why=f"Report {carried.report.pk} is tried again.",
        problem=problem,
        not_before=seconds_from_now(seconds),
        **changes,
        **RELEASED,
    )


def _forbidden(carried: ClaimedReport, error: wire.WireError) -> None:
    """What is forbidden to everybody is the breaker's matter; else it adds up."""
    if error.status == UNAUTHORIZED:
        _again(carried, 10, str(error))
    else:
        _unavailable(carried, error)


def _unavailable(carried: ClaimedReport, error: wire.WireError) -> None:
    hopeless = _ours(carried).filter(failures__gte=GIVE_UP_AFTER)
    _hold(carried, _said(hopeless, error), RedemptionReason.GIVEN_UP)
    seconds = _wait(carried, getattr(error, "retry_after", None))
    _again(carried, seconds, str(error), failures=F("failures") + 1)


def _refused_whole(carried: ClaimedReport, error: wire.WireError) -> None:
    """One bad line may spoil a batch: it is halved until the line stands alone."""
    if len(carried.rows) == 1:
        _hold(carried, _said(_ours(carried), error), RedemptionReason.REFUSED)
    else:
        half = (len(carried.rows) + 1) // 2
        _again(carried, 0, str(error), batch_limit=half)


def _malformed(carried: ClaimedReport, error: wire.WireError) -> None:
    hopeless = _ours(carried).filter(malformed__gte=MAX_MALFORMED - 1)
    _hold(carried, _said(hopeless, error), RedemptionReason.MALFORMED)
    _ours(carried).update(malformed=F("malformed") + 1)
    _unanswered(carried, error)


def _unanswered(carried: ClaimedReport, error: wire.WireError) -> None:
    state_machine.move_all(
        _ours(carried),
        RedemptionState.UNCERTAIN,
        why=f"Report {carried.report.pk} was sent and not answered.",
        problem=str(error),
        failures=F("failures") + 1,
        not_before=seconds_from_now(_wait(carried, None)),
        **RELEASED,
    )


def _wait(carried: ClaimedReport, retry_after: float | None) -> float:
    return backoff_seconds(
        BACKOFF, max(row.failures for row in carried.rows) + 1, retry_after
    )


def _said(
    rows: QuerySet[Redemption], error: wire.WireError
) -> dict[int, dict[str, str]]:
    return {pk: {"problem": str(error)} for pk in rows.values_list("pk", flat=True)}
