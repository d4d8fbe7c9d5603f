"""The search for the outcome of rewards that were sent without a response."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from django.db import InterfaceError, OperationalError
from django.db.models import F
from django.db.models.functions import Now
from pytest_django import Settings

from executions import lifecycle
from promoportal import pipeline, platforms, wire
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.leases import Lease
from promoportal.optimove import Meaning
from promoportal.platforms import Capability
from promoportal.resilience import circuit_breaker, concurrency_limit
from promoportal.resilience.circuit_breaker import Side
from promoportal.runtime.time_budget import TimeBudget
from promoportal.sandbox import Fault
from rewards import decisions
from rewards.activation import (
    activate,
    claims,
    deadlines,
    in_doubt,
    outcomes,
    platform_throttle,
    request_lifetime,
)
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import Claim, claim, confirm_claim, within_key_retention
from rewards.activation.outcomes import conclude
from rewards.activation.request_lifetime import longest
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from tests.factories import AssignmentFactory
from tests.promoportal.db.second_connection import elsewhere, patiently, waits
from tests.world import World

LOST = Fault(kind="lost_answer", side="platform", route="rewards")
BROKEN = Fault(kind="error_before", side="platform", route="rewards", status=500)
DAY_AGO = seconds_from_now(-24 * 3600)

NINETY_NINE = {
    "category": "Amount",
    "type": "BonusCash",
    "value": "99",
    "currency": "EUR",
}


@pytest.fixture
def owed(world: World) -> Assignment:
    world.box.assign("7311", "C1")
    world.collect("7311")
    return world.assignment("C1")


def become(world: World, settings: Settings, capability: str) -> None:
    """Set the capabilities of the platform and of the portal's setting alike."""
    settings.PLATFORM_CAPABILITY = capability
    can = {"idempotent": "keyed", "idempotent,askable": "idempotent"}
    world.box.become(can.get(capability, capability))


def claimed(owed: Assignment) -> Claim:
    """Claim the assignment, as a worker that does not conclude it."""
    capability = platforms.from_settings().capability
    taken = claim(owed.execution_id, capability=capability, most=10)
    assert taken is not None
    return taken


def let_lease_end() -> None:
    Assignment.objects.update(lease_until=seconds_from_now(-1))


def let_grace_pass() -> None:
    Assignment.objects.update(
        lease_until=F("lease_until") - timedelta(hours=1), not_before=Now()
    )


# --- Capabilities of the platform
# -------------------------------------------------------


@pytest.mark.parametrize("capability", ["idempotent", "idempotent,askable"])
@pytest.mark.parametrize("fault", [LOST, BROKEN], ids=["it was given", "it was not"])
def test_an_idempotent_platform_gets_the_same_key_again(
    world: World, settings: Settings, owed: Assignment, capability: str, fault: Fault
) -> None:
    become(world, settings, capability)
    world.box.order(fault)
    world.run_activation()

    world.wait()

    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.ACTIVE, False)
    assert [credit.key for credit in world.box.credits] == [str(owed.key)]


def test_a_look_up_finds_an_activated_reward(
    world: World, settings: Settings, owed: Assignment
) -> None:
    become(world, settings, "askable")
    world.box.order(LOST)
    world.run_activation()

    world.wait()

    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.ACTIVE, False)
    assert len(world.box.credits) == 1


def test_not_found_counts_only_some_time_after_the_lease(
    world: World, settings: Settings, owed: Assignment
) -> None:
    become(world, settings, "askable")
    world.box.order(BROKEN)
    world.run_activation()
    Assignment.objects.update(not_before=Now())

    in_doubt.settle()

    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.UNCERTAIN, True)
    assert owed.lease_until is not None
    assert owed.not_before == owed.lease_until + timedelta(seconds=60)


def test_a_reward_that_is_not_found_is_sent_again(
    world: World, settings: Settings, owed: Assignment
) -> None:
    become(world, settings, "askable")
    world.box.order(BROKEN)
    world.run_activation()
    let_grace_pass()

    world.work()

    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.ACTIVE, False)
    assert len(world.box.credits) == 1


@pytest.mark.parametrize("fault", [LOST, BROKEN], ids=["it was given", "it was not"])
def test_without_keys_and_look_ups_an_unknown_outcome_needs_review(
    world: World, settings: Settings, owed: Assignment, fault: Fault
) -> None:
    become(world, settings, "neither")
    world.box.order(fault)
    world.run_activation()

    world.wait()

    owed.refresh_from_db()
    assert (owed.state, owed.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNANSWERED,
    )
    assert owed.doubtful
    assert len(world.box.credits) <= 1


@pytest.mark.parametrize("capability", ["askable", "neither"])
def test_a_503_without_keys_leaves_the_outcome_unknown(
    world: World, settings: Settings, owed: Assignment, capability: str
) -> None:
    become(world, settings, capability)
    world.box.order(Fault(kind="error_before", side="platform", status=503))

    world.run_activation()

    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.UNCERTAIN, True)


def test_without_keys_and_look_ups_only_as_many_rows_as_calls_are_claimed(
    world: World, settings: Settings
) -> None:
    become(world, settings, "neither")
    settings.PLATFORM_CONCURRENCY = 4
    for number in range(10):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")
    taken: list[int] = []

    with platform_throttle.to_call() as threads:
        taken.append(platform_throttle.chunk_of(platforms.from_settings(), threads))

    assert taken == [2]  # one permit is reserved for look-ups, one for staff


@pytest.mark.parametrize("capability", ["idempotent", "askable", "idempotent,askable"])
def test_a_503_after_the_activation_leads_to_no_second_one(
    world: World, settings: Settings, owed: Assignment, capability: str
) -> None:
    become(world, settings, capability)
    world.box.order(Fault(kind="error_after", side="platform", status=503))

    world.run_activation()
    world.wait()

    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVE
    assert len(world.box.credits) == 1


def test_after_a_503_the_key_may_be_forgotten_a_day_later(
    world: World, owed: Assignment
) -> None:
    world.box.order(Fault(kind="error_after", side="platform", status=503))
    world.run_activation()
    Assignment.objects.update(first_sent_at=seconds_from_now(-25 * 3600))
    world.box.forget_keys()

    world.wait()

    owed.refresh_from_db()
    assert (owed.state, owed.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNANSWERED,
    )
    assert len(world.box.credits) == 1


def test_a_pending_reward_needs_review_if_the_platform_loses_its_keys(
    world: World, settings: Settings, owed: Assignment
) -> None:
    Assignment.objects.update(doubtful=True, first_sent_at=Now())
    become(world, settings, "neither")

    world.wait()

    owed.refresh_from_db()
    assert (owed.state, owed.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNANSWERED,
    )


def test_a_retry_long_after_a_rejection_is_settled_by_its_key(
    world: World, owed: Assignment
) -> None:
    world.box.order(Fault(kind="error_before", side="platform", status=422))
    world.run_activation()
    Assignment.objects.update(first_sent_at=seconds_from_now(-30 * 3600))
    world.box.order(LOST)

    decisions.retry(Assignment.objects.all(), by=None, why="The account was opened.")
    world.wait()

    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVE
    assert len(world.box.credits) == 1


def test_a_changed_reward_marked_as_not_activated_still_needs_review(
    world: World, settings: Settings, owed: Assignment
) -> None:
    become(world, settings, "neither")
    world.box.order(LOST)
    world.run_activation()
    world.box.change("7311", owed.reference, reward=NINETY_NINE)
    world.collect("7311")
    let_grace_pass()

    decisions.not_given(Assignment.objects.all(), by=None, why="The books say no.")
    world.work()

    owed.refresh_from_db()
    assert (owed.state, owed.reason, owed.doubtful) == (
        AssignmentState.HELD,
        AssignmentReason.DIFFERS,
        False,
    )
    assert len(world.box.credits) == 1  # its response was lost


@pytest.mark.django_db(transaction=True)
def test_a_reward_cancelled_during_settling_is_not_sent_again(
    world: World,
) -> None:
    sent = {"doubtful": True, "first_sent_at": Now(), "lease_until": Now()}
    row = AssignmentFactory(state=AssignmentState.UNCERTAIN, **sent)
    one = Assignment.objects.filter(pk=row.pk)

    with elsewhere() as page, elsewhere() as sweeper:
        page.begin()
        page.do(lambda: one.update(meaning=Meaning.CANCELLED))
        settled = sweeper.start(in_doubt.settle)
        assert waits(settled)
        page.commit()
        patiently(settled)

    assert one.get().state != AssignmentState.OWED


@pytest.mark.django_db(transaction=True)
def test_concluding_and_expiring_a_lease_do_not_deadlock() -> None:
    row = AssignmentFactory(state=AssignmentState.OWED)
    capability = Capability(idempotent=True, askable=True)
    taken = claim(row.execution_id, capability=capability, most=1)
    assert taken is not None
    Assignment.objects.update(lease_until=seconds_from_now(-1))
    answers = [CallResult(taken.rows[0], Outcome.GIVEN, receipt="R1")]

    with elsewhere() as worker, elsewhere() as scheduler:
        worker.begin()
        worker.do(lambda: outcomes._lock(taken, answers))
        expired = scheduler.start(deadlines.expire)
        worker.do(lambda: conclude(taken, answers))
        worker.commit()
        patiently(expired)

    row.refresh_from_db()
    assert (row.state, row.receipt) == (AssignmentState.ACTIVE, "R1")


def test_a_key_past_its_retention_needs_review(
    world: World, settings: Settings, owed: Assignment
) -> None:
    world.box.order(LOST)
    world.run_activation()
    Assignment.objects.update(first_sent_at=seconds_from_now(-25 * 3600))
    world.box.forget_keys()

    world.wait()

    owed.refresh_from_db()
    assert (owed.state, owed.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNANSWERED,
    )
    assert len(world.box.credits) == 1


def test_a_key_past_its_retention_is_not_sent_again(
    world: World, settings: Settings, owed: Assignment
) -> None:
    world.box.order(LOST)
    world.run_activation()
    Assignment.objects.update(not_before=Now())
    in_doubt.settle()
    Assignment.objects.update(first_sent_at=seconds_from_now(-25 * 3600))
    world.box.forget_keys()

    activate.activate_one(owed.pk)

    assert len(world.box.credits) == 1


# --- Workers that crash or freeze
# -------------------------------------------------------


def test_an_expired_lease_leaves_the_outcome_unknown(owed: Assignment) -> None:
    claimed(owed)
    let_lease_end()

    deadlines.expire()

    owed.refresh_from_db()
    [attempt] = Attempt.objects.all()
    assert (owed.state, owed.doubtful, owed.deaths) == (
        AssignmentState.UNCERTAIN,
        True,
        1,
    )
    assert attempt.outcome == Attempt.Outcome.LOST


def test_a_valid_lease_is_not_expired(owed: Assignment) -> None:
    claimed(owed)

    deadlines.expire()

    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVATING


def test_a_crash_after_sending_leads_to_one_activation(
    world: World, owed: Assignment
) -> None:
    taken = claimed(owed)
    with_platform(taken)
    let_lease_end()

    world.wait()

    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVE
    assert len(world.box.credits) == 1


def with_platform(taken: Claim) -> platforms.Receipt:
    """Make the call for the first row of a claim."""
    return activate.send(taken.rows[0], platforms.from_settings(), taken.lease)


@pytest.mark.parametrize(
    "state",
    [
        AssignmentState.OWED,
        AssignmentState.UNCERTAIN,
        AssignmentState.HELD,
        AssignmentState.VOID,
    ],
)
def test_a_late_receipt_activates_the_reward(
    world: World, owed: Assignment, state: str
) -> None:
    taken = claimed(owed)
    receipt = with_platform(taken)
    Assignment.objects.update(state=state, token=None, lease_until=None)

    conclude(taken, [given(taken, receipt)])

    owed.refresh_from_db()
    assert (owed.state, owed.receipt) == (AssignmentState.ACTIVE, receipt.reference)


def given(taken: Claim, receipt: platforms.Receipt) -> CallResult:
    outcome = Attempt.Outcome.GIVEN
    return CallResult(taken.rows[0], outcome, receipt=receipt.reference)


def test_a_late_receipt_overrides_the_next_attempts_failure(
    world: World, settings: Settings, owed: Assignment
) -> None:
    frozen = claimed(owed)
    receipt = with_platform(frozen)
    Assignment.objects.update(state=AssignmentState.OWED, token=None, lease_until=None)
    second = claimed(owed)
    conclude(frozen, [given(frozen, receipt)])

    conclude(second, [CallResult(second.rows[0], Attempt.Outcome.UNAVAILABLE)])

    owed.refresh_from_db()
    assert (owed.state, owed.receipt) == (AssignmentState.ACTIVE, receipt.reference)
    assert len(world.box.credits) == 1


def test_a_late_failure_changes_nothing(owed: Assignment) -> None:
    frozen = claimed(owed)
    Assignment.objects.update(state=AssignmentState.OWED, token=None, lease_until=None)
    claimed(owed)

    conclude(frozen, [CallResult(frozen.rows[0], Attempt.Outcome.UNAVAILABLE)])

    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVATING


def test_no_call_starts_if_the_lease_could_end_before_it(
    world: World, owed: Assignment
) -> None:
    taken = claimed(owed)
    short = Claim(
        Lease(5, token=taken.lease.token),
        taken.execution_pk,
        taken.rows,
        taken.attempts,
    )

    turn = TimeBudget(claims.TURN)
    activate.carry_out(short, platforms.from_settings(), turn, threads=1)

    owed.refresh_from_db()
    [attempt] = Attempt.objects.all()
    assert attempt.outcome == Attempt.Outcome.NOT_SENT
    assert (owed.state, owed.doubtful, owed.first_sent_at) == (
        AssignmentState.OWED,
        False,
        None,
    )
    assert not world.box.credits


def test_a_row_is_claimed_alone_after_two_crashes(world: World) -> None:
    for number in range(4):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")
    Assignment.objects.filter(customer__in=["C0", "C1"]).update(deaths=2)
    owed = world.assignment("C0")

    together = claimed(owed)
    first_alone = claimed(owed)

    assert {row.customer for row in together.rows} == {"C2", "C3"}
    assert len(first_alone.rows) == 1


def test_a_row_that_repeatedly_crashes_its_worker_needs_review(
    world: World, owed: Assignment
) -> None:
    for _ in range(5):
        Assignment.objects.update(not_before=Now())
        claimed(owed)
        let_lease_end()
        deadlines.expire()
        Assignment.objects.update(not_before=Now())
        in_doubt.settle()

    owed.refresh_from_db()
    assert (owed.state, owed.reason) == (AssignmentState.HELD, AssignmentReason.POISON)


def test_a_cancelled_reward_with_unknown_outcome_is_looked_up(
    world: World, owed: Assignment
) -> None:
    world.box.order(BROKEN)
    world.run_activation()
    lifecycle.cancel(owed.execution, by=None, why="Enough.")
    let_grace_pass()

    world.work()

    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.VOID, False)
    assert not world.box.credits


def test_a_look_up_that_did_not_begin_counts_no_failure(
    world: World, settings: Settings, owed: Assignment
) -> None:
    become(world, settings, "askable")
    world.box.order(LOST)
    world.run_activation()
    let_grace_pass()

    with closing(platforms.from_settings()) as platform:
        in_doubt.ask_some(platform, TimeBudget(0), 1)

    owed.refresh_from_db()
    assert (owed.state, owed.failures) == (AssignmentState.UNCERTAIN, 1)
    assert not Attempt.objects.filter(kind=Attempt.Kind.LOOK_UP).exists()
    in_doubt.settle()
    owed.refresh_from_db()
    assert owed.state == AssignmentState.ACTIVE


def test_a_worker_that_resumes_after_its_lease_sends_nothing(
    world: World, settings: Settings, owed: Assignment
) -> None:
    """The worker froze before its call, and another worker settled the row since."""
    become(world, settings, "askable")
    (row,) = claimed(owed).rows

    with closing(platforms.from_settings()) as platform:
        with pytest.raises(wire.Unavailable):
            activate.send(row, platform, Lease(-1.0))
        activate.send(row, platform, Lease(1.0))

    assert len(world.box.credits) == 1


def set_clock_forward() -> None:
    """Set the database's clock forward by more than a lease, so that all leases end."""
    Assignment.objects.exclude(lease_until=None).update(
        lease_until=seconds_from_now(-240)
    )


def test_after_a_clock_is_set_forward_look_ups_wait_for_running_calls(
    world: World, settings: Settings, owed: Assignment
) -> None:
    """The worker may just have begun its call, which the platform does not know yet."""
    become(world, settings, "askable")
    claimed(owed)
    set_clock_forward()

    world.work()

    owed.refresh_from_db()
    assert owed.state == AssignmentState.UNCERTAIN
    assert owed.not_before > database_now() + timedelta(seconds=50)


@pytest.mark.parametrize("capability", ["askable", "neither"])
def test_a_row_settled_after_a_clock_was_set_forward_is_not_sent(
    world: World, settings: Settings, owed: Assignment, capability: str
) -> None:
    """By the worker's clock its lease is valid, and no key prevents a second reward."""
    become(world, settings, capability)
    believing = claimed(owed)
    set_clock_forward()
    world.wait()
    decisions.not_given(Assignment.objects.all(), by=None, why="The books say no.")
    world.work()
    assert len(world.box.credits) == 1

    turn = TimeBudget(claims.TURN)
    activate.carry_out(believing, platforms.from_settings(), turn, threads=1)

    owed.refresh_from_db()
    assert (owed.state, len(world.box.credits)) == (AssignmentState.ACTIVE, 1)


def test_a_confirmed_claim_is_valid_for_some_seconds_only(
    world: World, settings: Settings, owed: Assignment
) -> None:
    become(world, settings, "askable")
    taken = claimed(owed)
    lease = confirm_claim(taken, taken.rows[0])

    assert lease is not None
    assert lease.left() < request_lifetime.PROMPTLY + 6


def test_a_first_attempt_in_the_future_is_not_within_retention(
    owed: Assignment,
) -> None:
    """The clock was set back since, so that the age of the attempt is unknown."""
    Assignment.objects.update(first_sent_at=seconds_from_now(3600))
    capability = Capability(idempotent=True, askable=False)

    assert not Assignment.objects.filter(within_key_retention(capability)).exists()


def test_a_key_is_not_sent_again_if_the_platform_forgets_it_during_the_lease(
    owed: Assignment,
) -> None:
    capability = Capability(idempotent=True, askable=False)
    kept = (capability.remembers_for - longest(capability)).total_seconds()
    Assignment.objects.update(first_sent_at=seconds_from_now(-kept - 1))
    assert not Assignment.objects.filter(within_key_retention(capability)).exists()

    Assignment.objects.update(first_sent_at=seconds_from_now(-kept + 30))
    assert Assignment.objects.filter(within_key_retention(capability)).exists()


# --- A lost database connection
# ---------------------------------------------------------


@dataclass
class Interrupted:
    """A platform adapter that calls a function before it returns the receipt."""

    real: platforms.Platform
    happens: Callable[[], object]

    @property
    def capability(self) -> Capability:
        return self.real.capability

    def activate(self, order: platforms.Order, *, key: UUID) -> platforms.Receipt:
        receipt = self.real.activate(order, key=key)
        self.happens()
        return receipt

    def look_up(self, key: UUID) -> platforms.Receipt | None:
        return self.real.look_up(key)

    def close(self) -> None:
        self.real.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("capability", ["idempotent", "askable", "neither"])
def test_receipts_are_saved_although_the_database_session_was_lost(
    world: World, settings: Settings, capability: str
) -> None:
    become(world, settings, capability)
    for number in range(3):
        world.box.assign("7311", f"C{number}")
    execution = world.collect("7311")
    with elsewhere() as other, closing(platforms.from_settings()) as real:
        platform = Interrupted(
            real, lambda: other.do(partial(concurrency_limit.end_frozen, 0))
        )
        with platform_throttle.to_call():
            taken = claim(execution.pk, capability=real.capability, most=3)
            assert taken is not None
            with pytest.raises((OperationalError, InterfaceError)):
                activate.carry_out(taken, platform, TimeBudget(8), threads=1)

    given = Assignment.objects.filter(state=AssignmentState.ACTIVE).exclude(receipt="")
    assert given.count() == len(world.box.credits) >= 1
    unsent = Assignment.objects.filter(state=AssignmentState.OWED, doubtful=False)
    assert given.count() + unsent.count() == 3


# --- Deadlines
# --------------------------------------------------------------------------


@pytest.mark.parametrize("state", [AssignmentState.UNCERTAIN, AssignmentState.OWED])
def test_an_outcome_unknown_for_a_day_needs_review(
    world: World, owed: Assignment, state: AssignmentState
) -> None:
    world.box.order(LOST)
    world.run_activation()
    Assignment.objects.update(
        state=state,
        first_sent_at=DAY_AGO,
        created_at=DAY_AGO,
        not_before=seconds_from_now(600),
    )

    pipeline.tick()

    owed.refresh_from_db()
    assert (owed.state, owed.reason) == (
        AssignmentState.HELD,
        AssignmentReason.UNANSWERED,
    )
    assert owed.problem == "For 24 hours the platform did not say what became of it."
    assert owed.doubtful
    assert owed.order is not None
    assert owed.order["customer"] == "C1"
    assert [attempt.outcome for attempt in owed.history.all()] == [Outcome.UNANSWERED]


def test_an_outcome_unknown_for_a_day_needs_review_while_calls_are_paused(
    world: World, owed: Assignment
) -> None:
    world.box.order(LOST)
    world.run_activation()
    circuit_breaker.trip(Side.PLATFORM, wire.Misconfigured("later"))
    Assignment.objects.update(first_sent_at=DAY_AGO, created_at=DAY_AGO)

    pipeline.tick()

    owed.refresh_from_db()
    assert owed.state == AssignmentState.HELD


def test_a_reward_never_sent_may_be_pending_for_longer(
    world: World, owed: Assignment
) -> None:
    Assignment.objects.update(first_sent_at=DAY_AGO, created_at=DAY_AGO)

    assert deadlines.hold_unsettled() == 0

    owed.refresh_from_db()
    assert owed.state == AssignmentState.OWED


def test_a_receipt_after_the_deadline_still_activates_the_reward(
    world: World, owed: Assignment
) -> None:
    taken = claimed(owed)
    let_lease_end()
    deadlines.expire()
    Assignment.objects.update(first_sent_at=DAY_AGO, created_at=DAY_AGO)
    assert deadlines.hold_unsettled() == 1

    conclude(taken, [CallResult(taken.rows[0], Outcome.GIVEN, receipt="R-late")])

    owed.refresh_from_db()
    assert (owed.state, owed.receipt, owed.doubtful) == (
        AssignmentState.ACTIVE,
        "R-late",
        False,
    )
