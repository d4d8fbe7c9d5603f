"""The time for which a request may still arrive, and what must wait for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from promoportal import wire
from promoportal.db.bulk_result import SkipKind
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.operations.restored_backup import restored
from promoportal.platforms import Capability
from promoportal.resilience.outcome_policy import MAX_MALFORMED
from promoportal.sandbox import Fault
from rewards import decisions
from rewards.activation import deadlines, in_doubt, request_lifetime
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import Claim, claim, within_key_retention
from rewards.activation.outcomes import conclude
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


# --- Results that leave the outcome unknown -------------------------------------------

LEAVE_DOUBT = [
    pytest.param({"outcome": Outcome.NOT_SENT}, id="handed back"),
    pytest.param({"outcome": Outcome.MISCONFIGURED}, id="misconfigured"),
    pytest.param({"outcome": Outcome.UNAVAILABLE}, id="not available"),
    pytest.param({"outcome": Outcome.REFUSED}, id="refused"),
    pytest.param({"outcome": Outcome.MALFORMED}, id="last invalid response"),
    pytest.param({"outcome": Outcome.UNANSWERED}, id="no response"),
    pytest.param(
        {"outcome": Outcome.UNAVAILABLE, "evidence": wire.Evidence(status=503)},
        id="503",
    ),
]


@pytest.fixture
def sent_again(db: None) -> Claim:
    """A claim on a reward whose earlier request got no response."""
    row = AssignmentFactory(
        state=AssignmentState.OWED,
        doubtful=True,
        first_sent_at=Now(),
        malformed=MAX_MALFORMED - 1,
    )
    taken = claim(row.execution_id, Capability(idempotent=True, askable=True), 1)
    assert taken is not None
    return taken


@pytest.mark.parametrize("result", LEAVE_DOUBT)
def test_each_result_that_leaves_the_outcome_unknown_keeps_the_lease(
    sent_again: Claim, result: dict[str, Any]
) -> None:
    before = Assignment.objects.get()

    conclude(sent_again, [CallResult(sent_again.rows[0], **result)])

    row = Assignment.objects.get()
    assert (row.doubtful, row.token) == (True, None)
    assert row.lease_until == before.lease_until


@pytest.mark.parametrize("result", LEAVE_DOUBT)
def test_after_a_step_of_the_clock_each_result_starts_the_time_again(
    sent_again: Claim, result: dict[str, Any]
) -> None:
    """The clock was set forward during the call, and no lease was noted as ended."""
    Assignment.objects.update(lease_until=seconds_from_now(-3600))

    conclude(sent_again, [CallResult(sent_again.rows[0], **result)])

    assert request_lifetime.open_until(Assignment.objects.get())


@pytest.mark.parametrize(
    "outcome", [Outcome.NOT_SENT, Outcome.UNAVAILABLE, Outcome.REFUSED]
)
def test_a_reward_that_was_certainly_not_activated_has_no_lease(
    db: None, outcome: Outcome
) -> None:
    row = AssignmentFactory(state=AssignmentState.OWED)
    taken = claim(row.execution_id, Capability(idempotent=True, askable=True), 1)
    assert taken is not None

    conclude(taken, [CallResult(taken.rows[0], outcome)])

    row.refresh_from_db()
    assert (row.doubtful, row.token, row.lease_until) == (False, None, None)


def test_staff_cannot_deny_a_refused_reward_that_was_possibly_activated_before(
    sent_again: Claim,
) -> None:
    conclude(sent_again, [CallResult(sent_again.rows[0], Outcome.REFUSED)])

    assert deny() == [SkipKind.TOO_EARLY]


def test_not_found_after_a_503_counts_only_after_the_lease(
    world: World, settings: Settings
) -> None:
    """A gateway responded, and the request reached the platform after "not found"."""
    world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.order(Fault(kind="error_before", side="platform", status=503))
    world.run_activation()
    leased = world.assignment("C1").lease_until
    settings.PLATFORM_CAPABILITY = "askable"
    world.box.become("askable")
    Assignment.objects.update(not_before=Now())

    in_doubt.settle()

    row = world.assignment("C1")
    assert (row.state, row.doubtful) == (AssignmentState.UNCERTAIN, True)
    assert row.lease_until == leased


def test_a_503_before_the_capability_changed_is_asked_about(
    world: World, settings: Settings
) -> None:
    world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.order(Fault(kind="error_before", side="platform", status=503))
    world.run_activation()
    settings.PLATFORM_CAPABILITY = "askable"
    world.box.become("askable")

    world.wait()

    assert world.assignment("C1").state == AssignmentState.ACTIVE
    assert len(world.box.credits) == 1
