"""Decisions of staff about redemptions."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from executions.models import Execution, ExecutionProgress
from promoportal.operations import progress
from redemptions import decisions
from redemptions.models import Redemption, RedemptionReason, RedemptionState, ReportMode
from tests.factories import AssignmentFactory, ExecutionFactory, RedemptionFactory
from tests.promoportal.db.second_connection import elsewhere
from tests.redemptions.conftest import OCCURRENCE, Give
from tests.world import World


@pytest.fixture
def clerk(db: None) -> User:
    return User.objects.create_user("clerk")


@pytest.fixture
def held(world: World, give: Give) -> Redemption:
    """Return a redemption that Optimove rejected, because it did not list the assignment."""
    give(8)
    [spoiled] = [row for row in world.box.rows(OCCURRENCE) if "'A3'" in str(row)]
    world.box.unlist(OCCURRENCE, "A3")
    world.wait()
    world.box.list_row(OCCURRENCE, spoiled)
    return Redemption.objects.get(state=RedemptionState.HELD)


def test_staff_can_report_a_rejected_redemption_again_with_a_reason(
    world: World, held: Redemption, clerk: User
) -> None:
    moved = decisions.report_again(Redemption.objects.all(), by=clerk, why="Mended.")
    execution = Execution.objects.get()
    reopened = execution.state
    world.wait()

    held.refresh_from_db()
    trace = held.transitions.get(before=RedemptionState.HELD)
    execution.refresh_from_db()
    assert moved.done == 1
    assert (trace.by, trace.why) == (clerk, "Mended.")
    assert (held.state, held.reason, held.problem) == (RedemptionState.REPORTED, "", "")
    assert (reopened, execution.state) == (
        ExecutionProgress.ACTIVATING,
        ExecutionProgress.SETTLED,
    )


def test_a_repeated_report_has_only_one_redemption(
    world: World, held: Redemption
) -> None:
    decisions.report_again(Redemption.objects.all(), by=None, why="Mended.")
    world.wait()

    held.refresh_from_db()
    assert held.report is not None
    assert held.report.size == 1


def test_staff_can_write_off_a_redemption_with_a_reason(
    world: World, held: Redemption, clerk: User
) -> None:
    moved = decisions.write_off(Redemption.objects.all(), by=clerk, why="Too old.")
    world.wait()

    held.refresh_from_db()
    trace = held.transitions.get(before=RedemptionState.HELD)
    assert moved.done == 1
    assert (held.state, held.problem) == (RedemptionState.WRITTEN_OFF, "Too old.")
    assert (trace.by, trace.why) == (clerk, "Too old.")
    assert world.reconcile(OCCURRENCE).reports_held == 0


@pytest.mark.parametrize(
    "state", [state for state in RedemptionState if state != RedemptionState.HELD]
)
def test_decisions_change_only_redemptions_that_need_review(
    db: None, state: RedemptionState
) -> None:
    row = RedemptionFactory(state=state)
    everything = Redemption.objects.all()

    assert decisions.report_again(everything, by=None, why="Again.").done == 0
    assert decisions.write_off(everything, by=None, why="Enough.").done == 0

    row.refresh_from_db()
    assert row.state == state


def test_a_repeated_report_resets_the_failures(db: None) -> None:
    row = RedemptionFactory(
        state=RedemptionState.HELD,
        reason=RedemptionReason.GIVEN_UP,
        failures=81,
        malformed=8,
    )

    decisions.report_again(Redemption.objects.all(), by=None, why="It is back.")

    row.refresh_from_db()
    assert (row.failures, row.malformed, row.reason) == (0, 0, "")


@pytest.mark.django_db(transaction=True)
def test_an_execution_is_not_settled_while_a_report_is_repeated() -> None:
    execution = ExecutionFactory()
    row = RedemptionFactory(
        assignment=AssignmentFactory(state="ACTIVE", execution=execution),
        state=RedemptionState.HELD,
        mode=ReportMode.SCHEDULED,
    )

    with elsewhere() as clerk:
        clerk.begin()
        again = Redemption.objects.filter(pk=row.pk)
        clerk.do(lambda: decisions.report_again(again, by=None, why="Mended."))
        progress.update_progress()
        clerk.commit()
    progress.update_progress()

    execution.refresh_from_db()
    assert execution.state == ExecutionProgress.ACTIVATING
