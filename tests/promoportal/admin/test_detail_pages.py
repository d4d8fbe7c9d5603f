"""A row's page tells its story, and leads to what it belongs to."""

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
from tests.staff_client import Desk
from tests.world import World


def test_an_assignments_story_is_in_order_of_time(crm: Desk) -> None:
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


def test_a_second_assignment_says_that_it_is_one(crm: Desk) -> None:
    one, second = AssignmentFactory(), AssignmentFactory(repeated=True)

    assert "Second assignment" not in crm.page(one)
    assert "Second assignment" in crm.page(second)


def test_the_whole_way_of_one_reward_can_be_followed_by_links(
    world: World, crm: Desk
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

    ways = [
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
    for here, there in ways:
        assert f'href="{page_of(there)}"' in crm.page(here), (here, there)


def test_drift_is_named_with_what_to_do(crm: Desk) -> None:
    execution = ExecutionFactory()
    AssignmentFactory(execution=execution, state=AssignmentState.ACTIVE)

    assert "1 disagrees with Optimove's list" in crm.page(execution)


def test_an_execution_that_was_never_collected_says_so(crm: Desk) -> None:
    assert "Nothing was collected yet." in crm.page(ExecutionFactory())


def test_what_happens_next_is_said(crm: Desk) -> None:
    owed = AssignmentFactory(state=AssignmentState.OWED)
    uncleared = AssignmentFactory(state=AssignmentState.OWED, cleared=False)
    uncertain = AssignmentFactory(state=AssignmentState.UNCERTAIN, doubtful=True)
    waiting = RedemptionFactory()

    assert "It is sent to the platform. Not before" in crm.page(owed)
    assert "checked against the limits" in crm.page(uncleared)
    assert "The portal finds out what became of it" in crm.page(uncertain)
    assert "the customer may have it, or not" in crm.page(uncertain)
    assert "Reported at" in crm.page(waiting)


@pytest.mark.parametrize("who", ["Optimove", "The vendor"])  # as it was called once
def test_what_is_another_s_by_now_is_to_be_written_off(
    superuser: Desk, who: str
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


def test_a_listeners_page_keeps_its_secrets(superuser: Desk) -> None:
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


def test_a_page_offers_only_what_fits_and_what_one_may(
    crm: Desk, support: Desk, operations: Desk
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


def test_a_list_offers_what_one_may(support: Desk, operations: Desk, crm: Desk) -> None:
    AssignmentFactory()

    assert support.offered_in_list(Assignment) == {"retry"}
    assert operations.offered_in_list(Assignment) == {
        *("retry", "release", "given", "not_given", "write_off")
    }
    assert crm.get(list_of(Assignment)).context["action_form"] is None
    assert "action-select" not in crm.text(list_of(Assignment))


def test_the_far_sides_are_there_to_be_seen(operations: Desk) -> None:
    now = timezone.now()
    broken = Breaker.objects.create(
        side=Side.PLATFORM, opened_at=now, open_until=now, problem="401: expired."
    )

    assert "Open: no calls are made" in operations.page(broken)
    assert "401: expired." in operations.text(list_of(Breaker))


def test_rewards_are_read_in_words(crm: Desk) -> None:
    code = AssignmentFactory(
        reward=None, unique_code="XYZ", state=AssignmentState.ACTIVE
    )
    unreadable = AssignmentFactory(reward=None, customer="", state=AssignmentState.HELD)

    assert "A code for C" in crm.page(code)
    assert "Assignment for nobody" in crm.page(unreadable)
    assert "(not readable)" in crm.text(list_of(Assignment))


def test_a_call_under_way_says_so(crm: Desk) -> None:
    report = ReportFactory(outcome="", status=None)
    assignment = AssignmentFactory(state=AssignmentState.ACTIVATING)
    AttemptFactory(assignment=assignment, outcome="", status=None)

    assert "Under way" in crm.page(report)
    assert "Under way." in crm.page(assignment)
    assert report in crm.list(Report)


def test_a_trigger_that_nothing_came_of_says_so(crm: Desk) -> None:
    trigger = TriggerFactory(state=TriggerState.WAITING)

    assert "Optimove lists none yet." in crm.page(trigger)
    assert "Customer " in crm.page(trigger)


def test_a_held_collection_is_explained_on_its_executions_page(crm: Desk) -> None:
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
def test_what_a_status_means_is_said_as_staff_would(
    crm: Desk, meaning: Meaning, said: str
) -> None:
    row = AssignmentFactory(state=AssignmentState.VOID, meaning=meaning)

    assert f"<dt>Its status means</dt><dd>{said}</dd>" in crm.page(row)


def test_of_one_it_is_said_as_of_one(crm: Desk) -> None:
    row = CollectionFactory(number=1, seen=1)
    assert "<strong>1</strong> pass begun" in crm.page(row.execution)

    row.number, row.seen = 2, 2
    row.save()

    shown = crm.page(row.execution)
    assert "<strong>2</strong> passes begun" in shown
    assert "rows seen in the last" in shown
