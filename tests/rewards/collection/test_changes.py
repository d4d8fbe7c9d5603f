"""Changes that Optimove made to rows that it listed before."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from pytest_django import Settings

from executions import lifecycle
from executions.models import ExecutionStop
from promoportal import platforms
from promoportal.db import bulk
from promoportal.db.database_clock import seconds_from_now
from promoportal.optimove import Meaning, Promotions
from promoportal.sandbox import Fault
from rewards import cancellation, decisions
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import claim
from rewards.activation.outcomes import conclude
from rewards.cancellation import BATCH_SIZE
from rewards.collection import fetch_runs, ingest
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
)
from tests.factories import AssignmentFactory, CollectionFactory, ExecutionFactory
from tests.promoportal.db.second_connection import elsewhere
from tests.world import World

OTHER = {"category": "Amount", "type": "BonusCash", "value": "99", "currency": "EUR"}


def row(reference: str, *, customer: str | None) -> dict[str, Any]:
    """Return a row as Optimove lists it."""
    return {
        "assignmentId": reference,
        "customerId": customer,
        "promotionId": "promo-17",
        "promotionCode": "WB23",
        "status": "Assigned",
        "reward": {**OTHER},
        "uniqueCode": None,
        "properties": {},
    }


def owed(world: World, **fields: Any) -> str:
    """Assign and fetch one pending reward; return its assignment ID."""
    reference = world.box.assign("7311", "C1", **fields)
    world.collect("7311")
    return reference


def look_again(world: World) -> Assignment:
    """Make another run, and return the assignment after it."""
    world.collect("7311")
    return world.assignment("C1")


def test_a_pending_reward_that_optimove_cancels_is_not_activated(world: World) -> None:
    reference = owed(world)
    world.box.change("7311", reference, status="Cancelled")

    assignment = look_again(world)
    world.work()

    assert (assignment.state, assignment.reason) == (
        AssignmentState.VOID,
        AssignmentReason.CANCELLED,
    )
    assert not world.box.credits


def test_an_activated_reward_that_optimove_cancels_is_marked(world: World) -> None:
    reference = owed(world)
    world.work()
    world.box.change("7311", reference, status="Cancelled")

    assignment = look_again(world)

    assert assignment.state == AssignmentState.ACTIVE
    assert assignment.cancelled_too_late


@pytest.mark.parametrize("before", ["NotEligible", "Cancelled", "BudgetExceeded"])
def test_a_reward_that_is_assigned_later_is_activated(
    world: World, before: str
) -> None:
    reference = owed(world, status=before)
    assert world.assignment("C1").state == AssignmentState.VOID
    world.box.change("7311", reference, status="Assigned", reward=OTHER)

    look_again(world)
    world.work()

    assert world.assignment("C1").state == AssignmentState.ACTIVE
    assert len(world.box.credits) == 1


def test_a_reward_assigned_later_over_the_reward_limit_needs_review(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_REWARD = ["EUR=50"]
    reference = owed(world, status="NotEligible")
    world.box.change("7311", reference, status="Assigned", reward=OTHER)

    assignment = look_again(world)
    world.work()

    assert (assignment.state, assignment.reason) == (
        AssignmentState.HELD,
        AssignmentReason.OVER_LIMIT,
    )
    assert not world.box.credits


def test_rewards_assigned_later_over_a_limit_hold_the_execution(
    world: World, settings: Settings
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    rows = [world.box.assign("7311", f"C{n}", status="NotEligible") for n in range(3)]
    world.announce("7311")
    for reference in rows:
        world.box.change("7311", reference, status="Assigned", reward=OTHER)

    execution = world.announce("7311")

    execution.refresh_from_db()
    assert execution.stop == ExecutionStop.HELD
    assert "3 rewards were assigned; the limit is 2." in execution.problem
    assert not world.box.credits


def test_a_duplicate_that_is_assigned_later_needs_review(world: World) -> None:
    world.box.assign("7311", "C1")
    second = world.box.assign("7311", "C1", status="NotEligible")
    world.announce("7311")
    world.box.change("7311", second, status="Assigned", reward=OTHER)

    world.announce("7311")

    late = Assignment.objects.get(reference=second)
    assert (late.state, late.reason) == (
        AssignmentState.HELD,
        AssignmentReason.REPEATED,
    )
    assert len(world.box.credits) == 1


def test_a_row_that_becomes_valid_is_activated_for_its_customer(world: World) -> None:
    broken = row("9f0c", customer=None)
    world.box.list_row("7311", broken)
    world.announce("7311")
    held = Assignment.objects.get()
    assert (held.state, held.customer) == (AssignmentState.HELD, "")
    broken["customerId"] = "C7"

    world.announce("7311")

    assert world.assignment("C7").state == AssignmentState.ACTIVE
    assert [credit.customer for credit in world.box.credits] == ["C7"]


def test_a_row_that_becomes_valid_and_is_a_duplicate_needs_review(world: World) -> None:
    broken = row("9f0c", customer=None)
    world.box.list_row("7311", broken)
    world.box.assign("7311", "C7")
    world.announce("7311")
    broken["customerId"] = "C7"

    world.announce("7311")

    late = Assignment.objects.get(reference="9f0c")
    assert (late.state, late.reason) == (
        AssignmentState.HELD,
        AssignmentReason.REPEATED,
    )
    assert len(world.box.credits) == 1


@pytest.mark.parametrize("reward", [None, OTHER], ids=["as before", "and another"])
def test_a_reward_assigned_again_is_not_marked_as_cancelled(
    world: World, reward: dict[str, Any] | None
) -> None:
    reference = owed(world)
    world.work()
    world.box.change("7311", reference, status="Cancelled")
    assert look_again(world).cancelled_too_late
    changed = {"reward": reward} if reward else {}
    world.box.change("7311", reference, status="Assigned", **changed)

    assignment = look_again(world)
    world.work()

    assert not assignment.cancelled_too_late
    assert (assignment.reason == AssignmentReason.DIFFERS) == bool(reward)
    assert len(world.box.credits) == 1


def test_a_reward_of_a_cancelled_execution_stays_marked_as_cancelled(
    world: World,
) -> None:
    reference = owed(world)
    world.work()
    world.box.change("7311", reference, status="Cancelled")
    look_again(world)
    world.box.change("7311", reference, status="Assigned")
    execution = world.open("7311")
    with fetch_runs.acquired(execution.pk) as held:
        assert held
        fetch_runs.begin(held)

        with Promotions.from_settings() as client:
            page = client.assignments("7311")
        lifecycle.cancel(execution, by=None, why="Enough.")
        ingest.store(held, page, fetch_runs.advance)

    assert world.assignment("C1").cancelled_too_late


@pytest.mark.parametrize("name", ["customerId", "promotionId"])
def test_a_changed_customer_or_promotion_needs_review(world: World, name: str) -> None:
    listed = row("9f0c", customer="C1")
    world.box.list_row("7311", listed)
    world.collect("7311")
    listed[name] = "another"

    world.collect("7311")
    held = Assignment.objects.get(reference="9f0c")
    world.work()

    assert (held.state, held.reason) == (AssignmentState.HELD, AssignmentReason.DIFFERS)
    assert "another customer or promotion" in held.problem
    assert not world.box.credits


def test_a_status_that_becomes_unknown_during_the_call_needs_review(
    world: World,
) -> None:
    reference = owed(world)
    world.box.order(Fault(kind="too_many", side="platform"))
    capability = platforms.from_settings().capability
    row = world.assignment("C1")
    taken = claim(row.execution_id, capability=capability, most=1)
    assert taken is not None
    world.box.change("7311", reference, status="AwaitingMoon")
    world.collect("7311")

    conclude(taken, [CallResult(taken.rows[0], Outcome.UNAVAILABLE)])

    held = world.assignment("C1")
    assert (held.state, held.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNKNOWN_STATUS,
    )


def test_two_different_rows_with_one_id_are_both_stored(world: World) -> None:
    world.box.list_row("7311", row("9f0c", customer="C1"))
    world.box.list_row("7311", row("9f0c", customer="C2"))

    world.announce("7311")

    assert world.assignment("C1").state == AssignmentState.ACTIVE
    other = world.assignment("C2")
    assert (other.state, other.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNREADABLE,
    )
    assert "twice, and not the same" in other.problem


def test_a_changed_duplicate_is_still_a_duplicate(world: World) -> None:
    world.box.assign("7311", "C1")
    second = world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.change("7311", second, reward=OTHER)

    world.collect("7311")
    world.collect("7311")

    held = Assignment.objects.get(reference=second)
    assert (held.state, held.reason) == (
        AssignmentState.HELD,
        AssignmentReason.REPEATED,
    )
    assert held.problem.count("another reward than before") == 1


def test_another_reward_assigned_after_sending_needs_review(world: World) -> None:
    reference = owed(world)
    world.box.order(Fault(kind="error_before", side="platform", status=503))
    world.run_activation()
    Assignment.objects.update(doubtful=False, state=AssignmentState.VOID)
    world.box.change("7311", reference, status="Cancelled")
    world.collect("7311")
    world.box.change("7311", reference, status="Assigned", reward=OTHER)

    assignment = look_again(world)
    world.wait()

    assert (assignment.state, assignment.reason) == (
        AssignmentState.HELD,
        AssignmentReason.DIFFERS,
    )
    assert not world.box.credits


def test_a_reward_never_sent_is_activated_as_listed_now(world: World) -> None:
    reference = owed(world)
    world.box.order(Fault(kind="too_many", side="platform"))
    world.run_activation()
    world.box.change("7311", reference, status="Cancelled")
    world.collect("7311")
    world.box.change("7311", reference, status="Assigned", reward=OTHER)

    look_again(world)
    world.wait()

    assert [str(credit.value) for credit in world.box.credits] == ["99"]


def test_a_status_that_becomes_known_releases_its_rewards(
    world: World,
) -> None:
    reference = owed(world, status="AwaitingMoon")
    world.box.change("7311", reference, status="Assigned", reward=OTHER)

    look_again(world)
    world.work()

    assert world.assignment("C1").state == AssignmentState.ACTIVE


def test_a_reward_assigned_later_with_invalid_data_needs_review(world: World) -> None:
    reference = owed(world, status="NotEligible")
    world.box.change("7311", reference, status="Assigned")

    assignment = look_again(world)

    assert (assignment.state, assignment.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNREADABLE,
    )


def test_a_status_that_becomes_unknown_stops_a_pending_reward(world: World) -> None:
    reference = owed(world)
    world.box.change("7311", reference, status="AwaitingMoon")

    assignment = look_again(world)
    world.work()

    assert (assignment.state, assignment.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNKNOWN_STATUS,
    )
    assert not world.box.credits


def test_a_changed_reward_needs_review(world: World) -> None:
    reference = owed(world)
    world.box.change("7311", reference, reward=OTHER)

    assignment = look_again(world)
    world.work()

    assert (assignment.state, assignment.reason) == (
        AssignmentState.HELD,
        AssignmentReason.DIFFERS,
    )
    assert not world.box.credits


def test_a_changed_reward_is_activated_once_staff_approve_it(world: World) -> None:
    reference = owed(world)
    world.box.change("7311", reference, reward=OTHER)
    look_again(world)

    decisions.release(Assignment.objects.all(), by=None, why="The new one is right.")
    world.work()

    [credit] = world.box.credits
    assert str(credit.value) == "99"


def test_the_same_value_in_other_digits_is_no_change(world: World) -> None:
    reference = owed(world, reward={**OTHER, "value": "10.00"})
    world.box.change("7311", reference, reward={**OTHER, "value": 10.0})

    assert look_again(world).reason == ""


def test_a_reward_changed_after_activation_is_marked(world: World) -> None:
    reference = owed(world)
    world.work()
    world.box.change("7311", reference, reward=OTHER)

    assignment = look_again(world)

    assert (assignment.state, assignment.reason) == (
        AssignmentState.ACTIVE,
        AssignmentReason.DIFFERS,
    )
    assert len(world.box.credits) == 1


def test_a_cancelled_reward_with_unknown_outcome_is_not_sent_again(
    world: World,
) -> None:
    reference = owed(world)
    world.box.order(
        Fault(kind="error_before", side="platform", status=500, route="rewards")
    )
    world.run_activation()
    world.box.change("7311", reference, status="Cancelled")
    look_again(world)

    world.wait()

    assignment = world.assignment("C1")
    assert (assignment.state, assignment.doubtful) == (AssignmentState.VOID, False)
    assert not world.box.credits


@pytest.mark.parametrize("capability", ["idempotent,askable", "idempotent"])
@pytest.mark.parametrize("kind", ["error_before", "error_after"])
def test_an_unknown_outcome_with_an_unknown_status_is_settled(
    world: World, settings: Settings, capability: str, kind: str
) -> None:
    """No worker may claim the row: it must be settled before its key expires."""
    settings.PLATFORM_CAPABILITY = capability
    world.box.become("idempotent" if "askable" in capability else "keyed")
    assigned = world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.order(Fault(kind=kind, side="platform", route="rewards", status=503))
    world.run_activation()
    assert world.assignment("C1").doubtful
    Assignment.objects.update(not_before=seconds_from_now(600))

    world.box.change("7311", assigned, status="Frobnicated")
    world.announce("7311")
    world.wait()

    row = world.assignment("C1")
    given = kind == "error_after"
    asked = (
        (AssignmentState.ACTIVE, "")
        if given
        else (AssignmentState.HELD, AssignmentReason.UNKNOWN_STATUS)
    )
    unasked = AssignmentState.HELD, AssignmentReason.UNANSWERED
    assert (row.state, row.reason) == (asked if "," in capability else unasked)
    assert row.doubtful is ("," not in capability)
    assert len(world.box.credits) == given


def test_a_pending_row_without_an_assignment_is_settled(
    world: World,
) -> None:
    world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=503)
    )
    world.run_activation()
    Assignment.objects.update(meaning=Meaning.UNKNOWN)

    world.wait()

    row = world.assignment("C1")
    assert (row.state, row.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNKNOWN_STATUS,
    )


def test_a_cancelled_reward_found_to_be_activated_is_marked(world: World) -> None:
    reference = owed(world)
    world.box.order(Fault(kind="lost_answer", side="platform", route="rewards"))
    world.run_activation()
    world.box.change("7311", reference, status="Cancelled")
    look_again(world)

    world.wait()

    assignment = world.assignment("C1")
    assert assignment.state == AssignmentState.ACTIVE
    assert assignment.cancelled_too_late
    assert len(world.box.credits) == 1


def test_a_written_off_reward_stays_written_off(world: World) -> None:
    reference = owed(world, status="AwaitingMoon")
    decisions.write_off(Assignment.objects.all(), by=None, why="Not wanted.")
    world.box.change("7311", reference, status="Assigned")

    assignment = look_again(world)

    assert (assignment.state, assignment.reason) == (
        AssignmentState.VOID,
        AssignmentReason.WRITTEN_OFF,
    )


def test_a_cancelled_execution_activates_nothing_more(world: World) -> None:
    owed(world)
    execution = world.assignment("C1").execution

    lifecycle.cancel(execution, by=None, why="Enough.")
    world.wait()

    assert world.assignment("C1").state == AssignmentState.VOID
    assert not world.box.credits


def test_pages_stored_after_a_cancellation_activate_nothing(world: World) -> None:
    world.box.assign("7311", "C1")
    execution = world.open("7311")

    lifecycle.cancel(execution, by=None, why="Enough.")
    world.wait()

    assert world.assignment("C1").state == AssignmentState.VOID
    assert world.reconcile("7311").drift == 0


def test_a_webhook_after_a_cancellation_reopens_nothing(world: World) -> None:
    world.box.assign("7311", "C1")
    world.notify(4, EventTypeID=4, CampaignID=7311)
    world.work()

    world.announce("7311")

    assert not Assignment.objects.exists()
    assert not world.box.credits


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_cancellations_leave_no_row() -> None:
    execution = ExecutionFactory(stop=ExecutionStop.CANCELLED)
    CollectionFactory(execution=execution)
    AssignmentFactory.create_batch(3, execution=execution, state=AssignmentState.OWED)

    with elsewhere() as other:
        other.begin()
        other.do(lambda: cancellation._cancel_some(execution))
        cancellation.follow()
        other.do(lambda: transaction.set_rollback(True))
        other.commit()

    assert cancellation.is_due()
    cancellation.follow()
    assert not Assignment.objects.exclude(state=AssignmentState.VOID).exists()
    assert not cancellation.is_due()


def test_a_large_execution_is_cancelled_in_batches(
    world: World, django_user_model: type[User]
) -> None:
    agent = django_user_model.objects.create_user("agent")
    owed(world)
    like = world.assignment("C1")
    more = [{"reference": f"R{n}", "customer": f"D{n}"} for n in range(BATCH_SIZE)]
    bulk.bulk_insert(
        Assignment,
        more,
        execution=like.execution,
        as_assigned={},
        state=AssignmentState.OWED,
    )

    lifecycle.cancel(like.execution, by=agent, why="Enough.")
    left = Assignment.objects.filter(state=AssignmentState.OWED).count()
    world.work()

    void = Assignment.objects.filter(state=AssignmentState.VOID)
    assert left == 1
    assert void.count() == BATCH_SIZE + 1
    assert not void.exclude(transitions__by=agent).exists()
    assert not world.box.credits


@pytest.mark.parametrize("before", ["NotEligible", "Cancelled"])
@pytest.mark.parametrize("name", ["customerId", "promotionId"])
def test_a_reward_assigned_later_to_another_owner_needs_review(
    world: World, name: str, before: str
) -> None:
    listed = row("9f0c", customer="C1") | {"status": before, "reward": None}
    world.box.list_row("7311", listed)
    world.collect("7311")
    listed |= {"status": "Assigned", "reward": {**OTHER}, name: "another"}

    world.collect("7311")
    held = Assignment.objects.get(reference="9f0c")
    world.work()
    world.announce("7311")

    assert (held.state, held.reason) == (AssignmentState.HELD, AssignmentReason.DIFFERS)
    assert held.difference == AssignmentDifference.OWNER
    assert not world.box.credits
