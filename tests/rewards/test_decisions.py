"""Decisions of staff about rewards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet
from pytest_django import Settings

from executions import lifecycle
from executions.models import ExecutionStop
from promoportal import platforms
from promoportal.db.bulk_result import BulkResult, SkipKind
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.state_machine import LostRace
from promoportal.operations import restored_backup
from promoportal.sandbox import Fault
from redemptions.models import Redemption
from rewards import decisions, obstacles
from rewards.activation import deadlines
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import claim
from rewards.activation.outcomes import conclude
from rewards.idempotency import redemption_reference
from rewards.models import (
    Assignment,
    AssignmentDifference,
    AssignmentReason,
    AssignmentState,
    Tally,
)
from tests.conftest import Agree
from tests.factories import AssignmentFactory
from tests.rewards.collection.test_changes import OTHER, row
from tests.world import World

Decide = Callable[..., BulkResult]


@pytest.fixture
def agent(db: None) -> User:
    return User.objects.create_user("agent")


def hold(world: World, *, status: int = 422) -> Assignment:
    """Return an assignment that the platform rejected."""
    world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=status)
    )
    world.run_activation()
    return world.assignment("C1")


def doubt(world: World, settings: Settings, kind: str = "lost_answer") -> Assignment:
    """Return an assignment whose outcome is unknown."""
    settings.PLATFORM_CAPABILITY = "neither"
    world.box.become("neither")
    world.box.assign("7311", "C1")
    world.collect("7311")
    world.box.order(Fault(kind=kind, side="platform", route="rewards"))
    world.run_activation()
    world.wait()
    return world.assignment("C1")


def skipped(decided: BulkResult) -> dict[str, int]:
    """Return the number of skipped rows by the sentence of the reason."""
    return {reason.sentence: count for reason, count in decided.skipped.items()}


def test_a_rejected_reward_is_retried(world: World, agent: User) -> None:
    held = hold(world)

    decided = decisions.retry(Assignment.objects.all(), by=agent, why="Now it is open.")
    world.work()

    held.refresh_from_db()
    retried = held.transitions.filter(after=AssignmentState.OWED).latest("pk")
    assert decided.done == 1
    assert held.state == AssignmentState.ACTIVE
    assert (retried.by, retried.why) == (agent, "Now it is open.")
    assert len(world.box.credits) == 1


def test_a_possibly_activated_reward_is_not_retried(
    world: World, settings: Settings, agent: User
) -> None:
    doubtful = doubt(world, settings)

    decided = decisions.retry(Assignment.objects.all(), by=agent, why="Try.")
    world.work()

    doubtful.refresh_from_db()
    assert decided.done == 0
    assert skipped(decided) == {"in doubt: say first whether it was given": 1}
    assert doubtful.state == AssignmentState.HELD
    assert len(world.box.credits) == 1


def test_a_reward_marked_as_activated_is_reported(
    world: World, settings: Settings, agent: User
) -> None:
    doubtful = doubt(world, settings)

    decided = decisions.given(Assignment.objects.all(), by=agent, why="Seen there.")
    world.wait()

    doubtful.refresh_from_db()
    assert decided.done == 1
    assert (doubtful.state, doubtful.doubtful) == (AssignmentState.ACTIVE, False)
    assert len(world.box.credits) == 1
    assert Redemption.objects.get(assignment=doubtful).state == "REPORTED"


def test_a_reward_marked_as_not_activated_is_sent_again(
    world: World, settings: Settings, agent: User
) -> None:
    doubtful = doubt(world, settings, kind="reset")

    decided = decisions.not_given(Assignment.objects.all(), by=agent, why="Not there.")
    world.work()

    doubtful.refresh_from_db()
    assert decided.done == 1
    assert (doubtful.state, doubtful.doubtful) == (AssignmentState.ACTIVE, False)
    assert len(world.box.credits) == 1


@pytest.mark.parametrize("decide", [decisions.given, decisions.not_given])
def test_a_reward_with_a_known_outcome_cannot_be_marked(
    world: World, agent: User, decide: Decide
) -> None:
    held = hold(world)

    decided = decide(Assignment.objects.all(), by=agent, why="Guess.")

    held.refresh_from_db()
    assert skipped(decided) == {"not in doubt": 1}
    assert held.state == AssignmentState.HELD


def test_a_written_off_reward_is_not_activated(world: World, agent: User) -> None:
    held = hold(world)

    decided = decisions.write_off(Assignment.objects.all(), by=agent, why="Closed.")
    world.wait()

    held.refresh_from_db()
    assert decided.done == 1
    assert (held.state, held.reason) == (
        AssignmentState.VOID,
        AssignmentReason.WRITTEN_OFF,
    )
    assert not world.box.credits
    assert world.reconcile("7311").drift == 0


def test_a_possibly_activated_reward_cannot_be_written_off(
    world: World, settings: Settings, agent: User
) -> None:
    doubt(world, settings)

    decided = decisions.write_off(Assignment.objects.all(), by=agent, why="Closed.")

    assert decided.done == 0


def test_a_duplicate_is_activated_once_staff_approve_it(
    world: World, agent: User
) -> None:
    world.box.assign("7311", "C1", assignment_id="first")
    world.box.assign("7311", "C1", assignment_id="second")
    world.announce("7311")
    second = Assignment.objects.filter(reference="second")

    tried = decisions.retry(second, by=agent, why="All that is held.")
    world.work()
    assert (tried.done, len(world.box.credits)) == (0, 1)

    decisions.release(second, by=agent, why="It was meant.")
    world.work()

    assert len(world.box.credits) == 2
    assert len({credit.key for credit in world.box.credits}) == 2


def of_first_owner() -> QuerySet[Assignment]:
    """Return the row of the first owner of the assignment ID."""
    return Assignment.objects.filter(reference="9f0c")


@pytest.mark.parametrize("name", ["customerId", "promotionId"])
def test_a_reward_with_another_owner_cannot_be_approved(
    world: World, agent: User, name: str
) -> None:
    listed = row("9f0c", customer="C1")
    world.box.list_row("7311", listed)
    world.collect("7311")
    listed |= {name: "another", "reward": {**OTHER, "value": "5000"}}
    world.collect("7311")
    rows = of_first_owner()

    decided = decisions.release(rows, by=agent, why="The new one is right.")
    world.work()

    assert decided.skipped == {obstacles.NOT_THEIRS: 1}
    assert not world.box.credits
    assert decisions.write_off(rows, by=agent, why="It is another's now.").done == 1


def test_a_rejected_reward_with_another_owner_is_not_retried(
    world: World, agent: User
) -> None:
    listed = row("9f0c", customer="C1")
    world.box.list_row("7311", listed)
    world.collect("7311")
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=422)
    )
    world.run_activation()
    listed["customerId"] = "another"
    world.collect("7311")

    decided = decisions.retry(of_first_owner(), by=agent, why="Open now.")
    world.work()

    assert decided.skipped == {obstacles.NOT_THEIRS: 1}
    assert not world.box.credits


def test_a_reward_with_its_first_owner_again_can_be_approved(
    world: World, agent: User
) -> None:
    listed = row("9f0c", customer="C1")
    world.box.list_row("7311", listed)
    world.collect("7311")
    listed["customerId"] = "another"
    world.collect("7311")
    listed["customerId"] = "C1"
    world.collect("7311")

    decided = decisions.release(of_first_owner(), by=agent, why="As it was.")
    world.work()

    assert decided.done == 1
    assert [credit.customer for credit in world.box.credits] == ["C1"]


def test_a_reward_with_invalid_data_cannot_be_approved(
    world: World, agent: User
) -> None:
    listed = row("9f0c", customer="C1")
    world.box.list_row("7311", listed)
    world.collect("7311")
    listed["reward"] = {**OTHER, "value": "5"}
    world.collect("7311")
    listed["reward"] = {**OTHER, "value": "many"}
    world.collect("7311")

    decided = decisions.release(Assignment.objects.all(), by=agent, why="Meant.")
    world.work()

    assert "cannot be read" in next(iter(skipped(decided)))
    assert not world.box.credits


def test_a_reward_with_an_unknown_status_is_not_retried(
    world: World, agent: User
) -> None:
    world.box.assign("7311", "C1", status="AwaitingMoon")
    world.announce("7311")

    decided = decisions.retry(Assignment.objects.all(), by=agent, why="Try.")
    world.work()

    assert decided.done == 0
    assert "AwaitingMoon" in next(iter(skipped(decided)))
    assert not world.box.credits


def test_a_reward_of_a_cancelled_execution_is_not_retried(
    world: World, agent: User
) -> None:
    held = hold(world)
    lifecycle.cancel(held.execution, by=None, why="Enough.")

    decided = decisions.retry(Assignment.objects.all(), by=agent, why="Try.")
    world.work()

    assert decided.done == 0
    assert not world.box.credits


def test_a_retry_reopens_a_settled_execution(world: World, agent: User) -> None:
    held = hold(world)
    world.wait()

    decisions.retry(Assignment.objects.all(), by=agent, why="Now it is open.")

    held.execution.refresh_from_db()
    assert held.execution.state == "ACTIVATING"


def listed_for_another_while_sent(world: World, outcome: Outcome) -> Assignment:
    """Send C1's reward; before its result is stored, Optimove lists its ID for C2."""
    listed = row("9f0c", customer="C1")
    world.box.list_row("7311", listed)
    execution = world.collect("7311")
    capability = platforms.from_settings().capability
    taken = claim(execution.pk, capability=capability, most=1)
    assert taken is not None
    listed["customerId"] = "C2"
    world.collect("7311")
    said = CallResult(taken.rows[0], outcome, problem="What the platform said.")
    conclude(taken, [said])
    return world.assignment("C1")


@pytest.mark.parametrize("capability", ["idempotent,askable", "askable", "neither"])
@pytest.mark.parametrize(
    "outcome",
    [
        Outcome.REFUSED,
        Outcome.UNANSWERED,
        Outcome.UNAVAILABLE,
        Outcome.MISCONFIGURED,
        Outcome.NOT_SENT,
        Outcome.MALFORMED,
    ],
)
def test_no_outcome_makes_a_reward_with_another_owner_due(
    world: World, settings: Settings, agent: User, outcome: Outcome, capability: str
) -> None:
    """The platform's response replaced the sentence about the difference."""
    settings.PLATFORM_CAPABILITY = capability
    world.box.become("idempotent" if "idempotent" in capability else capability)
    held = listed_for_another_while_sent(world, outcome)
    rows = of_first_owner()

    world.wait()
    decisions.not_given(rows, by=agent, why="Not there.")
    decisions.retry(rows, by=agent, why="Open now.")
    decisions.retry_together(rows, by=agent, why="All of them.")
    released = decisions.release(rows, by=agent, why="Meant.")
    world.wait()

    held.refresh_from_db()
    assert held.state == AssignmentState.HELD
    assert not world.box.credits
    assert set(released.skipped) <= {
        obstacles.NOT_THEIRS,
        'held as The platform refused it: press "Try again"',
    }
    assert decisions.write_off(rows, by=agent, why="It is another's.").done == 1


def test_a_rejected_reward_with_its_first_owner_again_can_be_approved(
    world: World, agent: User
) -> None:
    listed = row("9f0c", customer="C1")
    world.box.list_row("7311", listed)
    world.collect("7311")
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=422)
    )
    world.run_activation()
    for customer in ("C2", "C1"):
        listed["customerId"] = customer
        world.collect("7311")

    decided = decisions.release(of_first_owner(), by=agent, why="As it was.")
    world.work()

    assert decided.done == 1
    assert [credit.customer for credit in world.box.credits] == ["C1"]


def hold_too_late(world: World) -> None:
    Assignment.objects.update(owed_since=seconds_from_now(-30 * 86400))
    deadlines.hold_too_late()


def refuse(world: World) -> None:
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=422)
    )
    world.run_activation()


@pytest.mark.parametrize("stop", [hold_too_late, refuse])
def test_a_reward_changed_during_review_is_activated_once_approved(
    world: World, agent: User, stop: Callable[[World], None]
) -> None:
    """Activating another reward than assigned needs the permission to approve."""
    listed = row("9f0c", customer="C1") | {"reward": {**OTHER, "value": "10"}}
    world.box.list_row("7311", listed)
    world.collect("7311")
    stop(world)
    listed["reward"] = {**OTHER, "value": "99"}
    world.collect("7311")
    rows = Assignment.objects.all()

    tried = decisions.retry(rows, by=agent, why="Open now.")
    together = decisions.retry_together(rows, by=agent, why="All of them.")
    world.work()
    assert (tried.done, len(world.box.credits)) == (0, 0)
    assert set(tried.skipped) == set(together.values())
    assert None not in together.values()

    decisions.release(rows, by=agent, why="The new one is right.")
    world.work()
    assert [str(credit.value) for credit in world.box.credits] == ["99"]


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        (AssignmentReason.DIFFERS, AssignmentDifference.OWNER.problem),
        (AssignmentReason.DIFFERS, "The platform did not answer in time."),
        (AssignmentReason.REFUSED, f"Closed. {AssignmentDifference.OWNER.problem}"),
    ],
)
def test_a_difference_stored_by_the_previous_release_is_recognised(
    world: World, agent: User, reason: AssignmentReason, problem: str
) -> None:
    listed = row("9f0c", customer="C1")
    world.box.list_row("7311", listed)
    world.collect("7311")
    listed["customerId"] = "C2"
    world.collect("7311")
    rows = of_first_owner()
    rows.update(reason=reason, problem=problem, difference="")

    decisions.retry(rows, by=agent, why="Open now.")
    decisions.retry_together(rows, by=agent, why="All of them.")
    decisions.release(rows, by=agent, why="Meant.")
    world.work()

    assert world.assignment("C1").state == AssignmentState.HELD
    assert not world.box.credits


@pytest.mark.parametrize("way", ["tried again", "listed again"])
def test_a_row_evaluated_again_with_another_owner_is_not_activated(
    world: World, agent: User, agree: Agree, way: str
) -> None:
    listed = row("9f0c", customer="C1")
    world.box.list_row("7311", listed)
    world.collect("7311")
    listed |= {"customerId": "C2", "status": "Promised"}
    world.collect("7311")
    known = 'Assigned = "activate" '
    agree((known, f'Promised = "activate"\n{known}'))

    if way == "tried again":
        decided = decisions.retry(of_first_owner(), by=agent, why="Mended.")
        assert decided.skipped == {obstacles.NOT_THEIRS: 1}
    else:
        world.collect("7311")
    world.work()

    assert world.assignment("C1").state == AssignmentState.HELD
    assert not world.box.credits


def test_a_decision_that_changes_no_row_fails(db: None) -> None:
    """Otherwise staff would see a success, and an approval would be used up."""
    row = AssignmentFactory(state=AssignmentState.ACTIVE)

    with pytest.raises(LostRace, match="only 0 changed"):
        decisions._owe_one(row, ExecutionStop.NONE, by=None, why="Not activated.")


# --- A reward that had invalid data, so that it has no key ----------------------------


def possibly_activated(world: World, agree: Agree) -> Assignment:
    """Return a row with invalid data that a restored backup made possibly activated."""
    agree(('value = "reward.value"', 'value = "reward.worth"'))
    world.box.list_row("7311", row("A1", customer="C1"))
    world.announce("7311")
    restored_backup.restored(database_now() - timedelta(hours=1))
    held = Assignment.objects.get()
    assert (held.key, held.reason, held.doubtful) == (None, "UNREADABLE", True)
    return held


def test_an_activation_that_could_not_be_reported_is_not_recorded(
    world: World, agree: Agree, agent: User
) -> None:
    held = possibly_activated(world, agree)

    decided = decisions.given(Assignment.objects.all(), by=agent, why="Seen there.")

    [reason] = decided.skipped
    assert reason.kind == SkipKind.UNREADABLE
    assert "its activation could not be reported" in reason.sentence
    held.refresh_from_db()
    assert (held.state, held.doubtful) == (AssignmentState.HELD, True)


def test_an_activation_is_reported_once_the_row_can_be_read(
    world: World, settings: Settings, agree: Agree, agent: User
) -> None:
    held = possibly_activated(world, agree)
    settings.OPTIMOVE_CONTRACT = ""

    decided = decisions.given(Assignment.objects.all(), by=agent, why="Seen there.")

    held.refresh_from_db()
    assert decided.done == 1
    assert (held.state, held.customer) == (AssignmentState.ACTIVE, "C1")
    assert held.key
    assert Redemption.objects.get().reference == redemption_reference(held.key)
    assert Tally.objects.get(unit="EUR").value == 99


def test_a_reward_that_can_be_read_now_needs_a_second_approval_by_its_value(
    world: World, settings: Settings, agree: Agree, agent: User
) -> None:
    settings.DECIDE_ALONE_UP_TO = ["EUR=50"]
    held = possibly_activated(world, agree)
    settings.OPTIMOVE_CONTRACT = ""

    first = decisions.given(Assignment.objects.all(), by=agent, why="Seen there.")
    other = User.objects.create_user("other")
    second = decisions.given(Assignment.objects.all(), by=other, why="I see it too.")

    assert [reason.kind for reason in first.skipped] == [SkipKind.NEEDS_SECOND_PERSON]
    assert second.done == 1
    held.refresh_from_db()
    assert held.state == AssignmentState.ACTIVE


# --- Rewards without activation, after a restored backup ------------------------------


def void_in_doubt(world: World, status: str = "Cancelled") -> Assignment:
    world.box.list_row("7311", row("A1", customer="C1") | {"status": status})
    world.announce("7311")
    restored_backup.restored(database_now() - timedelta(hours=1))
    void = Assignment.objects.get()
    assert (void.state, void.doubtful) == (AssignmentState.VOID, True)
    return void


@pytest.mark.parametrize("status", ["Cancelled", "NotEligible"])
def test_a_reward_given_in_the_gap_and_cancelled_is_recorded_and_reported(
    world: World, agent: User, status: str
) -> None:
    void = void_in_doubt(world, status)

    decided = decisions.given(Assignment.objects.all(), by=agent, why="Seen there.")

    void.refresh_from_db()
    assert decided.done == 1
    assert (void.state, void.doubtful) == (AssignmentState.ACTIVE, False)
    assert void.cancelled_too_late
    assert Redemption.objects.get().assignment == void


def test_a_reward_that_was_not_given_in_the_gap_stays_without_activation(
    world: World, agent: User
) -> None:
    void = void_in_doubt(world)
    world.let_time_come()

    decided = decisions.not_given(Assignment.objects.all(), by=agent, why="Not there.")
    world.work()

    void.refresh_from_db()
    assert decided.done == 1
    assert (void.state, void.doubtful) == (AssignmentState.VOID, False)
    assert void.first_sent_at is None
    assert not world.box.credits


@pytest.mark.parametrize("final", ["written off", "execution cancelled"])
def test_a_row_that_was_final_in_the_backup_is_not_possibly_activated(
    db: None, final: str
) -> None:
    """No event after the backup can have made it pending again."""
    if final == "written off":
        AssignmentFactory(
            state=AssignmentState.VOID, reason=AssignmentReason.WRITTEN_OFF
        )
    else:
        AssignmentFactory(
            state=AssignmentState.VOID, execution__stop=ExecutionStop.CANCELLED
        )

    restored_backup.restored(database_now() - timedelta(hours=1))

    assert not Assignment.objects.get().doubtful
