"""A restored backup knows nothing of what was sent since; nothing is given twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from promoportal import pipeline
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.database_identity import Continuity, Gap
from promoportal.operations import restored_backup
from redemptions import reporting
from redemptions.models import Redemption, RedemptionState
from rewards import decisions
from rewards.models import Assignment, AssignmentReason, AssignmentState
from tests.conftest import Agree
from tests.world import World

PLATFORMS = ["idempotent,askable", "idempotent", "askable", "neither"]
KINDS = {
    "idempotent,askable": "idempotent",
    "idempotent": "keyed",
    "askable": "askable",
    "neither": "neither",
}


@pytest.fixture(params=PLATFORMS)
def capability(request: pytest.FixtureRequest, settings: Settings, box: Any) -> str:
    capability: str = request.param
    settings.PLATFORM_CAPABILITY = capability
    box.become(KINDS[capability])
    return capability


def backup() -> list[dict[str, Any]]:
    """What a dump taken now would know of rewards."""
    restored_backup.detect_restore()
    rows: Any = Assignment.objects.values()
    return list(rows)


def restore(rows: list[dict[str, Any]], *, taken: timedelta = timedelta(0)) -> None:
    """The dump, in a database of its own; rows that it does not know are gone."""
    Redemption.objects.all().delete()
    Assignment.objects.all().delete()
    Assignment.objects.bulk_create([Assignment(**row) for row in rows])
    Continuity.objects.update(database="elsewhere", seen_at=timezone.now() - taken)


def owe(world: World, count: int = 5) -> None:
    for number in range(count):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")


def test_what_was_given_since_is_not_given_again(world: World, capability: str) -> None:
    owe(world)
    dump = backup()
    world.work()
    assert len(world.box.credits) == 5

    restore(dump)
    world.wait()

    assert len(world.box.credits) == 5
    states = set(Assignment.objects.values_list("state", flat=True))
    assert states == {
        AssignmentState.HELD if capability == "neither" else AssignmentState.ACTIVE
    }


def test_a_worker_that_was_there_all_the_time_is_no_quicker_than_the_doubt(
    world: World, capability: str
) -> None:
    """In a failover nobody stops the portal: its workers come again within a second."""
    owe(world)
    dump = backup()
    world.work()

    restore(dump)
    world.run_activation()
    world.wait()

    assert len(world.box.credits) == 5


def test_nor_is_one_that_reports(world: World, agree: Agree) -> None:
    agree(("repeat_is_safe = true", "repeat_is_safe = false"))
    owe(world)
    restored_backup.detect_restore()
    world.run_activation()
    Continuity.objects.update(database="elsewhere")
    world.let_time_come()

    reporting.report()
    assert not world.box.redemptions

    restored_backup.detect_restore()
    held = Redemption.objects.filter(state=RedemptionState.HELD, reason="UNANSWERED")
    assert held.count() == 5


@pytest.mark.parametrize("capability", ["idempotent"], indirect=True)
def test_a_second_gap_makes_nobody_forget_the_first(
    world: World, capability: str
) -> None:
    dump = backup()
    owe(world)
    world.work()
    world.box.forget_keys()

    restore(dump, taken=timedelta(days=2))
    restored_backup.detect_restore()
    Continuity.objects.update(database="elsewhere", seen_at=timezone.now())
    restored_backup.detect_restore()
    world.announce("7311")
    world.wait()

    assert len(world.box.credits) == 5
    assert Assignment.objects.filter(state=AssignmentState.HELD).count() == 5


def test_what_was_not_given_is_given_once_by_whoever_can_tell(
    world: World, capability: str
) -> None:
    owe(world)
    restore(backup())

    world.wait()

    if capability == "neither":
        rows = Assignment.objects.filter(state=AssignmentState.HELD, doubtful=True)
        assert rows.filter(reason=AssignmentReason.UNANSWERED).count() == 5
        assert not world.box.credits
    else:
        assert len({credit.customer for credit in world.box.credits}) == 5
        assert len(world.box.credits) == 5


def test_what_was_listed_since_is_listed_and_not_given_again(
    world: World, capability: str
) -> None:
    dump = backup()
    owe(world)
    world.work()

    restore(dump)
    world.announce("7311")
    world.wait()

    assert len(world.box.credits) == 5
    assert Assignment.objects.count() == 5


def test_what_is_assigned_after_it_is_as_ever(world: World, settings: Settings) -> None:
    settings.PLATFORM_CAPABILITY = "neither"
    world.box.become("neither")
    restore(backup())
    pipeline.tick()
    restored_backup.detect_restore()
    later = timezone.now() + timedelta(minutes=10)
    world.box.assign("7311", "C1", assignedAt=f"{later:%Y-%m-%dT%H:%M:%SZ}")

    world.announce("7311")

    assert world.assignment("C1").state == AssignmentState.ACTIVE


@pytest.mark.parametrize("capability", ["idempotent,askable"], indirect=True)
def test_past_what_the_platform_remembers_a_person_decides(
    world: World, capability: str
) -> None:
    owe(world)
    dump = backup()
    world.work()
    world.box.forget_keys()

    restore(dump, taken=timedelta(days=2))
    world.wait()

    held = Assignment.objects.filter(
        state=AssignmentState.HELD, reason=AssignmentReason.UNANSWERED
    )
    assert held.count() == 5
    assert len(world.box.credits) == 5


@pytest.mark.parametrize("capability", ["askable"], indirect=True)
def test_however_old_it_is_the_platform_is_asked_before_a_person(
    world: World, capability: str
) -> None:
    owe(world)

    restore(backup(), taken=timedelta(days=2))
    world.wait()

    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.ACTIVE
    }
    assert len(world.box.credits) == 5


@pytest.mark.parametrize("capability", ["askable"], indirect=True)
def test_what_it_never_says_is_for_a_person_after_the_time_to_settle(
    world: World, settings: Settings, capability: str
) -> None:
    owe(world)
    restore(backup(), taken=timedelta(days=2))
    restored_backup.detect_restore()

    settings.SETTLE_WITHIN = timedelta(0)
    pipeline.tick()

    held = Assignment.objects.filter(
        state=AssignmentState.HELD, reason=AssignmentReason.UNANSWERED
    )
    assert held.count() == 5


@pytest.mark.parametrize("capability", ["askable"], indirect=True)
@pytest.mark.parametrize("state", ["UNCERTAIN", "ACTIVATING", "OWED"])
def test_what_was_sent_just_before_the_restore_is_given_time_to_be_known(
    world: World, capability: str, state: str
) -> None:
    """The dump knows an old lease, and not that somebody has sent it again since."""
    owe(world, 1)
    sent = {
        "doubtful": True,
        "first_sent_at": seconds_from_now(-600),
        "lease_until": seconds_from_now(-300),
    }
    token = uuid4() if state == "ACTIVATING" else None
    Assignment.objects.update(state=state, token=token, key=uuid4(), order={}, **sent)

    restore(backup())
    pipeline.tick()
    restored_backup.detect_restore()
    world.work()

    row = world.assignment("C0")
    assert row.lease_until is not None
    assert row.lease_until > database_now() + timedelta(seconds=50)
    assert not world.box.credits
    assert row.state == AssignmentState.UNCERTAIN


def test_held_and_void_rewards_are_in_doubt_too(world: World, db: None) -> None:
    world.box.assign("7311", "C1", status="Pending")
    world.box.assign("7311", "C2", status="NotEligible")
    world.collect("7311")

    restore(backup())
    pipeline.tick()
    restored_backup.detect_restore()

    assert set(Assignment.objects.values_list("doubtful", flat=True)) == {True}


def test_said_not_to_be_given_what_was_never_understood_stays_held(
    world: World,
) -> None:
    world.box.assign("7311", "C1", status="Pending")
    world.collect("7311")
    restore(backup())
    restored_backup.detect_restore()

    decisions.not_given(Assignment.objects.all(), by=None, why="Not in their books.")

    row = world.assignment("C1")
    assert (row.state, row.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNKNOWN_STATUS,
    )
    assert not row.doubtful


def test_in_its_own_database_nothing_is_ever_in_doubt(world: World) -> None:
    owe(world)
    assert restored_backup.detect_restore() is None
    assert restored_backup.detect_restore() is None

    assert not Assignment.objects.filter(doubtful=True).exists()
    assert not Gap.objects.exists()


def test_where_a_repeated_report_counts_twice_reports_wait_for_a_person(
    world: World, agree: Agree
) -> None:
    agree(("repeat_is_safe = true", "repeat_is_safe = false"))
    owe(world)
    world.run_activation()
    assert Redemption.objects.filter(state=RedemptionState.WAITING).count() == 5
    restored_backup.detect_restore()
    Continuity.objects.update(database="elsewhere")

    restored_backup.detect_restore()

    held = Redemption.objects.filter(state=RedemptionState.HELD, reason="UNANSWERED")
    assert held.count() == 5


def test_of_copied_files_a_person_tells(world: World) -> None:
    owe(world)

    call_command("restored", "2026-03-29T02:00", "--json")

    assert Assignment.objects.filter(doubtful=True).count() == 5
    first = set(Assignment.objects.values_list("first_sent_at", flat=True))
    assert {f"{at:%Y-%m-%d %H:%M}" for at in first if at} == {"2026-03-29 02:00"}


@pytest.mark.parametrize("taken", ["yesterday", "2126-01-01T00:00"])
def test_a_time_that_cannot_be_is_refused_with_a_sentence(db: None, taken: str) -> None:
    with pytest.raises(CommandError):
        call_command("restored", taken)
