"""A reward that Optimove changed is never activated unless staff approve the change."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import Settings

from executions import lifecycle
from promoportal import platforms, wire
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.operations import next_step
from promoportal.operations.restored_backup import restored
from promoportal.sandbox import Fault
from rewards import decisions
from rewards.activation import deadlines
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import claim
from rewards.activation.outcomes import conclude
from rewards.admin.bulk_retry_preview import preview
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
    Tally,
)
from tests.rewards.collection.test_changes import OTHER, row
from tests.staff_client import StaffClient
from tests.world import World

NINE = {**OTHER, "value": "9"}
NINETY_NINE = {**OTHER, "value": "99"}


@pytest.fixture
def listed(world: World) -> dict[str, object]:
    """The row in Optimove's list; changes of it are listed at the next run."""
    found = {**row("9f0c", customer="C1"), "reward": NINE}
    world.box.list_row("7311", found)
    return found


BROKEN = "no properties"
CHANGES = [
    {"reward": NINETY_NINE},
    {"customerId": "C9"},
    {"reward": NINETY_NINE, "properties": BROKEN},
    {"reward": {**NINE, "category": "Unknown"}},
    {"reward": NINETY_NINE, "status": "Martian"},
]


@pytest.mark.parametrize("columns", CHANGES)
@pytest.mark.parametrize("capability", ["idempotent", "idempotent,askable", "askable"])
def test_a_reward_that_changed_after_the_backup_needs_review(
    world: World,
    settings: Settings,
    operations: StaffClient,
    listed: dict[str, object],
    capability: str,
    columns: dict[str, object],
) -> None:
    """The backup does not contain the order that may have been sent since."""
    settings.PLATFORM_CAPABILITY = capability
    world.box.become(capability.partition(",")[0])
    execution = world.collect("7311")
    lifecycle.pause(execution, by=operations.user, why="Restoring.")
    restored(database_now() - timedelta(hours=1))

    listed.update(columns)
    world.collect("7311")
    execution.refresh_from_db()
    lifecycle.resume(execution, by=operations.user, why="Restored.")
    world.wait()

    assert not world.box.credits
    held = Assignment.objects.filter(state=AssignmentState.HELD)
    assert held.count() == Assignment.objects.count()


@pytest.mark.usefixtures("listed")
def test_an_unchanged_reward_is_sent_after_a_restored_backup(world: World) -> None:
    execution = world.collect("7311")
    lifecycle.pause(execution, by=None, why="Restoring.")
    restored(database_now() - timedelta(hours=1))

    world.collect("7311")
    execution.refresh_from_db()
    lifecycle.resume(execution, by=None, why="Restored.")
    world.wait()

    assert [str(credit.value) for credit in world.box.credits] == ["9"]


@pytest.fixture
def rejected(world: World, listed: dict[str, object]) -> Assignment:
    """A reward that the platform rejected, and that Optimove changed in the call."""
    execution = world.collect("7311")
    taken = claim(execution.pk, platforms.current_capability(), 1)
    assert taken
    listed["reward"] = NINETY_NINE
    world.collect("7311")
    error = wire.Rejected("The account is closed.")
    answer = CallResult(taken.rows[0], Outcome.REFUSED, problem=str(error), error=error)
    conclude(taken, [answer])
    return Assignment.objects.get()


def test_a_rejected_reward_that_also_changed_shows_that_crm_must_decide(
    rejected: Assignment, operations: StaffClient
) -> None:
    assert rejected.reason == AssignmentReason.REFUSED
    assert "CRM" in next_step.of(rejected).sentence
    assert "retry" not in operations.offered(rejected)


@pytest.mark.usefixtures("rejected")
@pytest.mark.parametrize("few", [0, 1_000])
def test_the_preview_of_a_bulk_retry_skips_a_changed_reward(
    operations: StaffClient, few: int
) -> None:
    rows = Assignment.objects.all()

    figures = preview(rows, {}, few=few)
    result = decisions.retry(rows, by=operations.user, why="Account opened.")

    assert (figures.tried, figures.left_alone.total()) == (0, 1)
    assert (result.done, result.skipped.total()) == (0, 1)


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    "sentence",
    [
        "Optimove lists another reward than before.",
        "The vendor lists another customer or promotion than before.",
    ],
)
def test_a_change_that_the_previous_release_marked_is_recognised(
    world: World, operations: StaffClient, sentence: str
) -> None:
    """During an upgrade, the previous release adds the sentence and no `difference`."""
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=422)
    )
    world.collect("7311")
    world.run_activation()
    Assignment.objects.update(problem=f"The account is closed. {sentence}")

    result = decisions.retry(
        Assignment.objects.all(), by=operations.user, why="Account opened."
    )

    assert (result.done, result.skipped.total()) == (0, 1)


def test_a_reward_with_an_unknown_status_stays_in_review_if_it_was_not_activated(
    world: World, settings: Settings, operations: StaffClient
) -> None:
    settings.PLATFORM_CAPABILITY = "neither"
    world.box.become("neither")
    reference = world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.order(Fault(kind="lost_answer", side="platform", route="rewards"))
    world.run_activation()
    world.wait()
    world.box.change("7311", reference, status="Martian")
    world.collect("7311")

    operations.do("not_given", Assignment.objects.get())

    found = Assignment.objects.get()
    assert (found.state, found.doubtful) == (AssignmentState.HELD, False)
    assert found.reason == AssignmentReason.UNKNOWN_STATUS
    assert "not_given" not in operations.offered(found)


@pytest.mark.parametrize("columns", CHANGES)
def test_a_late_reward_that_changed_is_not_retried(
    world: World,
    support: StaffClient,
    listed: dict[str, object],
    columns: dict[str, object],
) -> None:
    """Also if the list contains invalid data, or an unknown status, in between."""
    world.collect("7311")
    Assignment.objects.update(owed_since=seconds_from_now(-1_000_000))
    deadlines.hold_too_late()
    listed.update(columns)
    world.collect("7311")
    listed.update(properties={}, status="Assigned")
    world.collect("7311")

    support.do("retry", Assignment.objects.earliest("pk"))
    world.work()

    assert not world.box.credits


def test_a_duplicate_over_the_limit_needs_an_approval_of_its_value_too(
    world: World,
    settings: Settings,
    operations: StaffClient,
    listed: dict[str, object],
) -> None:
    settings.LIMIT_REWARD = ["EUR=50"]
    world.box.list_row("7311", row("a2", customer="C1") | {"reward": NINETY_NINE})
    world.collect("7311")

    operations.do("release", Assignment.objects.get(reference="a2"))
    world.work()
    assert [str(credit.value) for credit in world.box.credits] == ["9"]
    second = Assignment.objects.get(reference="a2")
    assert second.reason == AssignmentReason.OVER_LIMIT

    operations.do("release", second)
    world.work()
    assert [str(credit.value) for credit in world.box.credits] == ["9", "99"]


@pytest.mark.parametrize("together", [True, False])
def test_a_retry_checks_the_limit_of_today(
    world: World,
    settings: Settings,
    support: StaffClient,
    rejected_unchanged: Assignment,
    together: bool,
) -> None:
    settings.LIMIT_REWARD = ["EUR=5"]
    rows = Assignment.objects.filter(pk=rejected_unchanged.pk)
    retry = decisions.retry_together if together else decisions.retry

    retry(rows, by=support.user, why="Account opened.")
    world.work()

    assert not world.box.credits
    assert rows.get().reason == AssignmentReason.OVER_LIMIT


@pytest.mark.usefixtures("rejected_unchanged")
@pytest.mark.parametrize("limit", [["EUR=5"], []])
def test_the_preview_of_a_bulk_retry_names_the_limit_that_it_does_not_check(
    settings: Settings, limit: list[str]
) -> None:
    settings.LIMIT_REWARD = limit

    figures = preview(Assignment.objects.all(), {})

    assert figures.tried == 1
    assert ("needs an approval" in figures.but) == bool(limit)


@pytest.fixture
def rejected_unchanged(world: World, listed: dict[str, object]) -> Assignment:
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=422)
    )
    world.collect("7311")
    world.run_activation()
    return Assignment.objects.get()


def test_a_reward_with_an_unknown_status_is_counted_when_it_is_assigned(
    world: World,
    settings: Settings,
    operations: StaffClient,
    listed: dict[str, object],
) -> None:
    settings.LIMIT_VALUE = ["EUR=50"]
    listed.update(status="Martian", reward=NINETY_NINE)
    world.collect("7311")
    restored(database_now() - timedelta(hours=1))
    listed["status"] = "Assigned"
    world.collect("7311")
    world.let_time_come()

    for action in ("not_given", "retry", "release"):
        found = Assignment.objects.get()
        if action in operations.offered(found):
            operations.do(action, found)
    world.work()

    assert [each.customers for each in Tally.objects.all()] == [1]
    assert not world.box.credits


def test_a_reward_that_is_cancelled_and_assigned_again_counts_once(
    world: World, settings: Settings, listed: dict[str, object]
) -> None:
    settings.LIMIT_CUSTOMERS = ["1"]
    for status in ("Assigned", "Cancelled"):
        listed["status"] = status
        world.collect("7311")
    listed["status"] = "Assigned"

    execution = world.collect("7311")

    execution.refresh_from_db()
    assert [each.customers for each in Tally.objects.all()] == [1]
    assert not execution.problem


@pytest.mark.parametrize("by_staff", [True, False])
def test_an_activated_reward_counts_although_it_is_cancelled(
    world: World,
    settings: Settings,
    operations: StaffClient,
    listed: dict[str, object],
    by_staff: bool,
) -> None:
    """Also if its order was lost with a backup, and staff marked it as activated."""
    settings.LIMIT_CUSTOMERS = ["1"]
    if by_staff:
        world.collect("7311")
        Assignment.objects.update(
            state=AssignmentState.HELD,
            reason=AssignmentReason.UNANSWERED,
            doubtful=True,
        )
        operations.do("given", Assignment.objects.get())
    world.announce("7311")
    before = len(world.box.credits)
    assert Assignment.objects.get().state == AssignmentState.ACTIVE
    listed["status"] = "Cancelled"
    world.box.assign("7311", "C2")

    world.announce("7311")

    assert len(world.box.credits) == before


@pytest.mark.parametrize("unit", [" EUR ", "EUR\t", "\u00a0EUR", "eur "])
@pytest.mark.parametrize("limit", ["LIMIT_REWARD", "LIMIT_VALUE"])
def test_a_unit_with_spaces_is_the_same_unit(
    world: World,
    settings: Settings,
    listed: dict[str, object],
    unit: str,
    limit: str,
) -> None:
    setattr(settings, limit, ["EUR=5"])
    listed["reward"] = {**NINE, "currency": unit}

    world.announce("7311")

    assert not world.box.credits


@pytest.fixture
def unanswered(
    world: World, settings: Settings, listed: dict[str, object]
) -> Assignment:
    """A reward that staff must decide about, and that Optimove changed since."""
    settings.PLATFORM_CAPABILITY = "neither"
    world.box.become("neither")
    world.collect("7311")
    world.box.order(Fault(kind="lost_answer", side="platform", route="rewards"))
    world.run_activation()
    world.wait()
    listed["reward"] = NINETY_NINE
    world.collect("7311")
    return Assignment.objects.get()


@pytest.mark.parametrize("by_staff", [True, False])
def test_a_cancelled_reward_that_was_not_activated_is_over(
    world: World,
    operations: StaffClient,
    listed: dict[str, object],
    unanswered: Assignment,
    by_staff: bool,
) -> None:
    if by_staff:
        lifecycle.cancel(unanswered.execution, by=operations.user, why="Wrong.")
    else:
        listed["status"] = "Cancelled"
        world.collect("7311")
    world.work()

    operations.do("not_given", Assignment.objects.get())
    world.work()

    found = Assignment.objects.get()
    assert (found.state, found.reason) == (
        AssignmentState.VOID,
        AssignmentReason.CANCELLED,
    )


def test_a_change_stays_visible_after_staff_mark_the_reward_as_activated(
    operations: StaffClient, unanswered: Assignment
) -> None:
    operations.do("given", unanswered)

    found = Assignment.objects.get()
    assert found.state == AssignmentState.ACTIVE
    assert found.difference == AssignmentDifference.REWARD
    assert found.reason == AssignmentReason.DIFFERS


def test_the_message_does_not_promise_an_activation(
    operations: StaffClient, unanswered: Assignment
) -> None:
    said = operations.do("not_given", unanswered)

    assert Assignment.objects.get().state == AssignmentState.HELD
    assert "marked as not activated" in said


@pytest.mark.parametrize("columns", [{"status": "Martian"}, {"properties": BROKEN}])
def test_a_late_reward_that_was_listed_wrongly_for_a_while_can_be_retried(
    world: World,
    support: StaffClient,
    listed: dict[str, object],
    columns: dict[str, object],
) -> None:
    """Optimove lists the same reward again, so there is nothing to approve."""
    world.collect("7311")
    Assignment.objects.update(owed_since=seconds_from_now(-1_000_000))
    deadlines.hold_too_late()
    before = dict(listed)
    listed.update(columns)
    world.collect("7311")
    listed.update(before)
    world.collect("7311")

    support.do("retry", Assignment.objects.get())
    world.work()

    assert [str(credit.value) for credit in world.box.credits] == ["9"]
