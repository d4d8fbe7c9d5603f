"""After the restore of a backup no reward is activated twice."""

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
from promoportal.sandbox import Fault
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
    """Return the assignments as a dump would contain them now."""
    restored_backup.detect_restore()
    rows: Any = Assignment.objects.values()
    return list(rows)


def restore(rows: list[dict[str, Any]], *, taken: timedelta = timedelta(0)) -> None:
    """Restore the dump into another database, without the rows that were added since."""
    Redemption.objects.all().delete()
    Assignment.objects.all().delete()
    Assignment.objects.bulk_create([Assignment(**row) for row in rows])
    Continuity.objects.update(database="elsewhere", seen_at=timezone.now() - taken)


def assign(world: World, count: int = 5) -> None:
    for number in range(count):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")


def test_a_reward_activated_since_the_backup_is_not_activated_again(
    world: World, capability: str
) -> None:
    assign(world)
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


def test_a_running_worker_sends_nothing_before_rewards_are_marked_as_possibly_activated(
    world: World, capability: str
) -> None:
    """In a failover the portal is not stopped: its workers return within a second."""
    assign(world)
    dump = backup()
    world.work()

    restore(dump)
    world.run_activation()
    world.wait()

    assert len(world.box.credits) == 5


def test_a_running_worker_reports_nothing_before_redemptions_are_marked(
    world: World, agree: Agree
) -> None:
    agree(("repeat_is_safe = true", "repeat_is_safe = false"))
    assign(world)
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
def test_a_second_gap_does_not_replace_the_first(world: World, capability: str) -> None:
    dump = backup()
    assign(world)
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


def test_a_reward_that_was_not_activated_is_activated_once_if_the_platform_can_resolve_it(
    world: World, capability: str
) -> None:
    assign(world)
    restore(backup())

    world.wait()

    if capability == "neither":
        rows = Assignment.objects.filter(state=AssignmentState.HELD, doubtful=True)
        assert rows.filter(reason=AssignmentReason.UNANSWERED).count() == 5
        assert not world.box.credits
    else:
        assert len({credit.customer for credit in world.box.credits}) == 5
        assert len(world.box.credits) == 5


def test_assignments_listed_since_the_backup_are_fetched_and_not_activated_again(
    world: World, capability: str
) -> None:
    dump = backup()
    assign(world)
    world.work()

    restore(dump)
    world.announce("7311")
    world.wait()

    assert len(world.box.credits) == 5
    assert Assignment.objects.count() == 5


def test_assignments_after_the_restore_are_activated_as_usual(
    world: World, settings: Settings
) -> None:
    settings.PLATFORM_CAPABILITY = "neither"
    world.box.become("neither")
    restore(backup())
    pipeline.tick()
    restored_backup.detect_restore()
    later = timezone.now() + timedelta(hours=27)  # in each time zone
    world.box.assign("7311", "C1", assignedAt=f"{later:%Y-%m-%dT%H:%M:%SZ}")

    world.announce("7311")

    assert world.assignment("C1").state == AssignmentState.ACTIVE


@pytest.mark.parametrize("capability", ["idempotent,askable"], indirect=True)
def test_staff_decide_after_the_time_that_the_platform_remembers_keys(
    world: World, capability: str
) -> None:
    assign(world)
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
def test_the_platform_is_asked_before_staff_however_old_the_backup_is(
    world: World, capability: str
) -> None:
    assign(world)

    restore(backup(), taken=timedelta(days=2))
    world.wait()

    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.ACTIVE
    }
    assert len(world.box.credits) == 5


@pytest.mark.parametrize("capability", ["askable"], indirect=True)
def test_staff_decide_if_the_platform_does_not_respond_in_time(
    world: World, settings: Settings, capability: str
) -> None:
    assign(world)
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
def test_a_request_sent_just_before_the_restore_gets_time_to_complete(
    world: World, capability: str, state: str
) -> None:
    """The dump contains an old lease, but not a request that was sent since."""
    assign(world, 1)
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


def test_assignments_in_final_states_and_in_review_are_also_marked_as_possibly_activated(
    world: World, db: None
) -> None:
    world.box.assign("7311", "C1", status="Pending")
    world.box.assign("7311", "C2", status="NotEligible")
    world.collect("7311")

    restore(backup())
    pipeline.tick()
    restored_backup.detect_restore()

    assert set(Assignment.objects.values_list("doubtful", flat=True)) == {True}


def test_an_assignment_with_an_unknown_status_needs_review_also_after_not_given(
    world: World,
) -> None:
    world.box.assign("7311", "C1", status="Pending")
    world.collect("7311")
    restore(backup())
    restored_backup.detect_restore()
    world.let_time_come()

    decisions.not_given(Assignment.objects.all(), by=None, why="Not in their books.")

    row = world.assignment("C1")
    assert (row.state, row.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNKNOWN_STATUS,
    )
    assert not row.doubtful


def test_without_a_restore_no_reward_is_marked_as_possibly_activated(
    world: World,
) -> None:
    assign(world)
    assert restored_backup.detect_restore() is None
    assert restored_backup.detect_restore() is None

    assert not Assignment.objects.filter(doubtful=True).exists()
    assert not Gap.objects.exists()


def test_redemptions_need_review_if_a_repeated_report_would_count_twice(
    world: World, agree: Agree
) -> None:
    agree(("repeat_is_safe = true", "repeat_is_safe = false"))
    assign(world)
    world.run_activation()
    assert Redemption.objects.filter(state=RedemptionState.WAITING).count() == 5
    restored_backup.detect_restore()
    Continuity.objects.update(database="elsewhere")

    restored_backup.detect_restore()

    held = Redemption.objects.filter(state=RedemptionState.HELD, reason="UNANSWERED")
    assert held.count() == 5


def test_the_command_restored_marks_rewards_after_a_copy_of_files(world: World) -> None:
    assign(world)

    call_command("restored", "2026-03-29T02:00", "--json")

    assert Assignment.objects.filter(doubtful=True).count() == 5
    first = set(Assignment.objects.values_list("first_sent_at", flat=True))
    assert {f"{at:%Y-%m-%d %H:%M}" for at in first if at} == {"2026-03-29 02:00"}


@pytest.mark.parametrize("capability", ["idempotent"], indirect=True)
def test_a_key_may_be_older_than_the_first_request_of_the_restored_copy(
    world: World, capability: str
) -> None:
    """The portal ran on the copy of files before an operator ran the command."""
    assign(world, 1)
    Assignment.objects.update(created_at=seconds_from_now(-31 * 3600))
    world.box.order(Fault(kind="reset", side="platform", route="rewards"))
    world.run_activation()  # no response: it is possibly activated

    restored_backup.restored(database_now() - timedelta(hours=30))
    world.wait()

    assert Assignment.objects.get().state == AssignmentState.HELD
    assert not world.box.credits


@pytest.mark.parametrize("taken", ["yesterday", "2126-01-01T00:00"])
def test_an_invalid_time_is_rejected(db: None, taken: str) -> None:
    with pytest.raises(CommandError):
        call_command("restored", taken)
