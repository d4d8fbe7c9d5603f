"""The creation of redemptions, in the transaction of the activation."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.db.models import QuerySet
from pytest_django import Settings

from executions.models import ExecutionKind, ExecutionProgress
from promoportal.db.database_clock import database_now
from redemptions.creation import create_redemptions, next_batch
from redemptions.models import Redemption, ReportMode
from rewards.models import Assignment, AssignmentState
from rewards.transitions import mark_active
from tests.factories import AssignmentFactory, ExecutionFactory, PromotionFactory
from tests.world import World


def activating() -> QuerySet[Assignment]:
    row = AssignmentFactory(state=AssignmentState.ACTIVATING)
    return Assignment.objects.filter(pk=row.pk)


def test_an_activation_creates_a_redemption(db: None) -> None:
    rows = activating()

    mark_active(rows, {rows.get().pk: "receipt"}, why="The platform gave it.")

    redemption = Redemption.objects.get()
    assert redemption.assignment == rows.get(state=AssignmentState.ACTIVE)
    assert redemption.redeemed_at == rows.get().state_since


def test_a_rolled_back_activation_creates_no_redemption(db: None) -> None:
    rows = activating()

    with suppress(ZeroDivisionError), transaction.atomic():
        mark_active(rows, {rows.get().pk: "receipt"}, why="The platform gave it.")
        assert Redemption.objects.exists()
        raise ZeroDivisionError

    assert rows.get().state == AssignmentState.ACTIVATING
    assert not Redemption.objects.exists()


@pytest.mark.parametrize(
    ("portal", "promotion", "kind", "mode"),
    [
        pytest.param(
            "auto",
            "",
            ExecutionKind.TRIGGERED,
            ReportMode.TRIGGERED,
            id="auto, triggered",
        ),
        pytest.param(
            "auto",
            "",
            ExecutionKind.SCHEDULED,
            ReportMode.SCHEDULED,
            id="auto, scheduled",
        ),
        pytest.param(
            "auto", "", ExecutionKind.UNKNOWN, ReportMode.SCHEDULED, id="auto, unknown"
        ),
        pytest.param(
            "triggered", "", ExecutionKind.SCHEDULED, ReportMode.TRIGGERED, id="at once"
        ),
        pytest.param(
            "scheduled", "", ExecutionKind.TRIGGERED, ReportMode.SCHEDULED, id="batches"
        ),
        pytest.param("off", "", ExecutionKind.TRIGGERED, None, id="off"),
        pytest.param(
            "off", "triggered", ExecutionKind.SCHEDULED, ReportMode.TRIGGERED, id="own"
        ),
        pytest.param(
            "off",
            "scheduled",
            ExecutionKind.TRIGGERED,
            ReportMode.SCHEDULED,
            id="own, too",
        ),
        pytest.param("auto", "off", ExecutionKind.TRIGGERED, None, id="own is off"),
    ],
)
def test_the_mode_of_a_report_comes_from_the_promotion_or_the_setting(
    db: None,
    settings: Settings,
    portal: str,
    promotion: str,
    kind: ExecutionKind,
    mode: ReportMode | None,
) -> None:
    settings.REDEMPTION_MODE = portal
    row = AssignmentFactory(
        state=AssignmentState.ACTIVE,
        execution=ExecutionFactory(kind=kind),
        promotion=PromotionFactory(redemption_mode=promotion),
    )

    create_redemptions([row.pk])

    modes = list(Redemption.objects.values_list("mode", flat=True))
    assert modes == ([mode] if mode else [])


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-01-15T{text}+00:00").astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "seconds", "leaves"),
    [
        pytest.param("10:00:00", 300, "10:05:00", id="just left"),
        pytest.param("10:00:01", 300, "10:05:00", id="the whole interval"),
        pytest.param("10:04:59.999999", 300, "10:05:00", id="at the last moment"),
        pytest.param("10:05:00", 300, "10:10:00", id="a moment late"),
        pytest.param("10:00:00.5", 1, "10:00:01", id="every second"),
        pytest.param("23:59:59", 3600, "00:00:00", id="over midnight"),
    ],
)
def test_a_batch_is_due_at_whole_intervals(now: str, seconds: int, leaves: str) -> None:
    found = next_batch(at(now), timedelta(seconds=seconds))

    assert f"{found:%H:%M:%S}" == leaves
    assert found > at(now)


def test_an_immediate_redemption_is_due_now_and_a_batched_one_later(
    db: None, settings: Settings
) -> None:
    settings.REDEMPTION_INTERVAL = timedelta(hours=1)
    now = AssignmentFactory(
        state=AssignmentState.ACTIVE,
        promotion=PromotionFactory(redemption_mode="triggered"),
    )
    later = AssignmentFactory(state=AssignmentState.ACTIVE)

    create_redemptions([now.pk, later.pk])

    assert now.redemption.not_before <= database_now()
    assert later.redemption.not_before > database_now()


def test_a_second_creation_changes_nothing(db: None) -> None:
    row = AssignmentFactory(state=AssignmentState.ACTIVE)

    create_redemptions([row.pk])
    create_redemptions([row.pk])

    assert Redemption.objects.count() == 1


def test_the_reference_is_the_same_after_a_restored_backup(db: None) -> None:
    row = AssignmentFactory(state=AssignmentState.ACTIVE)
    create_redemptions([row.pk])
    before = Redemption.objects.get().reference
    Redemption.objects.all().delete()

    create_redemptions([row.pk])

    assert Redemption.objects.get().reference == before


def test_a_redemption_reopens_a_settled_execution(db: None) -> None:
    row = AssignmentFactory(
        state=AssignmentState.ACTIVE,
        execution=ExecutionFactory(state=ExecutionProgress.SETTLED),
    )

    create_redemptions([row.pk])

    row.execution.refresh_from_db()
    assert row.execution.state == ExecutionProgress.ACTIVATING


def test_an_activation_that_is_not_reported_is_no_mismatch(
    world: World, settings: Settings
) -> None:
    settings.REDEMPTION_MODE = "off"
    world.box.assign("7311", "C1")

    world.announce("7311")
    world.wait()

    found = world.reconcile("7311")
    assert (found.active, found.reported, found.drift) == (1, 0, 0)
    assert not world.box.redemptions
