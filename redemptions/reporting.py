"""
Telling the vendor what was given: claim, call, conclude.

The report is written down before it is sent. Redemptions that are due at once go one by
one, as the vendor's guide says, until more wait than its limit allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from promoportal import breakers, continuity, crashing, optimove, states, wire
from promoportal.crashing import Point
from promoportal.leases import Budget, Lease, after, due, wait
from promoportal.leave import STRANGER, NotNow, one_call
from promoportal.optimove import Promotions, Verdict, allowance
from promoportal.optimove.allowance import Priority
from redemptions.models import Mode, Reason, Redemption, Report, State

LEASE = 60.0
# Seconds a call can take; none is begun that could outlive its lease.
LONGEST_CALL = 20.0
# Seconds a job goes on reporting, so that others get their turn.
TURN = 5.0
# Seconds to wait after a failure; the last for ever after.
WAITS = (1, 5, 15, 60, 5 * 60, 15 * 60, 30 * 60, 60 * 60)
# Three days of them.
GIVE_UP_AFTER = 80
MOST_MALFORMED = 8
# Waiting ones that still go one by one: more would take seconds of the vendor's limit.
ONE_BY_ONE = 5

_RELEASED: dict[str, Any] = {"token": None, "lease_until": None}


@dataclass(frozen=True)
class Carried:
    """A report that is ours to send, with what it carries."""

    report: Report
    lease: Lease
    rows: Sequence[Redemption]


def report() -> None:
    """Report what is due, for one turn."""
    budget = Budget(TURN)
    with Promotions.from_settings() as client:
        while not budget.is_spent() and _may_call():
            carried = claim(batch_limit=client.batch_limit)
            if carried is None:
                return
            crashing.at(Point.REPORTING_CLAIMED)
            send(carried, client)
            crashing.at(Point.REPORTING_CONCLUDED)


def is_due() -> bool:
    """Whether a job would find something to report, and may."""
    return _may_call() and _due().exists()


def _due() -> QuerySet[Redemption]:
    return Redemption.objects.filter(due(), state=State.WAITING)


def _may_call() -> bool:
    """Whether a claim is likely to get leave to be sent; asking costs nothing."""
    return not _rests() and allowance.remaining(Priority.REPORTING) > 0


def _rests() -> bool:
    return breakers.rests(breakers.Side.VENDOR)


def claim(*, batch_limit: int) -> Carried | None:
    """Take what the next report carries, and write the report down."""
    with transaction.atomic(durable=True):
        rows = [] if continuity.is_broken() else _chosen(batch_limit)
        if not rows:
            return None
        lease = Lease(LEASE)
        written = Report.objects.create(
            size=len(rows),
            is_batch=len(rows) > 1 or (rows[0].is_batched and batch_limit > 1),
            token=lease.token,
        )
        _take(rows, written, lease)
        return Carried(written, lease, rows)


def _chosen(batch_limit: int) -> list[Redemption]:
    """The longest due first; those a refused batch was halved for, by themselves."""
    free = _due().select_for_update(of=["self"], skip_locked=True)
    ordered = free.order_by("not_before", "pk").select_related(
        "assignment__execution", "assignment__promotion"
    )
    first = ordered.first()
    if first is None:
        return []
    most = _most(first, batch_limit)
    alike = ordered.filter(batch_limit=first.batch_limit, mode=first.mode)
    return list(alike[:most])


def _most(first: Redemption, batch_limit: int) -> int:
    most = min(first.batch_limit or batch_limit, batch_limit)
    if first.is_batched:
        return most
    calls = min(ONE_BY_ONE, allowance.remaining(Priority.REPORTING))
    waiting = _due().filter(mode=Mode.TRIGGERED)[: calls + 1].count()
    return most if waiting > calls else 1


def _take(rows: Sequence[Redemption], written: Report, lease: Lease) -> None:
    states.move_all(
        Redemption.objects.filter(pk__in=[row.pk for row in rows]),
        State.REPORTING,
        why=f"Report {written.pk} carries it.",
        report=written,
        token=lease.token,
        lease_until=after(LEASE),
        attempts=F("attempts") + 1,
    )


def send(carried: Carried, client: Promotions) -> None:
    """Send one report and follow its answer."""
    if carried.lease.left() < LONGEST_CALL:
        _hand_back(carried)
        return
    rows = [told(row) for row in carried.rows]
    try:
        with (
            one_call(Priority.REPORTING),
            wire.only_while(lambda: carried.lease.left() > 0),
        ):
            if carried.report.is_batch:
                verdict = client.report_batch(rows)
            else:
                verdict = client.report(rows[0])
    except NotNow:
        _hand_back(carried)
    except wire.WireError as error:
        _failed(carried, error)
    else:
        crashing.at(Point.REPORTING_ANSWERED)
        _answered(carried, verdict)


def told(row: Redemption) -> optimove.Redemption:
    assignment = row.assignment
    return optimove.Redemption(
        occurrence=assignment.execution.reference,
        promotion=assignment.promotion.reference if assignment.promotion else "",
        customer=assignment.customer,
        assignment=assignment.reference,
        redeemed_at=row.redeemed_at,
        reference=row.reference,
    )


def _ours(carried: Carried) -> QuerySet[Redemption]:
    return Redemption.objects.filter(state=State.REPORTING, token=carried.lease.token)


def _answered(carried: Carried, verdict: Verdict) -> None:
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
        _hold(carried, refused, Reason.REFUSED)
        taken = _ours(carried) | _given_up_for_lost(carried).exclude(pk__in=refused)
        states.move_all(
            taken,
            State.REPORTED,
            why=f"Optimove took report {carried.report.pk}.",
            reason="",
            problem="",
            **_RELEASED,
        )


def _given_up_for_lost(carried: Carried) -> QuerySet[Redemption]:
    """What our lease ran out on: an answer that comes late is evidence all the same."""
    return Redemption.objects.filter(
        Q(state=State.UNCERTAIN) | Q(state=State.HELD, reason=Reason.UNANSWERED),
        report=carried.report,
    )


def _hold(
    carried: Carried, problems: Mapping[int, Mapping[str, Any]], reason: Reason
) -> None:
    states.move_all(
        _ours(carried),
        State.HELD,
        why=f"Report {carried.report.pk}: {reason.label}.",
        each=problems,
        reason=reason,
        **_RELEASED,
    )


def _failed(carried: Carried, error: wire.WireError) -> None:
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


def _hand_back(carried: Carried) -> None:
    with transaction.atomic():
        _close(carried, Report.Outcome.NOT_SENT)
        _again(carried, 1, "")


def _evidence(error: wire.WireError) -> wire.Evidence:
    return wire.Evidence(error.status, error.answer or str(error), error.duration_ms)


def _close(
    carried: Carried,
    outcome: Report.Outcome,
    evidence: wire.Evidence | None = None,
    **changes: Any,
) -> None:
    said = asdict(evidence) if evidence else {}
    Report.objects.filter(pk=carried.report.pk).update(
        outcome=outcome, ended_at=Now(), **said, **changes
    )


def _again(carried: Carried, seconds: float, problem: str, **changes: Any) -> None:
    states.move_all(
        _ours(carried),
        State.WAITING,
        why=f"Report {carried.report.pk} is tried again.",
        problem=problem,
        not_before=after(seconds),
        **changes,
        **_RELEASED,
    )


def _forbidden(carried: Carried, error: wire.WireError) -> None:
    """What is forbidden to everybody is the breaker's matter; else it adds up."""
    if error.status == STRANGER:
        _again(carried, 10, str(error))
    else:
        _unavailable(carried, error)


def _unavailable(carried: Carried, error: wire.WireError) -> None:
    hopeless = _ours(carried).filter(failures__gte=GIVE_UP_AFTER)
    _hold(carried, _said(hopeless, error), Reason.GIVEN_UP)
    seconds = _wait(carried, getattr(error, "retry_after", None))
    _again(carried, seconds, str(error), failures=F("failures") + 1)


def _refused_whole(carried: Carried, error: wire.WireError) -> None:
    """One bad line may spoil a batch: it is halved until the line stands alone."""
    if len(carried.rows) == 1:
        _hold(carried, _said(_ours(carried), error), Reason.REFUSED)
    else:
        half = (len(carried.rows) + 1) // 2
        _again(carried, 0, str(error), batch_limit=half)


def _malformed(carried: Carried, error: wire.WireError) -> None:
    hopeless = _ours(carried).filter(malformed__gte=MOST_MALFORMED - 1)
    _hold(carried, _said(hopeless, error), Reason.MALFORMED)
    _ours(carried).update(malformed=F("malformed") + 1)
    _unanswered(carried, error)


def _unanswered(carried: Carried, error: wire.WireError) -> None:
    states.move_all(
        _ours(carried),
        State.UNCERTAIN,
        why=f"Report {carried.report.pk} was sent and not answered.",
        problem=str(error),
        failures=F("failures") + 1,
        not_before=after(_wait(carried, None)),
        **_RELEASED,
    )


def _wait(carried: Carried, retry_after: float | None) -> float:
    return wait(WAITS, max(row.failures for row in carried.rows) + 1, retry_after)


def _said(
    rows: QuerySet[Redemption], error: wire.WireError
) -> dict[int, dict[str, str]]:
    return {pk: {"problem": str(error)} for pk in rows.values_list("pk", flat=True)}
