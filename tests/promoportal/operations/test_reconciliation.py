"""The reconciliation of Optimove, portal and reports, with each kind of mismatch."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import DjangoAssertNumQueries, Settings

from executions import lifecycle
from executions.models import Execution, ExecutionProgress
from promoportal.operations.reconciliation import reconcile
from promoportal.sandbox import Fault
from redemptions import decisions as reports
from redemptions.models import Redemption
from rewards import decisions
from rewards.models import Assignment, AssignmentState
from tests.world import World

KEYS = [
    *("occurrence", "listed", "eligible"),
    *("active", "owed", "uncertain", "held", "void"),
    *("reported", "waiting", "reports_held", "drift"),
]


@pytest.fixture
def settled(world: World) -> World:
    """Five of six customers got a reward, which was reported to Optimove."""
    for number in range(5):
        world.box.assign("7311", f"C{number}", assignment_id=f"A{number}")
    world.box.assign("7311", "C5", status="NotEligible", assignment_id="A5")
    world.announce("7311")
    world.wait()
    return world


def run(*words: str) -> str:
    out = StringIO()
    call_command("reconcile", "7311", *words, stdout=out)
    return out.getvalue()


def run_json(*words: str) -> dict[str, Any]:
    [line] = run("--json", *words).splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def announce_again(world: World) -> None:
    world.announce("7311")
    world.wait()


# --- Agreement, and work that is no mismatch --------------------------------------------


def test_processed_rewards_have_no_mismatch(settled: World) -> None:
    found = settled.reconcile("7311")

    assert (found.listed, found.eligible, found.void) == (6, 5, 1)
    assert found.active == found.reported == 5
    assert (found.owed, found.held, found.uncertain, found.waiting) == (0, 0, 0, 0)
    assert found.drift == 0


def test_unfinished_work_is_no_mismatch(world: World, settings: Settings) -> None:
    settings.REDEMPTION_INTERVAL = timedelta(days=1)
    for number in range(4):
        world.box.assign("7311", f"C{number}")
    world.collect("7311")
    owed = world.reconcile("7311")
    for bad in (
        Fault(kind="error_before", side="platform", route="rewards", status=422),
        Fault(kind="lost_answer", side="platform", route="rewards"),
    ):
        world.box.order(bad)

    world.run_activation()

    found = world.reconcile("7311")
    assert (owed.owed, owed.drift) == (4, 0)
    assert (found.held, found.uncertain, found.active) == (1, 1, 2)
    assert (found.waiting, found.reported, found.drift) == (2, 0, 0)


def test_a_rejected_report_needs_review_and_is_no_mismatch(settled: World) -> None:
    settled.box.assign("7311", "C9", assignment_id="A9")
    settled.announce("7311")
    settled.box.unlist("7311", "A9")
    settled.wait()
    settled.box.assign("7311", "C9", assignment_id="A9")

    found = settled.reconcile("7311")

    assert (found.active, found.reported, found.drift) == (6, 5, 0)
    assert (found.waiting, found.reports_held) == (0, 1)
    reports.write_off(Redemption.objects.all(), by=None, why="Known by telephone.")
    assert settled.reconcile("7311").reports_held == 0


def test_cancelled_and_written_off_rewards_are_no_mismatch(world: World) -> None:
    world.box.assign("7311", "C1")
    world.box.assign("7311", "C2")
    world.box.order(
        Fault(kind="error_before", side="platform", route="rewards", status=422)
    )
    world.collect("7311")
    world.run_activation()
    decisions.write_off(Assignment.objects.all(), by=None, why="The account is closed.")
    world.box.assign("7311", "C3")
    world.collect("7311")
    lifecycle.cancel(Execution.objects.get(), by=None, why="It was a mistake.")

    found = world.reconcile("7311")

    assert (found.active, found.void, found.drift) == (1, 2, 0)


# --- Each kind of mismatch --------------------------------------------------------------


def test_a_listed_assignment_missing_in_the_portal_is_a_mismatch(world: World) -> None:
    world.box.assign("7311", "C1")
    more = {"totalCount": 3}
    world.box.order(Fault(kind="altered", side="promotions", times=None, changes=more))
    world.announce("7311")

    world.wait()

    found = world.reconcile("7311")
    assert (found.listed, found.drift) == (1, 2)


def test_an_assignment_that_is_no_longer_listed_is_a_mismatch(settled: World) -> None:
    settled.box.unlist("7311", "A0")
    settled.box.unlist("7311", "A5")

    announce_again(settled)

    found = settled.reconcile("7311")
    assert (found.listed, found.eligible, found.active, found.drift) == (4, 4, 5, 2)


def test_an_activated_reward_that_is_no_longer_eligible_is_a_mismatch(
    settled: World,
) -> None:
    settled.box.change("7311", "A0", status="Cancelled")

    announce_again(settled)

    found = settled.reconcile("7311")
    assert (found.listed, found.eligible, found.active, found.drift) == (6, 4, 5, 1)
    assert settled.assignment("C0").cancelled_too_late


def test_an_activated_reward_without_a_redemption_is_a_mismatch_if_reporting_is_on(
    world: World, settings: Settings
) -> None:
    settings.REDEMPTION_MODE = "off"
    world.box.assign("7311", "C1")
    world.announce("7311")
    off = world.reconcile("7311").drift

    settings.REDEMPTION_MODE = "auto"

    assert (off, world.reconcile("7311").drift) == (0, 1)


def test_an_eligible_assignment_marked_as_no_reward_is_a_mismatch(
    settled: World,
) -> None:
    """Only a manual change in the database causes this mismatch: no move does."""
    Redemption.objects.filter(assignment__customer="C0").delete()
    Assignment.objects.filter(customer="C0").update(state=AssignmentState.VOID)

    found = settled.reconcile("7311")

    assert (found.active, found.void, found.drift) == (4, 2, 1)


def test_a_row_with_two_mismatches_counts_once(settled: World) -> None:
    settled.box.unlist("7311", "A0")
    announce_again(settled)
    Redemption.objects.filter(assignment__customer="C0").delete()

    assert settled.reconcile("7311").drift == 1


def test_a_reconciliation_needs_at_most_two_queries(
    settled: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    execution = Execution.objects.get()

    with django_assert_max_num_queries(2):
        reconcile(execution)


# --- The command ------------------------------------------------------------------------


def test_the_command_prints_one_line_of_json(settled: World) -> None:
    found = run_json()

    assert list(found) == KEYS
    assert (found["occurrence"], found["active"], found["drift"]) == ("7311", 5, 0)


def test_the_command_prints_the_number_of_mismatches(settled: World) -> None:
    agreed = run()
    Redemption.objects.filter(assignment__customer="C0").delete()

    assert agreed.endswith("No mismatches.\n")
    assert run().endswith("1 mismatch.\n")


def test_an_unknown_execution_is_an_error(db: None) -> None:
    with pytest.raises(CommandError, match="Execution '7311' not found"):
        run()


def test_live_fetches_the_assignments_first(settled: World) -> None:
    settled.box.unlist("7311", "A5")
    settled.box.assign("7311", "C9")

    before, live = run_json(), run_json("--live")

    assert (before["listed"], before["drift"]) == (6, 0)
    assert (live["listed"], live["owed"], live["drift"]) == (6, 1, 1)


def test_assignments_found_by_live_are_activated(settled: World) -> None:
    settled.box.assign("7311", "C9")

    run("--live")
    settled.wait()

    assert settled.assignment("C9").state == AssignmentState.ACTIVE
    assert Execution.objects.get().state == ExecutionProgress.SETTLED
    assert len(settled.box.credits) == 6


def test_live_activates_nothing_of_a_cancelled_execution(settled: World) -> None:
    lifecycle.cancel(Execution.objects.get(), by=None, why="It was a mistake.")
    settled.box.assign("7311", "C9")

    found = run_json("--live")
    settled.wait()

    assert (found["listed"], found["drift"]) == (7, 0)
    assert settled.assignment("C9").state == AssignmentState.VOID
    assert len(settled.box.credits) == 5


def test_open_starts_an_execution_without_a_webhook(world: World) -> None:
    world.box.assign("7311", "C1")
    out = StringIO()

    call_command("open", " 7311 ", "--json", stdout=out)
    world.work()

    [line] = out.getvalue().splitlines()
    assert json.loads(line)["occurrence"] == "7311"
    assert world.assignment("C1").state == AssignmentState.ACTIVE


@pytest.mark.parametrize("occurrence", ["", "x" * 201, "7\x0011"])
def test_open_rejects_an_invalid_id(db: None, occurrence: str) -> None:
    with pytest.raises(CommandError, match="occurrence has"):
        call_command("open", occurrence)

    assert not Execution.objects.exists()


def test_open_does_not_reopen_a_cancelled_execution(db: None) -> None:
    lifecycle.cancel_by_vendor("7311")

    with pytest.raises(CommandError, match="is cancelled"):
        call_command("open", "7311")
