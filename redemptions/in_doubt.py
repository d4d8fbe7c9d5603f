"""Redemptions whose outcome is unknown: no response, or a worker that crashed."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from promoportal import optimove
from promoportal.db import state_machine
from promoportal.db.leases import due
from redemptions.models import Redemption, RedemptionReason, RedemptionState, Report
from redemptions.report_outcomes import GIVE_UP_AFTER

SWEEP = 5000


def expire() -> int:
    """Move redemptions whose lease has ended to `UNCERTAIN`; return their number."""
    over = Redemption.objects.filter(
        state=RedemptionState.REPORTING, lease_until__lte=Now()
    ).order_by("lease_until")[:SWEEP]
    with transaction.atomic():
        lost = state_machine.move_all(
            over.select_for_update(skip_locked=True),
            RedemptionState.UNCERTAIN,
            why="Its worker died or froze while it may have been sent.",
            failures=F("failures") + 1,
            not_before=Now(),
            token=None,  # the end of the lease is kept: see `decisions.report_again`
        )
        Report.objects.filter(redemptions__in=lost, outcome="").update(
            outcome=Report.Outcome.LOST, ended_at=Now()
        )
    return len(lost)


def settle() -> None:
    """
    Resolve redemptions in `UNCERTAIN`: report them again, or move them to `HELD`.

    Redemptions that failed more than `GIVE_UP_AFTER` times move to `HELD`. Others are
    reported again if Optimove recognizes a repeat by its reference.
    """
    state_machine.move_all(
        _uncertain(failures__gt=GIVE_UP_AFTER),
        RedemptionState.HELD,
        why="It was never answered.",
        reason=RedemptionReason.GIVEN_UP,
    )
    if optimove.current().redemptions.repeat_is_safe:
        state_machine.move_all(
            _uncertain(),
            RedemptionState.WAITING,
            why="It is reported again under the same reference.",
            not_before=Now(),
        )
    else:
        problem = "It was sent, no answer came, and a repeat might be counted twice."
        hold_unanswered(_uncertain(), problem)


def hold_unanswered(rows: QuerySet[Redemption], problem: str) -> None:
    """Move redemptions that may have been reported to `HELD`, so that staff decide."""
    state_machine.move_all(
        rows,
        RedemptionState.HELD,
        why=problem,
        reason=RedemptionReason.UNANSWERED,
        problem=problem,
    )


def _uncertain(**conditions: Any) -> QuerySet[Redemption]:
    """Return up to `SWEEP` due redemptions in `UNCERTAIN`, the longest due first."""
    rows = Redemption.objects.filter(
        due(), state=RedemptionState.UNCERTAIN, **conditions
    )
    return rows.order_by("not_before")[:SWEEP]
