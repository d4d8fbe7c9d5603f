"""The time for which a request may still arrive, and what must wait for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from promoportal.db.bulk_result import SkipKind
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.operations.restored_backup import restored
from promoportal.platforms import Capability
from promoportal.sandbox import Fault
from rewards import decisions
from rewards.activation import deadlines, in_doubt, request_lifetime
from rewards.activation.claims import claim, within_key_retention
from rewards.models import Assignment, AssignmentState
from tests.factories import AssignmentFactory
from tests.staff_client import StaffClient
from tests.world import World

LOST = Fault(kind="lost_answer", side="platform", route="rewards")
NEITHER = Capability(idempotent=False, askable=False)


@pytest.fixture
def unanswered(world: World, settings: Settings) -> Assignment:
    """A reward whose request just got no response, and about which staff decide."""
    settings.PLATFORM_CAPABILITY = "neither"
    world.box.become("neither")
    world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.order(LOST)
    world.run_activation()
    Assignment.objects.update(not_before=Now())
    in_doubt.settle()
    return world.assignment("C1")


def deny() -> list[SkipKind]:
    """Mark all rewards as not activated. Return why rewards were skipped."""
    rows = Assignment.objects.all()
    decided = decisions.not_given(rows, by=None, why="The books say no.")
    return [reason.kind for reason in decided.skipped]


def test_staff_cannot_deny_a_request_that_may_still_arrive(
    unanswered: Assignment, operations: StaffClient
) -> None:
    assert unanswered.lease_until is not None
    until = timezone.localtime(unanswered.lease_until + timedelta(seconds=60))

    said = operations.do("not_given", unanswered)

    assert f"its request may still arrive until {until:%Y-%m-%d %H:%M:%S}" in said
    unanswered.refresh_from_db()
    assert (unanswered.state, unanswered.doubtful) == (AssignmentState.HELD, True)


def test_staff_can_deny_it_when_it_cannot_arrive_any_more(
    unanswered: Assignment,
) -> None:
    Assignment.objects.update(lease_until=seconds_from_now(-61))

    assert deny() == []


def test_staff_can_confirm_it_at_once(unanswered: Assignment) -> None:
    decisions.given(Assignment.objects.all(), by=None, why="The books say yes.")

    unanswered.refresh_from_db()
    assert unanswered.state == AssignmentState.ACTIVE


def test_each_further_request_may_arrive_as_late(
    world: World, unanswered: Assignment
) -> None:
    world.let_time_come()
    assert deny() == []
    world.box.order(LOST)
    world.run_activation()

    assert deny() == [SkipKind.TOO_EARLY]


def test_a_request_of_a_lost_worker_may_arrive_after_a_step_of_the_clock(
    world: World, settings: Settings
) -> None:
    settings.PLATFORM_CAPABILITY = "neither"
    world.box.assign("7311", "C1")
    execution = world.collect("7311")
    assert claim(execution.pk, NEITHER, 1)
    Assignment.objects.update(lease_until=seconds_from_now(-3600))

    deadlines.expire()
    in_doubt.settle()

    assert deny() == [SkipKind.TOO_EARLY]


def test_a_request_made_before_a_backup_was_restored_may_still_arrive(
    world: World, unanswered: Assignment
) -> None:
    world.let_time_come()
    restored(database_now() - timedelta(hours=1))

    assert deny() == [SkipKind.TOO_EARLY]


@pytest.mark.parametrize(("seconds", "is_known"), [(115, False), (125, True)])
def test_a_key_is_not_sent_in_the_last_two_minutes_of_its_retention(
    db: None, seconds: int, is_known: bool
) -> None:
    capability = Capability(idempotent=True, askable=False)
    left = capability.remembers_for - timedelta(seconds=seconds)
    AssignmentFactory(first_sent_at=database_now() - left)

    known = Assignment.objects.filter(within_key_retention(capability))
    assert known.exists() is is_known


@pytest.mark.parametrize(
    ("capability", "mistake"),
    [
        ("askable,settle_grace=30s", "settle_grace is 30 seconds"),
        ("askable,settle_grace=39s", "Set it to 40s or more"),
        ("askable,settle_grace=40s", ""),
        ("idempotent,remembers_for=2m", "remembers_for is 120 seconds"),
        ("idempotent,remembers_for=121s", ""),
        ("idempotent,askable,remembers_for=9m,settle_grace=8m", "remembers_for is 540"),
        ("neither", ""),
    ],
)
def test_times_that_are_too_short_for_a_late_request_are_rejected(
    settings: Settings, capability: str, mistake: str
) -> None:
    settings.PLATFORM_CAPABILITY = capability
    if not mistake:
        request_lifetime.check_platform()
        return
    with pytest.raises(ImproperlyConfigured, match=mistake):
        request_lifetime.check_platform()


def test_a_503_before_the_capability_changed_is_asked_about(
    world: World, settings: Settings
) -> None:
    """The row has no lease any more, from which the time could be measured."""
    world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.order(Fault(kind="error_before", side="platform", status=503))
    world.run_activation()
    settings.PLATFORM_CAPABILITY = "askable"
    world.box.become("askable")

    world.wait()

    assert world.assignment("C1").state == AssignmentState.ACTIVE
    assert len(world.box.credits) == 1
