"""The pages of rows: timeline, panels, actions and links."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from executions.models import Execution, ExecutionKind, TriggerState
from promoportal.admin.links import list_of, page_of
from promoportal.optimove import Meaning
from promoportal.resilience.circuit_breaker import Breaker, Side
from redemptions.models import Redemption, Report
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Attempt,
    CollectionState,
)
from tests.factories import (
    AssignmentFactory,
    AttemptFactory,
    CollectionFactory,
    DeliveryFactory,
    ExecutionFactory,
    ListenerFactory,
    RedemptionFactory,
    ReportFactory,
    TriggerFactory,
)
from tests.staff_client import StaffClient
from tests.world import World


def test_the_timeline_of_an_assignment_is_in_order_of_time(crm: StaffClient) -> None:
    begun = timezone.now() - timedelta(hours=2)
    row = AssignmentFactory(state=AssignmentState.ACTIVE, created_at=begun)
    redemption = RedemptionFactory(assignment=row)
    at = [begun + timedelta(minutes=number) for number in range(6)]
    row.transitions.create(before="OWED", after="ACTIVATING", at=at[1])
    AttemptFactory(
        assignment=row,
        number=1,
        begun_at=at[2],
        outcome=Attempt.Outcome.UNANSWERED,
        status=502,
        answer="Bad gateway",
    )
    row.transitions.create(
        before="UNCERTAIN", after="ACTIVE", at=at[3], by=crm.user, why="Seen there."
    )
    redemption.transitions.create(before="WAITING", after="REPORTED", at=at[5])

    answer = crm.get(page_of(row))

    story = [(moment.at, moment.what) for moment in answer.context["timeline"]]
    assert [moment_at for moment_at, _ in story] == [*at[:4], at[5]]
    page = answer.content.decode()
    for said in ("Listed by Optimove", "by crm", "Seen there.", "Bad gateway"):
        assert said in page
    assert "No response, effect unknown, HTTP 502." in page


def test_a_duplicate_assignment_is_marked(crm: StaffClient) -> None:
    one, second = AssignmentFactory(), AssignmentFactory(repeated=True)

    assert "Second assignment" not in crm.page(one)
    assert "Second assignment" in crm.page(second)


def test_the_pages_of_one_reward_link_to_each_other(
    world: World, crm: StaffClient
) -> None:
    occurrence = world.box.trigger(customers=["C1"], announce=False)
    delivery = world.notify(11, campaignID=occurrence, customerID="C1")
    world.work()
    world.wait()
    assignment = world.assignment("C1")
    execution = assignment.execution
    trigger = execution.triggers.get()
    redemption = Redemption.objects.get()
    assert redemption.report

    links = [
        (delivery, trigger),
        (delivery, execution),
        (trigger, delivery),
        (trigger, execution),
        (trigger, assignment),
        (execution, delivery),
        (execution, trigger),
        (execution, execution.collection),
        (assignment, execution),
        (assignment, redemption),
        (assignment, redemption.report),
        (redemption, assignment),
        (redemption, execution),
        (redemption, redemption.report),
        (redemption.report, redemption),
    ]
    for here, there in links:
        assert f'href="{page_of(there)}"' in crm.page(here), (here, there)


def test_a_mismatch_is_shown_on_the_page_of_the_execution(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    AssignmentFactory(execution=execution, state=AssignmentState.ACTIVE)

    assert "1 disagrees with Optimove's list" in crm.page(execution)


def test_an_execution_without_an_assignment_fetch_says_so(crm: StaffClient) -> None:
    assert "Nothing was collected yet." in crm.page(ExecutionFactory())


def test_a_page_names_the_next_step(crm: StaffClient) -> None:
    owed = AssignmentFactory(state=AssignmentState.OWED)
    uncleared = AssignmentFactory(state=AssignmentState.OWED, cleared=False)
    uncertain = AssignmentFactory(state=AssignmentState.UNCERTAIN, doubtful=True)
    waiting = RedemptionFactory()

    assert "It is sent to the platform. Not before" in crm.page(owed)
    assert "checked against the limits" in crm.page(uncleared)
    assert "The portal finds out what became of it" in crm.page(uncertain)
    assert "the customer may have it, or not" in crm.page(uncertain)
    assert "Reported at" in crm.page(waiting)


@pytest.mark.parametrize("who", ["Optimove", "The vendor"])  # the name in old rows
def test_an_assignment_whose_id_was_reused_can_be_written_off_but_not_approved(
    superuser: StaffClient, who: str
) -> None:
    row = AssignmentFactory(
        state=AssignmentState.HELD,
        reason=AssignmentReason.DIFFERS,
        problem=f"{who} lists another customer or promotion than before.",
        as_assigned={"assignmentId": "9f0c", "customerId": "another"},
    )

    page = superuser.page(row)

    assert "Its id is another customer's or promotion's by now" in page
    assert "Approve" not in page
    assert "Write off" in page


def test_the_page_of_a_listener_shows_no_digest(superuser: StaffClient) -> None:
    row = ListenerFactory(
        secret_digest="a1" * 32,
        header_name="X-Secret",
        header_digest="b2" * 32,
        networks=["192.0.2.0/24"],
    )

    for text in (superuser.page(row), superuser.text(list_of(type(row)))):
        assert row.secret_digest not in text
        assert row.header_digest not in text
    assert "192.0.2.0/24" in superuser.page(row)


def test_a_page_offers_only_fitting_and_permitted_actions(
    crm: StaffClient, support: StaffClient, operations: StaffClient
) -> None:
    held = AssignmentFactory(state=AssignmentState.HELD)
    doubtful = AssignmentFactory(state=AssignmentState.HELD, doubtful=True)
    active = AssignmentFactory(state=AssignmentState.ACTIVE)

    assert operations.offered(held) == {"retry", "write_off", "reveal"}
    assert operations.offered(doubtful) == {"given", "not_given", "reveal"}
    assert operations.offered(active) == {"reveal"}
    assert support.offered(held) == {"retry", "reveal"}
    assert support.offered(doubtful) == {"reveal"}
    assert crm.offered(held) == set()
    assert "kept with the row" not in crm.page(held)


def test_a_list_offers_only_permitted_actions(
    support: StaffClient, operations: StaffClient, crm: StaffClient
) -> None:
    AssignmentFactory()

    assert support.offered_in_list(Assignment) == {"retry"}
    assert operations.offered_in_list(Assignment) == {
        *("retry", "release", "given", "not_given", "write_off", "tell")
    }
    assert crm.get(list_of(Assignment)).context["action_form"] is None
    assert "action-select" not in crm.text(list_of(Assignment))


def test_a_paused_connection_is_shown_with_its_problem(operations: StaffClient) -> None:
    now = timezone.now()
    broken = Breaker.objects.create(
        side=Side.PLATFORM, opened_at=now, open_until=now, problem="401: expired."
    )

    assert "Open: no calls are made" in operations.page(broken)
    assert "401: expired." in operations.text(list_of(Breaker))


def test_rewards_are_described_in_words(crm: StaffClient) -> None:
    code = AssignmentFactory(
        reward=None, unique_code="XYZ", state=AssignmentState.ACTIVE
    )
    unreadable = AssignmentFactory(reward=None, customer="", state=AssignmentState.HELD)

    assert "A code for C" in crm.page(code)
    assert "Assignment for nobody" in crm.page(unreadable)
    assert "(not readable)" in crm.text(list_of(Assignment))


def test_a_running_request_is_shown_as_running(crm: StaffClient) -> None:
    report = ReportFactory(outcome="", status=None)
    assignment = AssignmentFactory(state=AssignmentState.ACTIVATING)
    AttemptFactory(assignment=assignment, outcome="", status=None)

    assert "Under way" in crm.page(report)
    assert "Under way." in crm.page(assignment)
    assert report in crm.list(Report)


def test_a_trigger_without_an_assignment_says_so(crm: StaffClient) -> None:
    trigger = TriggerFactory(state=TriggerState.WAITING)

    assert "Optimove lists none yet." in crm.page(trigger)
    assert "Customer " in crm.page(trigger)


def test_the_problem_of_a_stopped_fetch_is_shown_on_the_page_of_the_execution(
    crm: StaffClient,
) -> None:
    execution = ExecutionFactory(kind=ExecutionKind.SCHEDULED)
    CollectionFactory(
        execution=execution,
        state=CollectionState.HELD,
        problem="498 of 500 are listed.",
    )
    DeliveryFactory(execution=execution)

    assert "498 of 500 are listed." in crm.page(execution)
    assert crm.list(Execution) == [execution]


@pytest.mark.parametrize(
    ("meaning", "said"),
    [(Meaning.NOTHING, "Nothing to give"), (Meaning.CANCELLED, "Taken back")],
)
def test_the_meaning_of_an_optimove_status_is_shown_in_words(
    crm: StaffClient, meaning: Meaning, said: str
) -> None:
    row = AssignmentFactory(state=AssignmentState.VOID, meaning=meaning)

    assert f"<dt>Its status means</dt><dd>{said}</dd>" in crm.page(row)


def test_a_single_run_is_described_in_the_singular(crm: StaffClient) -> None:
    row = CollectionFactory(number=1, seen=1)
    assert "<strong>1</strong> pass begun" in crm.page(row.execution)

    row.number, row.seen = 2, 2
    row.save()

    shown = crm.page(row.execution)
    assert "<strong>2</strong> passes begun" in shown
    assert "rows seen in the last" in shown
