"""
The pictures of the admin in the README.

They are updated with `SCREENS=docs/screens make test ARGS=tests/browser/test_screenshots.py`.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from executions.models import Execution, ExecutionProgress, ExecutionStop
from promoportal.admin.links import page_of
from promoportal.admin.roles import Role
from promoportal.dashboard.customers import page_of as customer
from redemptions.models import RedemptionState
from rewards.models import Assignment, AssignmentReason, AssignmentState, Promotion
from tests.browser.conftest import OpenScreen
from tests.factories import (
    AssignmentFactory,
    CampaignFactory,
    CollectionFactory,
    DeliveryFactory,
    ExecutionFactory,
    PromotionFactory,
    RedemptionFactory,
)

# Bytes: the README has to load fast.
MAX_BYTES = 120_000
REFUSED = "422: the account is closed."


def execution(reference: str, **more: Any) -> Execution:
    campaign = CampaignFactory(reference="512", name="Welcome back")
    return ExecutionFactory(
        reference=reference,
        campaign=campaign,
        state=ExecutionProgress.ACTIVATING,
        **more,
    )


def in_review(run: Execution, count: int, **more: Any) -> None:
    for _ in range(count):
        AssignmentFactory(execution=run, state=AssignmentState.HELD, **more)


def activated(run: Execution, count: int, **more: Any) -> None:
    for number in range(count):
        row = AssignmentFactory(execution=run, state=AssignmentState.OWED, **more)
        Assignment.objects.filter(pk=row.pk).update(
            state=AssignmentState.ACTIVE, receipt=f"R-{row.pk}"
        )
        row.refresh_from_db()
        state = RedemptionState.WAITING if number % 4 == 0 else RedemptionState.REPORTED
        RedemptionFactory(assignment=row, state=state)


def create_executions(promotion: Promotion) -> Execution:
    """Create an execution in progress with rows that need review, and a paused one."""
    run = execution("20418")
    CollectionFactory(execution=run, total=52, seen=52)
    DeliveryFactory(execution=run)
    activated(run, 31, promotion=promotion)
    in_review(
        run, 6, promotion=promotion, reason=AssignmentReason.REFUSED, problem=REFUSED
    )
    in_review(
        run, 2, promotion=promotion, reason=AssignmentReason.UNANSWERED, doubtful=True
    )
    for _ in range(12):
        AssignmentFactory(
            execution=run, promotion=promotion, state=AssignmentState.OWED
        )
    weekend = CampaignFactory(reference="514", name="Weekend spins")
    ExecutionFactory(reference="20421", campaign=weekend, stop=ExecutionStop.PAUSED)
    return run


def create_customer(name: str, promotion: Promotion, run: Execution) -> None:
    ago = timezone.now() - timedelta(days=7)
    before = ExecutionFactory(
        reference="20377", campaign=run.campaign, state=ExecutionProgress.SETTLED
    )
    activated(before, 1, customer=name, promotion=promotion, assigned_at=ago)
    in_review(
        run,
        1,
        customer=name,
        promotion=promotion,
        reason=AssignmentReason.REFUSED,
        problem=REFUSED,
    )


def test_screenshots_can_be_taken_and_are_small(
    open_screen: OpenScreen, tmp_path: Path
) -> None:
    promotion = PromotionFactory(reference="promo-17", name="Welcome back bonus")
    run = create_executions(promotion)
    create_customer("C-20077", promotion, run)
    folder = Path(os.environ.get("SCREENS", tmp_path))
    screen = open_screen(Role.OPERATIONS)
    for name, address in (
        ("overview", "/admin/"),
        ("execution", page_of(run)),
        ("customer", customer("C-20077")),
    ):
        screen.open(address)
        picture = screen.page.screenshot(path=folder / f"{name}.png")
        assert len(picture) < MAX_BYTES, name
