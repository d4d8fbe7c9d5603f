"""Rows that are listed after a restore or a failover: which may have been sent before?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import Settings

from promoportal.db.bulk_result import SkipKind
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.database_identity import Continuity, Gap
from promoportal.operations import restored_backup
from promoportal.optimove import Promotions
from rewards import decisions
from rewards.activation import request_lifetime
from rewards.collection import fetch_runs, ingest
from rewards.models import Assignment, AssignmentState
from tests.conftest import Agree
from tests.promoportal.db.second_connection import elsewhere, patiently, waits
from tests.world import World


def fail_over() -> None:
    """Make the database another one than that on which the portal ran."""
    restored_backup.detect_restore()
    Continuity.objects.update(database="elsewhere", seen_at=seconds_from_now(-60))


# --- Storing while rows are marked ----------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_page_stored_while_rows_are_marked_is_marked_too(world: World) -> None:
    world.box.assign("7311", "C1")
    execution = world.open("7311")
    fail_over()

    with elsewhere() as worker, elsewhere() as scheduler:
        worker.begin()
        worker.do(lambda: fetch(execution.pk))
        marked = scheduler.start(restored_backup.detect_restore)
        waited = waits(marked)
        worker.commit()
        patiently(marked)

    assert world.assignment("C1").doubtful
    assert waited


@pytest.mark.django_db(transaction=True)
def test_a_page_stored_after_rows_are_marked_knows_the_gap(world: World) -> None:
    world.box.assign("7311", "C1")
    execution = world.open("7311")
    fail_over()

    with elsewhere() as worker, elsewhere() as scheduler:
        scheduler.begin()
        scheduler.do(restored_backup.detect_restore)
        stored = worker.start(lambda: fetch(execution.pk))
        waited = waits(stored)
        scheduler.commit()
        patiently(stored)

    assert world.assignment("C1").doubtful
    assert waited


def fetch(execution_pk: int) -> None:
    with (
        Promotions.from_settings() as client,
        fetch_runs.acquired(execution_pk) as collection,
    ):
        assert collection is not None
        fetch_runs.begin(collection)
        page = client.assignments(collection.execution.reference, cursor=None)
        ingest.store(collection, page, fetch_runs.advance)


# --- The end of a gap -----------------------------------------------------------------


@pytest.fixture(params=["", "assignedAt"], ids=["no assignedAt", "assignedAt"])
def assigned_at(request: pytest.FixtureRequest, agree: Agree) -> str:
    """Optimove lists old times, or none: only the portal's own record can end a gap."""
    place: str = request.param
    agree(('assigned_at = "assignedAt"', f'assigned_at = "{place}"'))
    return place


@pytest.fixture
def neither(world: World, settings: Settings) -> None:
    settings.PLATFORM_CAPABILITY = "neither"
    world.box.become("neither")


def gap(*, ended: timedelta) -> None:
    """Record a gap that ended this long ago."""
    restored_backup.detect_restore()
    now = database_now()
    Gap.objects.create(since=now - ended - timedelta(hours=1), until=now - ended)


def assign(world: World, customer: str) -> None:
    world.box.assign("7311", customer, assignedAt="2026-01-01T00:00:00Z")


def test_an_execution_announced_long_after_a_gap_is_activated_as_usual(
    world: World, neither: None, assigned_at: str
) -> None:
    gap(ended=timedelta(hours=27))
    assign(world, "C1")

    world.announce("7311")

    assert world.assignment("C1").state == AssignmentState.ACTIVE


def test_an_execution_announced_within_a_day_may_have_been_sent_in_the_gap(
    world: World, neither: None, assigned_at: str
) -> None:
    """The webhook of another channel may have arrived in the gap."""
    gap(ended=timedelta(hours=25))
    assign(world, "C1")

    world.announce("7311")

    assert world.assignment("C1").doubtful
    assert not world.box.credits


def test_an_execution_that_staff_open_may_have_been_announced_in_the_gap(
    world: World, neither: None, assigned_at: str
) -> None:
    gap(ended=timedelta(days=3))
    assign(world, "C1")
    world.collect("7311")

    assert world.assignment("C1").doubtful


def test_a_webhook_after_staff_opened_the_execution_proves_nothing(
    world: World, neither: None, assigned_at: str
) -> None:
    gap(ended=timedelta(days=3))
    world.open("7311")
    assign(world, "C1")

    world.announce("7311")

    assert world.assignment("C1").doubtful


@pytest.mark.parametrize(("runs", "doubtful"), [(1, True), (2, False)])
def test_a_row_that_two_complete_runs_did_not_contain_is_new(
    world: World, neither: None, assigned_at: str, runs: int, doubtful: bool
) -> None:
    """Optimove may leave a row out once."""
    gap(ended=timedelta(days=3))
    assign(world, "C1")
    for _ in range(runs):
        world.collect("7311")

    assign(world, "C2")
    world.collect("7311")

    assert world.assignment("C1").doubtful
    assert world.assignment("C2").doubtful == doubtful


def test_a_run_that_began_in_the_gap_proves_nothing(
    world: World, neither: None, assigned_at: str
) -> None:
    assign(world, "C1")
    world.collect("7311")
    world.collect("7311")
    gap(ended=timedelta(0))

    assign(world, "C2")
    world.collect("7311")

    assert world.assignment("C2").doubtful


@pytest.mark.parametrize(
    ("hours", "doubtful"), [(0.2, True), (2, True), (25, True), (27, False)]
)
def test_a_time_of_optimove_counts_in_each_time_zone(
    world: World, neither: None, hours: float, doubtful: bool
) -> None:
    """`vendor.time_zone` may be wrong, also for times that have an offset."""
    gap(ended=timedelta(days=3))
    at = database_now() - timedelta(days=3) + timedelta(hours=hours)
    world.box.assign("7311", "C1", assignedAt=f"{at:%Y-%m-%dT%H:%M:%SZ}")
    world.collect("7311")

    assert world.assignment("C1").doubtful == doubtful


def test_a_row_listed_long_after_a_gap_is_looked_up_before_it_needs_review(
    world: World, settings: Settings, assigned_at: str
) -> None:
    settings.PLATFORM_CAPABILITY = "askable"
    world.box.become("askable")
    gap(ended=timedelta(days=3))
    assign(world, "C1")
    world.collect("7311")

    world.wait()

    assert world.assignment("C1").state == AssignmentState.ACTIVE
    assert len(world.box.credits) == 1


# --- Claims from before the gap -------------------------------------------------------


@pytest.fixture
def first_listed_after_a_failover(world: World, settings: Settings) -> Assignment:
    """A reward of which the new primary has no row, and which a worker may still send."""
    settings.PLATFORM_CAPABILITY = "askable"
    world.box.become("askable")
    gap(ended=timedelta(seconds=20))
    world.box.assign("7311", "C1")
    world.collect("7311")
    return world.assignment("C1")


def test_not_found_waits_for_the_claims_from_before_a_failover(
    world: World, first_listed_after_a_failover: Assignment
) -> None:
    world.work()

    row = world.assignment("C1")
    assert (row.state, row.doubtful) == (AssignmentState.UNCERTAIN, True)
    assert request_lifetime.open_until(row)
    assert row.not_before > database_now() + timedelta(minutes=4)
    assert not world.box.credits


def test_staff_cannot_deny_a_reward_that_a_worker_may_have_claimed_before_a_failover(
    first_listed_after_a_failover: Assignment,
) -> None:
    Assignment.objects.update(state=AssignmentState.HELD, reason="UNANSWERED")

    decided = decisions.not_given(Assignment.objects.all(), by=None, why="Not there.")

    assert [reason.kind for reason in decided.skipped] == [SkipKind.TOO_EARLY]


def test_a_reward_listed_long_after_a_failover_waits_for_no_claim(
    world: World, settings: Settings, assigned_at: str
) -> None:
    settings.PLATFORM_CAPABILITY = "askable"
    world.box.become("askable")
    gap(ended=timedelta(hours=1))
    assign(world, "C1")

    world.collect("7311")
    row = world.assignment("C1")

    assert row.doubtful
    assert not request_lifetime.open_until(row)


def test_the_claims_of_the_last_of_several_gaps_count(
    world: World, settings: Settings, assigned_at: str
) -> None:
    """Optimove may have listed the reward before the first gap."""
    gap(ended=timedelta(seconds=20))
    gap(ended=timedelta(hours=20))
    assign(world, "C1")

    world.collect("7311")

    assert request_lifetime.open_until(world.assignment("C1"))


def test_a_new_reward_without_a_gap_has_no_lease(world: World) -> None:
    world.box.assign("7311", "C1")
    world.collect("7311")

    row = world.assignment("C1")
    assert (row.doubtful, row.lease_until) == (False, None)


@pytest.mark.parametrize("status", ["Cancelled", "NotEligible", "Unheard"])
def test_a_reward_in_another_status_waits_for_the_claims_too(
    world: World, status: str
) -> None:
    gap(ended=timedelta(seconds=20))
    world.box.assign("7311", "C1", status=status)

    world.collect("7311")

    row = world.assignment("C1")
    assert row.doubtful
    assert request_lifetime.open_until(row)
