"""Identification of listed rows, while assignment IDs change their meaning."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from executions.models import EventType, Execution, ExecutionStop
from promoportal.sandbox import Fault
from redemptions.models import Redemption
from redemptions.reporting import vendor_record
from rewards import decisions, listed_again
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Tally,
)
from tests.conftest import Agree
from tests.factories import UserFactory
from tests.rewards.collection.test_changes import OTHER, row
from tests.world import World

HELD, ACTIVE = AssignmentState.HELD, AssignmentState.ACTIVE
PLACE = 'reference = "assignmentId"'
WRONG = (PLACE, 'reference = "assignmentID"')
MEANT = ("repeats_are_meant = false", "repeats_are_meant = true")
ONE_ROW_A_PAGE = ("size = 1000", "size = 1")
NO_TOTAL = ('total = "totalCount"', 'total = ""          ')


@pytest.fixture
def agent(db: None) -> User:
    return UserFactory()


def list_row(
    world: World, reference: str, customer: str, **more: Any
) -> dict[str, Any]:
    """List a row; what the test changes in it, the next fetch returns."""
    listed = row(reference, customer=customer) | more
    world.box.list_row("7311", listed)
    return listed


def retry(agent: User) -> Any:
    return decisions.retry(Assignment.objects.all(), by=agent, why="Mended.")


def release(agent: User, customer: str) -> Any:
    rows = Assignment.objects.filter(customer=customer)
    return decisions.release(rows, by=agent, why="It is meant.")


def credited(world: World) -> list[str]:
    return sorted(credit.customer for credit in world.box.credits)


def reported(world: World) -> list[str]:
    """Return the assignment IDs of the reports to Optimove."""
    world.wait()
    rows = Redemption.objects.select_related("assignment__execution")
    return sorted(vendor_record(row).assignment for row in rows)


def references() -> list[str]:
    return sorted(Assignment.objects.values_list("reference", flat=True))


# --- The contract's place of the ID was wrong -------------------------------------------


@pytest.mark.parametrize("way", ["retried", "fetched again", "both"])
def test_a_row_without_a_usable_id_gets_its_own_id_once_the_contract_is_corrected(
    world: World, agent: User, agree: Agree, way: str
) -> None:
    agree(WRONG)
    world.box.assign("7311", "C1", assignment_id="A1")
    world.announce("7311")
    assert world.assignment("C1").reason == AssignmentReason.UNREADABLE
    agree()

    if way != "fetched again":
        assert retry(agent).done == 1
        world.work()
    if way != "retried":
        world.announce("7311")
        world.announce("7311")

    assert references() == ["A1"]
    assert (credited(world), reported(world)) == (["C1"], ["A1"])


@pytest.mark.parametrize("way", ["retried", "fetched again"])
@pytest.mark.parametrize("meant", [True, False])
def test_each_of_several_rows_of_a_customer_gets_its_own_id(
    world: World, agent: User, agree: Agree, way: str, meant: bool
) -> None:
    repeats = [MEANT] if meant else []
    agree(WRONG, *repeats)
    for reference in ("A1", "A2", "A3"):
        world.box.assign("7311", "C1", assignment_id=reference)
    world.announce("7311")
    agree(*repeats)

    if way == "retried":
        retry(agent)
        world.work()
    world.announce("7311")

    assert references() == ["A1", "A2", "A3"]
    assert len(world.box.credits) == (3 if meant else 1)
    release(agent, "C1")
    world.work()
    assert reported(world) == ["A1", "A2", "A3"]
    assert len({credit.key for credit in world.box.credits}) == 3


def test_a_row_activated_before_the_correction_gets_its_own_id(
    world: World, agree: Agree
) -> None:
    """Releases before this one activated such rows under the ID that they had."""
    agree((PLACE, 'reference = ""            '))
    world.box.assign("7311", "C1", assignment_id="A1")
    world.announce("7311")
    Assignment.objects.update(reference="unreadable-0123")
    agree()

    world.announce("7311")

    assert references() == ["A1"]
    assert credited(world) == ["C1"]


def test_only_rows_without_a_usable_id_change_their_id(
    world: World, agent: User, agree: Agree
) -> None:
    mute = row("", customer="C1")
    world.box.list_row("7311", mute)
    list_row(world, "A2", "C2")
    world.announce("7311")
    assert credited(world) == ["C2"]
    mute["assignmentId"] = "A1"

    world.announce("7311")
    world.announce("7311")

    assert references() == ["A1", "A2"]
    assert credited(world) == ["C1", "C2"]


def test_a_row_without_id_and_customer_is_found_again(
    world: World, agree: Agree
) -> None:
    agree(
        WRONG, ('customer = "customerId"        # ASSUMED\npr', 'customer = "who"\npr')
    )
    for number in range(3):
        world.box.assign("7311", f"C{number}", assignment_id=f"A{number}")
    world.announce("7311")
    assert Assignment.objects.filter(state=HELD, customer="").count() == 3
    agree()

    world.announce("7311")

    assert references() == ["A0", "A1", "A2"]
    assert credited(world) == ["C0", "C1", "C2"]


def test_a_changed_row_without_a_usable_id_is_found_again(
    world: World, agree: Agree
) -> None:
    agree(WRONG)
    world.box.assign("7311", "C1", assignment_id="A1")
    world.announce("7311")
    agree()
    world.box.change("7311", "A1", status="Cancelled")

    world.announce("7311")

    found = Assignment.objects.get()
    assert (found.reference, found.state) == ("A1", AssignmentState.VOID)
    assert not world.box.credits


def test_a_written_off_row_stays_written_off_under_its_own_id(
    world: World, agent: User, agree: Agree
) -> None:
    agree(WRONG)
    world.box.assign("7311", "C1", assignment_id="A1")
    world.announce("7311")
    decisions.write_off(Assignment.objects.all(), by=agent, why="Not meant.")
    agree()

    world.announce("7311")

    found = Assignment.objects.get()
    assert (found.reference, found.reason) == ("A1", AssignmentReason.WRITTEN_OFF)
    assert not world.box.credits


def test_a_row_whose_own_id_is_already_stored_is_not_activated(
    world: World, agent: User, agree: Agree
) -> None:
    """Releases before this one stored the assignment a second time."""
    world.box.assign("7311", "C1", assignment_id="A1")
    world.announce("7311")
    first = Assignment.objects.get()
    again = {"state": HELD, "reason": AssignmentReason.UNREADABLE, "key": None}
    Assignment.objects.create(
        execution=first.execution,
        promotion=first.promotion,
        customer="C1",
        reference="unreadable-0123",
        repeated=True,
        as_assigned=first.as_assigned,
        meaning=first.meaning,
        **again,
    )

    rows = Assignment.objects.exclude(pk=first.pk)
    tried = decisions.retry(rows, by=agent, why="Mended.")
    release(agent, "C1")
    world.announce("7311")

    assert tried.skipped == {listed_again.STORED_TWICE: 1}
    assert credited(world) == ["C1"]


def test_a_repeat_that_may_be_an_activated_row_without_id_needs_review(
    world: World, agree: Agree
) -> None:
    """The row had no ID and has another reward now: nothing proves that it is the same."""
    agree((PLACE, 'reference = ""            '), MEANT)
    mute = row("", customer="C1")
    world.box.list_row("7311", mute)
    world.announce("7311")
    assert credited(world) == ["C1"]
    agree(MEANT)
    mute |= {"assignmentId": "A1", "reward": {**OTHER, "value": "98"}}

    world.announce("7311")

    found = Assignment.objects.get(reference="A1")
    assert (found.state, found.reason) == (HELD, AssignmentReason.REPEATED)
    assert credited(world) == ["C1"]


# --- An ID is listed for another owner --------------------------------------------------


@pytest.mark.parametrize("name", ["customerId", "promotionId"])
@pytest.mark.parametrize("given", [True, False])
def test_an_id_listed_for_another_owner_keeps_both_claims(
    world: World, agent: User, name: str, given: bool
) -> None:
    listed = list_row(world, "A1", "C1")
    (world.announce if given else world.collect)("7311")
    listed[name] = "another"

    world.collect("7311")
    world.work()

    first, second = Assignment.objects.order_by("pk")
    assert (first.state, first.reason) == (
        ACTIVE if given else HELD,
        AssignmentReason.DIFFERS,
    )
    assert (second.state, second.reason) == (HELD, AssignmentReason.DIFFERS)
    assert "before" in second.problem
    assert world.reconcile("7311").held == (1 if given else 2)
    assert world.reconcile("7311").listed == 1
    assert len(world.box.credits) == given

    rows = Assignment.objects.filter(pk=second.pk)
    assert decisions.release(rows, by=agent, why="It is meant.").done == 1
    world.work()
    world.announce("7311")

    assert len({credit.key for credit in world.box.credits}) == 1 + given
    assert Assignment.objects.count() == 2
    assert reported(world) == ["A1"] * (1 + given)


def test_the_claim_of_another_owner_can_be_written_off(
    world: World, agent: User
) -> None:
    listed = list_row(world, "A1", "C1")
    world.announce("7311")
    listed["customerId"] = "C2"
    world.announce("7311")

    rows = Assignment.objects.filter(customer="C2")
    assert decisions.write_off(rows, by=agent, why="A mistake.").done == 1
    world.announce("7311")

    assert world.assignment("C2").reason == AssignmentReason.WRITTEN_OFF
    assert credited(world) == ["C1"]


@pytest.mark.parametrize("approved", [True, False])
def test_an_id_that_changes_its_owner_back_and_forth_adds_no_rows(
    world: World, agent: User, approved: bool
) -> None:
    listed = list_row(world, "A1", "C1")
    world.announce("7311")
    for customer in ("C2", "C1", "C2", "C1", "C2"):
        listed["customerId"] = customer
        world.announce("7311")
        if approved:
            release(agent, "C2")
            world.work()

    assert Assignment.objects.count() == 2
    assert credited(world) == (["C1", "C2"] if approved else ["C1"])
    assert world.assignment("C2").problem.count("before") <= 1


def test_a_claim_under_an_id_of_another_follows_its_own_changes(
    world: World, agent: User
) -> None:
    """Neither another reward nor a cancellation makes a further row of it."""
    listed = list_row(world, "A1", "C1")
    world.announce("7311")
    listed["customerId"] = "C2"
    world.announce("7311")
    listed["reward"] = {**OTHER, "value": "12"}
    world.announce("7311")
    assert world.assignment("C2").value == 12
    listed["status"] = "Cancelled"
    world.announce("7311")

    assert Assignment.objects.count() == 2
    assert world.assignment("C2").state == AssignmentState.VOID
    assert world.assignment("C1").state == ACTIVE
    assert not world.assignment("C1").cancelled_too_late


@pytest.mark.parametrize("order", ["C1 C2", "C2 C1"])
def test_an_id_on_two_pages_without_a_total_keeps_both_claims(
    world: World, agree: Agree, order: str
) -> None:
    agree(ONE_ROW_A_PAGE, NO_TOTAL)
    for customer in order.split():
        list_row(world, "A1", customer)

    world.announce("7311")
    world.announce("7311")

    first, second = order.split()
    assert credited(world) == [first]
    assert world.assignment(first).reason == ""
    assert world.assignment(second).state == HELD
    assert Assignment.objects.count() == 2
    assert world.reconcile("7311").drift == 0


def test_an_id_on_two_pages_is_not_an_incomplete_list(
    world: World, agree: Agree
) -> None:
    agree(ONE_ROW_A_PAGE)
    for customer in ("C1", "C2"):
        list_row(world, "A1", customer)

    found = world.announce("7311")

    assert world.assignment("C2").state == HELD
    assert found.collection.reason == ""
    assert world.reconcile("7311").listed == 2


def test_two_rows_with_one_id_in_another_order_are_the_same_rows(
    world: World,
) -> None:
    one, other = list_row(world, "A1", "C1"), list_row(world, "A1", "C2")
    world.announce("7311")
    one["customerId"], other["customerId"] = "C2", "C1"

    world.announce("7311")

    assert Assignment.objects.count() == 2
    assert world.assignment("C1").reason == ""
    assert credited(world) == ["C1"]


def test_a_second_row_of_a_page_becomes_pending_only_if_staff_approve_it(
    world: World, agent: User
) -> None:
    list_row(world, "A1", "C1")
    list_row(world, "A1", "C2")
    world.announce("7311")

    retry(agent)
    world.work()
    assert credited(world) == ["C1"]

    release(agent, "C2")
    world.work()
    assert credited(world) == ["C1", "C2"]
    assert reported(world) == ["A1", "A1"]


def test_a_triggered_customer_under_the_id_of_another_keeps_the_claim(
    world: World, agent: User
) -> None:
    world.box.assign("7311", "C1", assignment_id="A1")
    world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C1")
    world.work()
    assert credited(world) == ["C1"]
    world.box.unlist("7311", "A1")
    world.box.assign("7311", "C2", assignment_id="A1")

    world.notify(EventType.TRIGGERED, campaignID=7311, customerID="C2")
    world.work()

    assert world.assignment("C2").state == HELD
    assert release(agent, "C2").done == 1
    world.work()
    assert credited(world) == ["C1", "C2"]


def test_a_claim_under_an_id_of_another_counts_once_in_the_limits(
    world: World, settings: Any
) -> None:
    settings.LIMIT_CUSTOMERS = ["2"]
    listed = list_row(world, "A1", "C1")
    world.announce("7311")
    for customer in ("C2", "C1", "C2"):
        listed["customerId"] = customer
        world.announce("7311")

    tally = Tally.objects.get()
    assert f"{tally.customers} {tally.value:.0f}" == "2 198"
    assert Execution.objects.get().stop == ExecutionStop.NONE


def test_an_invalid_row_listed_for_another_customer_keeps_both_claims(
    world: World, agent: User
) -> None:
    listed = list_row(world, "A1", "C1", reward="none")
    world.announce("7311")
    assert world.assignment("C1").reason == AssignmentReason.UNREADABLE
    listed |= {"customerId": "C2", "reward": {**OTHER}}

    world.announce("7311")
    retry(agent)
    world.work()

    assert world.assignment("C1").state == HELD
    assert world.assignment("C2").state == HELD
    assert not world.box.credits


def test_an_invalid_row_under_the_id_of_another_needs_an_approval_once_valid(
    world: World, agent: User
) -> None:
    listed = list_row(world, "A1", "C1")
    world.announce("7311")
    listed |= {"customerId": "C2", "status": "Promised"}
    world.announce("7311")
    assert world.assignment("C2").reason == AssignmentReason.UNKNOWN_STATUS
    listed["status"] = "Assigned"

    world.announce("7311")

    assert world.assignment("C2").state == HELD
    assert release(agent, "C2").done == 1
    world.work()
    assert credited(world) == ["C1", "C2"]


def test_a_claim_under_an_id_of_another_is_not_doubled_by_an_id_of_its_own(
    world: World, agree: Agree
) -> None:
    agree(MEANT)
    listed = list_row(world, "A1", "C1")
    world.announce("7311")
    listed["customerId"] = "C2"
    world.announce("7311")
    listed["assignmentId"] = "A2"

    world.announce("7311")

    own = Assignment.objects.get(reference="A2")
    assert (own.state, own.reason) == (HELD, AssignmentReason.REPEATED)
    assert credited(world) == ["C1"]


def test_a_lost_answer_about_the_first_owner_stays_with_the_first_owner(
    world: World,
) -> None:
    listed = list_row(world, "A1", "C1")
    world.collect("7311")
    world.box.order(Fault(kind="lost_answer", side="platform", route="rewards"))
    world.run_activation()
    listed["customerId"] = "C2"
    world.collect("7311")

    world.wait()

    first = world.assignment("C1")
    assert (first.state, first.doubtful) == (HELD, True)
    assert world.assignment("C2").state == HELD
    assert credited(world) == ["C1"]
