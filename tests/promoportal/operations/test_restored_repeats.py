"""After a restore, several assignments of a customer and promotion keep their number."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from promoportal.db import database_identity
from promoportal.operations import restored_backup
from promoportal.sandbox import Fault
from rewards import decisions
from rewards.models import Assignment, AssignmentReason, AssignmentState
from tests.conftest import Agree
from tests.factories import UserFactory
from tests.promoportal.operations.test_restored_backup import (
    KINDS,
    PLATFORMS,
    backup,
    restore,
)
from tests.rewards.collection.test_changes import row
from tests.world import World

ACTIVE, HELD = AssignmentState.ACTIVE, AssignmentState.HELD
MEANT = ("repeats_are_meant = false", "repeats_are_meant = true")
ONE_ROW_A_PAGE = ("size = 1000", "size = 1")


@pytest.fixture(params=PLATFORMS)
def platform(request: pytest.FixtureRequest, settings: Settings, box: Any) -> str:
    capability: str = request.param
    settings.PLATFORM_CAPABILITY = capability
    box.become(KINDS[capability])
    return capability


@pytest.fixture
def agent(db: None) -> User:
    return UserFactory()


def assign(
    world: World, *references: str, at: datetime | None = None
) -> list[dict[str, Any]]:
    """Assign the promotion to one customer once for each ID."""
    at = at or timezone.now()
    rows = [
        row(reference, customer="C1") | {"assignedAt": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        for reference in references
    ]
    for listed in rows:
        world.box.list_row("7311", listed)
    return rows


def turn_round(rows: list[dict[str, Any]]) -> None:
    """List the rows in the opposite order from now on."""
    turned = [dict(listed) for listed in reversed(rows)]
    for listed, other in zip(rows, turned, strict=True):
        listed.update(other)


def in_review() -> set[str]:
    rows = Assignment.objects.filter(state=HELD)
    return set(rows.values_list("reference", flat=True))


@pytest.mark.parametrize("pages", [[], [ONE_ROW_A_PAGE]], ids=["one page", "pages"])
@pytest.mark.parametrize("count", [2, 3])
def test_repeats_listed_in_another_order_are_not_activated_again(
    world: World, agree: Agree, platform: str, count: int, pages: Any
) -> None:
    agree(MEANT, *pages)
    dump = backup()
    rows = assign(world, *(f"A{number}" for number in range(count)))
    world.announce("7311")
    assert len(world.box.credits) == count

    restore(dump)
    turn_round(rows)
    world.announce("7311")
    world.wait()

    assert len(world.box.credits) == count
    assert in_review() >= {f"A{number}" for number in range(count - 1)}
    problems = Assignment.objects.filter(state=HELD).values_list("problem", flat=True)
    assert any("compare how many rewards" in problem for problem in problems)


def test_an_approved_duplicate_listed_first_is_not_activated_again(
    world: World, agent: User, platform: str
) -> None:
    dump = backup()
    rows = assign(world, "A1", "A2")
    world.announce("7311")
    decisions.release(
        Assignment.objects.filter(reference="A2"), by=agent, why="It is meant."
    )
    world.work()
    assert len(world.box.credits) == 2

    restore(dump)
    turn_round(rows)
    world.announce("7311")
    world.wait()
    decisions.retry(Assignment.objects.all(), by=agent, why="All.")
    decisions.release(Assignment.objects.all(), by=agent, why="All.")
    world.wait()

    assert len(world.box.credits) == 2
    assert "A1" in in_review()


@pytest.mark.parametrize("pages", [[], [ONE_ROW_A_PAGE]], ids=["one page", "pages"])
def test_a_repeat_after_a_rejected_reward_is_not_activated_under_its_key(
    world: World, agree: Agree, platform: str, pages: Any
) -> None:
    """The platform does not know the first key: as the first, A2 would be sent again."""
    agree(MEANT, *pages)
    dump = backup()
    rows = assign(world, "A1")
    world.collect("7311")
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=422)
    )
    world.work()
    rows += assign(world, "A2")
    world.announce("7311")
    assert len(world.box.credits) == 1

    restore(dump)
    turn_round(rows)
    world.announce("7311")
    world.wait()

    assert len(world.box.credits) == 1
    assert in_review() == {"A1", "A2"}


def test_a_repeat_of_a_reward_in_the_backup_keeps_its_key(
    world: World, agree: Agree, platform: str
) -> None:
    agree(MEANT)
    rows = assign(world, "A1")
    world.announce("7311")
    Assignment.objects.update(created_at=timezone.now() - timedelta(hours=1))
    dump = backup()
    rows += assign(world, "A2")
    world.announce("7311")
    assert len(world.box.credits) == 2

    restore(dump)
    turn_round(rows)
    world.announce("7311")
    world.wait()

    assert len(world.box.credits) == 2
    review = {"A2"} if platform == "neither" else set()
    assert in_review() == review
    assert not Assignment.objects.filter(reason=AssignmentReason.REPEATED).exists()


def test_repeats_assigned_after_the_restore_are_activated(
    world: World, agree: Agree, platform: str
) -> None:
    agree(MEANT)
    restore(backup())
    restored_backup.detect_restore()
    # Later than the gap by more than the largest difference of two time zones.
    assigned_at = timezone.now() + database_identity.ZONES + timedelta(minutes=10)
    assign(world, "A1", "A2", at=assigned_at)

    world.announce("7311")

    assert set(Assignment.objects.values_list("state", flat=True)) == {ACTIVE}
    assert len({credit.key for credit in world.box.credits}) == 2


def test_staff_can_confirm_each_of_several_assignments_after_a_restore(
    world: World, agree: Agree, agent: User, platform: str
) -> None:
    agree(MEANT)
    dump = backup()
    rows = assign(world, "A1", "A2")
    world.announce("7311")
    restore(dump)
    turn_round(rows)
    world.announce("7311")
    world.wait()

    decisions.given(Assignment.objects.filter(state=HELD), by=agent, why="Two of two.")
    world.wait()

    assert set(Assignment.objects.values_list("state", flat=True)) == {ACTIVE}
    assert len(world.box.credits) == 2
    assert len({credit.key for credit in world.box.credits}) == 2


def test_a_row_that_becomes_valid_as_the_second_after_a_restore_needs_review(
    world: World, agree: Agree, agent: User
) -> None:
    """While the rows were lost, it may have been the first."""
    agree(MEANT)
    [broken] = assign(world, "A1")
    broken["customerId"] = None
    world.announce("7311")
    Assignment.objects.update(created_at=timezone.now() - timedelta(hours=1))
    dump = backup()
    broken["customerId"] = "C1"
    world.announce("7311")
    assign(world, "A2")
    world.announce("7311")
    assert len(world.box.credits) == 2

    broken["customerId"] = None
    restore(dump)
    world.announce("7311")
    broken["customerId"] = "C1"
    world.announce("7311")
    world.wait()
    decisions.not_given(
        Assignment.objects.filter(reference="A1"), by=agent, why="It has no key."
    )
    decisions.retry(Assignment.objects.all(), by=agent, why="Mended.")
    world.wait()

    assert len(world.box.credits) == 2
    held = Assignment.objects.get(reference="A1")
    assert (held.state, held.reason) == (HELD, AssignmentReason.REPEATED)
