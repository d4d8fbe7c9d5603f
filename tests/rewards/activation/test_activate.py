"""Activation: each reward once at most, whatever the platform responds."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from executions import lifecycle
from executions.models import ExecutionStop
from promoportal import platforms
from promoportal.db.database_clock import seconds_from_now
from promoportal.resilience import circuit_breaker
from promoportal.runtime.time_budget import TimeBudget
from promoportal.sandbox import Fault
from rewards.activation import activate, claims
from rewards.activation.claims import claim, claim_one, claimable
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from tests.factories import AssignmentFactory
from tests.promoportal.db.second_connection import elsewhere, patiently, waits
from tests.world import World

Outcome = Attempt.Outcome
KEYED = platforms.Capability(idempotent=True, askable=False)
ASKABLE = platforms.Capability(idempotent=False, askable=True)
NEITHER = platforms.Capability(idempotent=False, askable=False)
UPDATE_ATTEMPTS = ["UPDATE", '"rewards_attempt"']


def owe_one(world: World, **fields: Any) -> Assignment:
    """Return a fetched assignment that is pending and was never sent."""
    world.box.assign("7311", "C1", **fields)
    world.collect("7311")
    return world.assignment("C1")


def attempts(assignment: Assignment) -> list[str]:
    history = Attempt.objects.filter(assignment=assignment).order_by("pk")
    return list(history.values_list("outcome", flat=True))


def test_the_assigned_reward_is_credited_on_the_platform(world: World) -> None:
    reward = {
        "tierId": "t1",
        "tierName": "Gold",
        "category": "Amount",
        "type": "BonusCash",
        "value": "10.10",
        "currency": "EUR",
    }
    assignment = owe_one(world, reward=reward, properties={"wageringMultiplier": 10})

    activate.activate()

    [credit] = world.box.credits
    assignment.refresh_from_db()
    assert assignment.state == AssignmentState.ACTIVE
    assert assignment.receipt == credit.reference
    assert credit.key == str(assignment.key)
    assert (credit.occurrence, credit.promotion, credit.customer) == (
        "7311",
        "promo-17",
        "C1",
    )
    assert (credit.category, credit.type) == ("Amount", "BonusCash")
    assert (str(credit.value), credit.measure) == ("10.10", "EUR")
    assert assignment.order is not None
    assert assignment.order["reward"]["tier"] == "Gold"
    assert assignment.order["properties"] == {"wageringMultiplier": 10}


@pytest.mark.parametrize(
    ("fault", "outcome", "state", "doubtful", "credits_given"),
    [
        pytest.param(
            Fault(kind="error_before", status=503),
            Outcome.UNAVAILABLE,
            AssignmentState.OWED,
            True,  # a gateway may respond so although the platform did the work
            0,
            id="503",
        ),
        pytest.param(
            Fault(kind="too_many"),
            Outcome.UNAVAILABLE,
            AssignmentState.OWED,
            False,
            0,
            id="429",
        ),
        pytest.param(
            Fault(kind="error_before", status=500),
            Outcome.UNANSWERED,
            AssignmentState.UNCERTAIN,
            True,
            0,
            id="500 before the work",
        ),
        pytest.param(
            Fault(kind="error_after", status=502),
            Outcome.UNANSWERED,
            AssignmentState.UNCERTAIN,
            True,
            1,
            id="502 after the work",
        ),
        pytest.param(
            Fault(kind="lost_answer"),
            Outcome.UNANSWERED,
            AssignmentState.UNCERTAIN,
            True,
            1,
            id="lost answer",
        ),
        pytest.param(
            Fault(kind="reset"),
            Outcome.UNANSWERED,
            AssignmentState.UNCERTAIN,
            True,
            0,
            id="connection reset",
        ),
        pytest.param(
            Fault(kind="error_before", status=409),
            Outcome.UNANSWERED,
            AssignmentState.UNCERTAIN,
            True,
            0,
            id="409",
        ),
        pytest.param(
            Fault(kind="sentence_after"),
            Outcome.MALFORMED,
            AssignmentState.UNCERTAIN,
            True,
            1,
            id="a sentence with 200",
        ),
        pytest.param(
            Fault(kind="error_before", status=422),
            Outcome.REFUSED,
            AssignmentState.HELD,
            False,
            0,
            id="422",
        ),
        pytest.param(
            Fault(kind="error_before", status=401),
            Outcome.MISCONFIGURED,
            AssignmentState.OWED,
            False,
            0,
            id="401",
        ),
    ],
)
def test_the_response_decides_the_state_of_the_reward(
    world: World,
    fault: Fault,
    outcome: str,
    state: str,
    doubtful: bool,
    credits_given: int,
) -> None:
    assignment = owe_one(world)
    world.box.order(replace(fault, side="platform"))

    activate.activate_one(assignment.pk)

    assignment.refresh_from_db()
    assert attempts(assignment) == [outcome]
    assert (assignment.state, assignment.doubtful) == (state, doubtful)
    assert len(world.box.credits) == credits_given


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="lost_answer", side="platform", route="rewards"),
        Fault(kind="error_after", side="platform", route="rewards"),
        Fault(kind="half_answer", side="platform", route="rewards"),
        Fault(kind="error_before", side="platform", route="rewards", times=3),
        Fault(kind="too_many", side="platform", route="rewards", times=3),
        Fault(kind="sentence_after", side="platform", route="rewards", times=3),
    ],
    ids=lambda fault: fault.kind,
)
def test_after_a_fault_the_reward_is_activated_once(world: World, fault: Fault) -> None:
    assignment = owe_one(world)
    world.box.order(fault)

    activate.activate_one(assignment.pk)
    world.wait()

    assignment.refresh_from_db()
    assert assignment.state == AssignmentState.ACTIVE
    assert not assignment.doubtful
    assert len(world.box.credits) == 1
    assert len({str(assignment.key)} | {c.key for c in world.box.credits}) == 1


def test_the_order_is_fixed_at_the_first_attempt(world: World) -> None:
    assignment = owe_one(world)
    world.box.order(Fault(kind="error_before", side="platform", status=503))
    activate.activate_one(assignment.pk)
    Assignment.objects.update(reward=None, unique_code="CHANGED")

    world.wait()

    [credit] = world.box.credits
    assert assignment.reward is not None
    assert not credit.unique_code
    assert credit.type == "BonusCash"


def test_a_rejected_reward_needs_review_and_keeps_the_response(world: World) -> None:
    assignment = owe_one(world)
    world.box.order(
        Fault(kind="error_before", side="platform", status=422, text="Account closed")
    )

    activate.activate_one(assignment.pk)

    assignment.refresh_from_db()
    [attempt] = Attempt.objects.filter(assignment=assignment)
    assert assignment.reason == AssignmentReason.REFUSED
    assert "Account closed" in attempt.answer
    assert attempt.status == 422


def test_an_expired_token_leaves_rewards_pending(
    world: World, settings: Settings
) -> None:
    for number in range(5):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")
    settings.PLATFORM_TOKEN = "expired"

    world.work()

    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.OWED
    }
    assert not world.box.credits


def test_rewards_are_activated_once_the_token_is_valid_again(
    world: World, settings: Settings
) -> None:
    for number in range(5):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")
    valid, settings.PLATFORM_TOKEN = settings.PLATFORM_TOKEN, "expired"
    world.work()

    settings.PLATFORM_TOKEN = valid
    world.wait()

    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.ACTIVE
    }
    assert len(world.box.credits) == 5


def test_a_call_forbidden_for_one_customer_does_not_delay_others(
    world: World,
) -> None:
    for number in range(5):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=403)
    )

    activate.activate()

    states = Assignment.objects.values_list("state", flat=True)
    assert sorted(states) == [AssignmentState.ACTIVE] * 4 + [AssignmentState.OWED]
    assert not circuit_breaker.is_open(circuit_breaker.Side.PLATFORM)


def test_a_forbidden_call_is_retried_later_than_other_rewards(
    world: World,
) -> None:
    forbidden = owe_one(world)
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=403)
    )

    activate.activate_one(forbidden.pk)

    forbidden.refresh_from_db()
    assert forbidden.failures == 1
    assert Assignment.objects.filter(not_before__gt=Now()).get() == forbidden


def test_rewards_of_a_paused_execution_are_not_claimed(world: World) -> None:
    assignment = owe_one(world)
    lifecycle.pause(assignment.execution, by=None, why="Wait.")

    world.wait()

    assignment.refresh_from_db()
    assert assignment.state == AssignmentState.OWED
    assert not world.box.credits


def test_a_resumed_execution_activates_its_rewards(world: World) -> None:
    assignment = owe_one(world)
    lifecycle.pause(assignment.execution, by=None, why="Wait.")
    lifecycle.resume(assignment.execution, by=None, why="Go on.")

    world.work()

    assignment.refresh_from_db()
    assert assignment.state == AssignmentState.ACTIVE


def test_a_reward_pending_past_its_deadline_needs_review(
    world: World, settings: Settings
) -> None:
    assignment = owe_one(world)
    lifecycle.pause(assignment.execution, by=None, why="Wait.")
    settings.ACTIVATE_WITHIN = settings.ACTIVATE_WITHIN * 0

    world.work()

    assignment.refresh_from_db()
    assert (assignment.state, assignment.reason) == (
        AssignmentState.HELD,
        AssignmentReason.TOO_LATE,
    )


def test_eight_invalid_responses_in_a_row_need_review(world: World) -> None:
    assignment = owe_one(world)
    world.box.order(
        Fault(kind="sentence_after", side="platform", route="rewards", times=None)
    )

    world.wait()

    assignment.refresh_from_db()
    assert (assignment.state, assignment.reason) == (
        AssignmentState.HELD,
        AssignmentReason.MALFORMED,
    )
    assert assignment.doubtful
    assert len(attempts(assignment)) == 8
    assert len(world.box.credits) == 1


def test_the_attempt_is_recorded_before_the_call(world: World) -> None:
    assignment = owe_one(world)

    capability = platforms.from_settings().capability
    taken = claim(assignment.execution_id, capability=capability, most=10)

    assert taken is not None
    [attempt] = Attempt.objects.filter(assignment=assignment)
    assert attempt.outcome == ""
    assert not world.box.credits


def test_a_claim_inside_a_transaction_is_an_error(
    world: World,
) -> None:
    assignment = owe_one(world)
    capability = platforms.from_settings().capability

    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        claim(assignment.execution_id, capability=capability, most=10)


def test_the_database_rejects_a_second_row_for_customer_and_promotion(
    world: World,
) -> None:
    first = owe_one(world)
    second = {"execution": first.execution, "promotion": first.promotion}

    with pytest.raises(IntegrityError, match="assignment_once_per_customer"):
        AssignmentFactory(customer=first.customer, **second)


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_claims_never_have_the_same_reward(world: World) -> None:
    for number in range(8):
        world.box.assign("7311", f"C{number}")
    execution = world.collect("7311")
    capability = platforms.from_settings().capability

    with elsewhere() as other:
        other.begin()
        free = claimable(capability).filter(execution=execution)
        other_claim = other.do(lambda: claims._chosen(free, 4))
        own_claim = claim(execution.pk, capability=capability, most=8)

    assert own_claim is not None
    assert len({row.pk for row in (*other_claim, *own_claim.rows)}) == 8
    assert len(other_claim) == len(own_claim.rows) == 4


@pytest.mark.parametrize("stop", [lifecycle.pause, lifecycle.cancel])
def test_an_execution_stopped_after_its_selection_is_not_claimed(
    world: World, stop: Any
) -> None:
    assignment = owe_one(world)
    chosen = activate.due_executions(platforms.current_capability()).get()
    stop(chosen, by=None, why="Wrong list.")
    Assignment.objects.update(state=AssignmentState.OWED)

    assert claim(chosen.pk, capability=KEYED, most=10) is None
    assert attempts(assignment) == []


@pytest.mark.parametrize("capability", [ASKABLE, NEITHER])
def test_a_possibly_activated_reward_is_never_sent_without_keys(
    world: World, capability: platforms.Capability
) -> None:
    assignment = owe_one(world)
    Assignment.objects.update(doubtful=True, first_sent_at=Now())

    assert claim(assignment.execution_id, capability=capability, most=10) is None
    assert claim(assignment.execution_id, capability=KEYED, most=10) is not None


@pytest.mark.parametrize(
    ("capability", "saves"),
    [("idempotent", 1), ("askable", 1), ("neither", 3)],
)
def test_without_keys_and_look_ups_each_result_is_saved_at_once(
    world: World, settings: Settings, capability: str, saves: int
) -> None:
    settings.PLATFORM_CAPABILITY = capability
    for number in range(3):
        world.box.assign("7311", f"C{number}")
    execution = world.collect("7311")
    with closing(platforms.from_settings()) as platform:
        taken = claim(execution.pk, platform.capability, most=3)
        assert taken is not None

        with CaptureQueriesContext(connection) as asked:
            activate.carry_out(taken, platform, TimeBudget(8), threads=1)

    statements = [each["sql"].split() for each in asked.captured_queries]
    saved = [words for words in statements if words[:2] == UPDATE_ATTEMPTS]
    assert len(saved) == saves
    assert len(world.box.credits) == 3


# --- One reward that staff wait for
# ------------------------------------------------------


def test_claiming_one_reward_reads_it_once(db: None) -> None:
    row = AssignmentFactory()

    with CaptureQueriesContext(connection) as asked:
        taken = claim_one(row.pk, KEYED)

    reads = [each["sql"] for each in asked.captured_queries if "SELECT" in each["sql"]]
    assert sum(sql.startswith('SELECT "rewards_assignment"') for sql in reads) == 1
    assert taken is not None
    assert [each.pk for each in taken.rows] == [row.pk]
    assert taken.execution_pk == row.execution_id
    assert attempts(row) == [""]


def test_claiming_one_reward_has_the_same_conditions(db: None) -> None:
    due = AssignmentFactory()
    for other in (
        AssignmentFactory(execution__stop=ExecutionStop.PAUSED),
        AssignmentFactory(not_before=seconds_from_now(60)),
        AssignmentFactory(cleared=False),
        AssignmentFactory(state=AssignmentState.HELD),
    ):
        assert claim_one(other.pk, KEYED) is None

    assert claim_one(due.pk, KEYED) is not None
    assert claim_one(due.pk, KEYED) is None


@pytest.mark.django_db(transaction=True)
def test_claiming_one_reward_waits_for_a_concurrent_pause() -> None:
    row = AssignmentFactory()

    with elsewhere() as staff, elsewhere() as worker:
        staff.begin()
        staff.do(lambda: lifecycle.pause(row.execution, by=None, why="Wait."))
        claiming = worker.start(lambda: claim_one(row.pk, KEYED))
        assert waits(claiming)
        staff.commit()
        taken = patiently(claiming)

    assert taken is None
    assert attempts(row) == []
