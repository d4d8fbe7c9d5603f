"""After the clock of the database is set back, no reward is activated twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from executions.models import Trigger
from promoportal import platforms, wire
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.database_identity import Continuity
from promoportal.operations import restored_backup
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Breaker, Side
from promoportal.sandbox import Fault
from redemptions import reporting
from redemptions.models import Redemption
from rewards.activation.claims import claim
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from tests.factories import TriggerFactory
from tests.world import World

LOST = Fault(kind="lost_answer", side="platform", route="rewards")


@pytest.fixture
def owed(world: World, settings: Settings) -> Assignment:
    settings.PLATFORM_CAPABILITY = "idempotent"
    world.box.become("keyed")
    world.box.assign("7311", "C1")
    world.collect("7311")
    restored_backup.detect_restore()
    return world.assignment("C1")


def set_back(by: timedelta) -> None:
    """Set the clock back: all stored times are later by this then."""
    Continuity.objects.update(seen_at=F("seen_at") + by)
    Assignment.objects.update(
        first_sent_at=F("first_sent_at") + by,
        lease_until=F("lease_until") + by,
        not_before=F("not_before") + by,
        owed_since=F("owed_since") + by,
    )
    Attempt.objects.update(begun_at=F("begun_at") + by)
    Redemption.objects.update(not_before=F("not_before") + by)
    Trigger.objects.update(not_before=F("not_before") + by)
    Breaker.objects.update(open_until=F("open_until") + by)


def pass_time(by: timedelta) -> None:
    set_back(-by)


@pytest.mark.parametrize("hours", [10, 30])
def test_a_key_that_the_platform_has_forgotten_is_not_sent_again(
    world: World, owed: Assignment, hours: int
) -> None:
    """With 10 hours, nothing lies in the future: the reward only looks too young."""
    world.box.order(LOST)
    world.run_activation()
    pass_time(timedelta(hours=10))
    Continuity.objects.update(seen_at=Now())
    set_back(timedelta(hours=hours))

    restored_backup.detect_restore()
    pass_time(timedelta(hours=20))
    world.box.forget_keys()
    world.wait()

    owed.refresh_from_db()
    assert (owed.state, owed.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNANSWERED,
    )
    assert len(world.box.credits) == 1


def test_nothing_is_claimed_before_the_step_is_noticed(
    world: World, owed: Assignment
) -> None:
    Continuity.objects.update(seen_at=seconds_from_now(3600))

    world.run_activation()
    assert not world.box.credits
    assert claim(owed.execution_id, platforms.current_capability(), 1) is None
    assert reporting.claim(batch_limit=10) is None

    restored_backup.detect_restore()
    world.run_activation()
    assert len(world.box.credits) == 1


def test_a_possibly_activated_reward_that_is_young_is_sent_again_after_the_step(
    world: World, owed: Assignment
) -> None:
    world.box.order(LOST)
    world.run_activation()
    set_back(timedelta(hours=30))

    restored_backup.detect_restore()
    world.wait()

    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVE
    assert len(world.box.credits) == 1


def test_rows_do_not_wait_until_the_clock_has_caught_up(
    world: World, owed: Assignment
) -> None:
    Assignment.objects.update(not_before=seconds_from_now(60))
    TriggerFactory(not_before=seconds_from_now(60))
    circuit_breaker.trip(Side.PLATFORM, wire.Misconfigured("later"))
    set_back(timedelta(hours=30))

    restored_backup.detect_restore()

    soon = database_now() + timedelta(seconds=61)
    owed.refresh_from_db()
    assert owed.not_before < soon
    assert owed.owed_since < soon
    assert Trigger.objects.get().not_before < soon
    assert Breaker.objects.filter(open_until__lt=soon).exists()


def test_a_lease_ends_for_other_workers_but_not_too_early(
    world: World, owed: Assignment
) -> None:
    assert claim(owed.execution_id, platforms.current_capability(), 1)
    set_back(timedelta(hours=30))

    restored_backup.detect_restore()

    owed.refresh_from_db()
    assert owed.lease_until is not None
    left = owed.lease_until - database_now()
    assert timedelta(seconds=55) < left <= timedelta(seconds=60)


def test_a_step_that_a_time_server_makes_changes_nothing(
    world: World, owed: Assignment
) -> None:
    Assignment.objects.update(first_sent_at=seconds_from_now(-60))
    before = world.assignment("C1").first_sent_at
    Continuity.objects.update(seen_at=seconds_from_now(1))

    restored_backup.detect_restore()

    assert world.assignment("C1").first_sent_at == before


def test_a_standby_whose_clock_is_behind_leaves_no_reward_to_staff(
    world: World, owed: Assignment
) -> None:
    """A gap that begins in the future would leave all these rewards to staff."""
    Continuity.objects.update(
        database="elsewhere", seen_at=timezone.now() + timedelta(minutes=5)
    )

    restored_backup.detect_restore()
    world.wait()

    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVE
