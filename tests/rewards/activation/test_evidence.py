"""A receipt counts wherever it arrives, and only for the reward of its key."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from promoportal import platforms
from promoportal.db.database_clock import Moment, database_now, seconds_from_now
from promoportal.runtime.monotonic_clock import clock
from promoportal.runtime.time_budget import TimeBudget
from promoportal.sandbox import Fault
from redemptions.models import Redemption
from rewards import decisions
from rewards.activation import activate, claims, deadlines, in_doubt
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import Claim, claim
from rewards.activation.outcomes import conclude
from rewards.models import Assignment, AssignmentState, Attempt
from tests.factories import AssignmentFactory
from tests.rewards.activation.test_in_doubt import become, claimed, let_grace_pass
from tests.world import World

LOST = Fault(kind="lost_answer", side="platform", route="rewards")
BROKEN = Fault(kind="error_before", side="platform", route="rewards", status=500)


@pytest.fixture
def owed(world: World) -> Assignment:
    world.box.assign("7311", "C1")
    world.collect("7311")
    return world.assignment("C1")


@pytest.fixture
def in_flight(world: World, settings: Settings, owed: Assignment) -> CallResult:
    """The answer "given" to a look-up that another worker has not stored yet."""
    become(world, settings, "askable")
    world.box.order(LOST)
    world.run_activation()
    let_grace_pass()
    [row] = in_doubt._take_to_ask(1)
    with closing(platforms.from_settings()) as platform:
        receipt = in_doubt._look_up(row, platform)
    assert receipt is not None
    return CallResult(row, Outcome.GIVEN, receipt=receipt.reference)


def store(answer: CallResult, begun: Moment | None = None) -> None:
    capability = platforms.current_capability()
    in_doubt._conclude(answer, capability, begun or Moment.now())


def not_given() -> None:
    decisions.not_given(Assignment.objects.all(), by=None, why="The books say no.")


def given(taken: Claim, receipt: str = "R1") -> list[CallResult]:
    return [CallResult(taken.rows[0], Outcome.GIVEN, receipt=receipt)]


# --- Evidence in every state ----------------------------------------------------------


def test_a_status_check_counts_although_staff_said_that_it_was_not_given(
    world: World, owed: Assignment, in_flight: CallResult
) -> None:
    not_given()

    store(in_flight)
    world.wait()

    owed.refresh_from_db()
    assert (owed.state, owed.receipt) == (AssignmentState.ACTIVE, in_flight.receipt)
    assert len(world.box.credits) == 1
    assert Redemption.objects.filter(assignment=owed).count() == 1


@pytest.mark.parametrize("state", ["OWED", "HELD", "VOID", "UNCERTAIN"])
def test_a_status_check_counts_in_every_state_in_which_the_reward_may_be_sent(
    world: World, owed: Assignment, in_flight: CallResult, state: str
) -> None:
    Assignment.objects.update(state=state, attempts=7, doubtful=False)

    store(in_flight)

    owed.refresh_from_db()
    assert (owed.state, owed.receipt) == (AssignmentState.ACTIVE, in_flight.receipt)


def test_a_status_check_counts_after_the_execution_is_processed(
    world: World, owed: Assignment, in_flight: CallResult
) -> None:
    not_given()
    decisions.write_off(
        Assignment.objects.filter(state="HELD"), by=None, why="Not wanted."
    )
    Assignment.objects.update(state=AssignmentState.VOID)
    world.work()

    store(in_flight)

    owed.execution.refresh_from_db()
    assert owed.execution.state != "SETTLED"  # the redemption must be reported


def test_a_status_check_counts_for_the_worker_that_sends_the_reward_now(
    world: World, owed: Assignment, in_flight: CallResult
) -> None:
    not_given()
    second = claimed(owed)

    store(in_flight)
    conclude(second, [CallResult(second.rows[0], Outcome.UNAVAILABLE)])

    owed.refresh_from_db()
    assert (owed.state, owed.receipt) == (AssignmentState.ACTIVE, in_flight.receipt)


def test_evidence_counts_if_the_worker_that_sends_the_reward_is_lost(
    world: World, settings: Settings, owed: Assignment
) -> None:
    """A crash must not hide the receipt of the attempt before."""
    become(world, settings, "neither")
    frozen = claimed(owed)
    Assignment.objects.update(state=AssignmentState.OWED, token=None, lease_until=None)
    claimed(owed)
    conclude(frozen, given(frozen))
    Assignment.objects.update(lease_until=seconds_from_now(-1))

    deadlines.expire()

    owed.refresh_from_db()
    assert (owed.state, owed.receipt) == (AssignmentState.ACTIVE, "R1")
    assert Redemption.objects.filter(assignment=owed).exists()


def test_not_found_does_not_count_after_a_further_attempt(
    world: World, settings: Settings, owed: Assignment
) -> None:
    """The further attempt may have reached the platform after the status check."""
    become(world, settings, "askable")
    world.box.order(BROKEN)
    world.run_activation()
    let_grace_pass()
    [row] = in_doubt._take_to_ask(1)
    Assignment.objects.update(
        state=AssignmentState.OWED, doubtful=False, not_before=Now()
    )
    world.box.order(LOST)
    world.run_activation()
    let_grace_pass()

    store(CallResult(row, Outcome.NOT_FOUND))

    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.UNCERTAIN, True)


# The reward's lease ended 65 seconds ago, so its grace period of 60 seconds is over.
EARLY = [
    pytest.param(30, 30, id="a moment before"),
    pytest.param(3600, 30, id="the clock was set forward since"),
    pytest.param(-3600, 30, id="the clock was set back since"),
    pytest.param(30, 0, id="by the clock of the database"),
    pytest.param(0, 30, id="by the clock of the worker"),
]


@pytest.mark.parametrize(("by_database", "by_worker"), EARLY)
def test_not_found_does_not_count_if_it_was_asked_before_the_request_could_arrive(
    world: World,
    settings: Settings,
    owed: Assignment,
    by_database: int,
    by_worker: int,
) -> None:
    """The worker froze before it stored the response, and the request arrived since."""
    become(world, settings, "askable")
    world.box.order(BROKEN)
    world.run_activation()
    Assignment.objects.update(lease_until=seconds_from_now(-65), not_before=Now())
    [row] = in_doubt._take_to_ask(1)
    begun = Moment(database_now() - timedelta(seconds=by_database), clock() - by_worker)

    store(CallResult(row, Outcome.NOT_FOUND), begun)

    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.UNCERTAIN, True)
    world.work()  # the platform is asked again at once
    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVE


def test_not_found_counts_if_it_was_asked_after_the_grace_period(
    world: World, settings: Settings, owed: Assignment
) -> None:
    become(world, settings, "askable")
    world.box.order(BROKEN)
    world.run_activation()
    Assignment.objects.update(lease_until=seconds_from_now(-95), not_before=Now())
    [row] = in_doubt._take_to_ask(1)
    begun = Moment(database_now() - timedelta(seconds=30), clock() - 30)

    store(CallResult(row, Outcome.NOT_FOUND), begun)

    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.OWED, False)


def test_a_failed_status_check_does_not_count_after_a_further_attempt(
    world: World, owed: Assignment, in_flight: CallResult
) -> None:
    Assignment.objects.update(attempts=7, failures=0)

    store(CallResult(in_flight.row, Outcome.UNAVAILABLE, delay=3600))

    owed.refresh_from_db()
    assert owed.failures == 0


def test_a_late_receipt_waits_for_the_worker_that_sends_the_reward_now(
    owed: Assignment,
) -> None:
    """This worker stores its own result: the row must not change under its call."""
    frozen = claimed(owed)
    Assignment.objects.update(state=AssignmentState.OWED, token=None, lease_until=None)
    claimed(owed)

    conclude(frozen, given(frozen))

    owed.refresh_from_db()
    assert (owed.state, owed.evidence) == (AssignmentState.ACTIVATING, "R1")


# --- After a failover to a standby that lacks the last rows ---------------------------


def fail_over(row: Assignment, **taken_over: Any) -> Assignment:
    """Give the primary key of a row to the row of another customer, as a standby may."""
    other = AssignmentFactory.build(
        execution=row.execution, promotion=row.promotion, key=uuid4(), customer="C2"
    )
    Attempt.objects.filter(assignment=row).delete()
    Redemption.objects.filter(assignment=row).delete()
    Assignment.objects.filter(pk=row.pk).delete()
    for name, value in taken_over.items():
        setattr(other, name, value)
    other.pk = row.pk
    other.save(force_insert=True)
    return other


@pytest.mark.parametrize("state", ["OWED", "HELD", "VOID", "UNCERTAIN"])
def test_a_receipt_activates_no_other_reward_with_the_same_primary_key(
    owed: Assignment, state: str
) -> None:
    taken = claimed(owed)
    other = fail_over(owed, state=state)

    conclude(taken, given(taken))

    other.refresh_from_db()
    assert (other.state, other.receipt, other.evidence) == (state, "", "")
    assert not Redemption.objects.exists()


def test_a_receipt_activates_the_reward_of_its_key_under_another_primary_key(
    owed: Assignment,
) -> None:
    taken = claimed(owed)
    fail_over(owed, customer="C2")
    again = AssignmentFactory(
        execution=owed.execution, key=owed.key, customer="C1", state="OWED"
    )

    conclude(taken, given(taken))

    again.refresh_from_db()
    assert (again.state, again.receipt) == (AssignmentState.ACTIVE, "R1")


def test_a_result_is_not_stored_in_another_attempt_with_the_same_primary_key(
    owed: Assignment,
) -> None:
    taken = claimed(owed)
    [attempt] = taken.attempts.values()
    other = fail_over(owed)
    Attempt.objects.create(pk=attempt, assignment=other, number=1)

    conclude(taken, given(taken))

    assert Attempt.objects.get().outcome == ""


def test_a_result_for_a_missing_execution_changes_nothing(owed: Assignment) -> None:
    taken = claimed(owed)
    gone = Claim(taken.lease, 10**9, taken.rows, taken.attempts)
    Attempt.objects.all().delete()
    Assignment.objects.all().delete()

    conclude(gone, given(taken))

    assert not Assignment.objects.exists()


@pytest.mark.parametrize("outcome", [Outcome.GIVEN, Outcome.NOT_FOUND])
def test_a_status_check_changes_no_other_reward_with_the_same_primary_key(
    owed: Assignment, in_flight: CallResult, outcome: Outcome
) -> None:
    other = fail_over(
        owed,
        state=AssignmentState.UNCERTAIN,
        doubtful=True,
        attempts=in_flight.row.attempts + 1,
        lease_until=seconds_from_now(-3600),
    )

    store(
        CallResult(in_flight.row, outcome, receipt="R1" if outcome == "GIVEN" else "")
    )

    other.refresh_from_db()
    assert (other.state, other.doubtful) == (AssignmentState.UNCERTAIN, True)
    assert not Attempt.objects.filter(kind=Attempt.Kind.LOOK_UP).exists()


def test_a_status_check_is_stored_although_its_number_is_taken(
    owed: Assignment, in_flight: CallResult
) -> None:
    number = in_flight.row.attempts + 1
    Attempt.objects.create(assignment=owed, kind="LOOK_UP", number=number)

    store(in_flight)

    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVE


def test_a_job_for_a_missing_reward_sends_nothing(world: World) -> None:
    activate.activate_one(10**9)

    assert not world.box.credits


def test_a_claim_that_is_missing_in_the_database_sends_nothing(
    world: World, settings: Settings, owed: Assignment
) -> None:
    become(world, settings, "neither")
    taken = claim(owed.execution_id, platforms.current_capability(), 1)
    assert taken is not None
    fail_over(owed, state=AssignmentState.UNCERTAIN, doubtful=True, not_before=Now())

    with closing(platforms.from_settings()) as platform:
        activate.carry_out(taken, platform, TimeBudget(claims.TURN), threads=1)

    assert not world.box.credits
