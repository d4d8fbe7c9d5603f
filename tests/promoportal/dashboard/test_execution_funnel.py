"""An execution's page: from the vendor's list to the report, and each difference by name."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from executions.models import Execution, ExecutionProgress, ExecutionStop
from promoportal.admin.links import list_of, page_of
from promoportal.admin.panels import Panel, Stage
from promoportal.admin.roles import Role
from promoportal.dashboard.execution_funnel import MAX_ROWS_BETWEEN
from promoportal.db.state_counts import Census, CountKind
from promoportal.optimove import Meaning
from redemptions.models import RedemptionState
from rewards.models import Assignment, AssignmentReason, AssignmentState
from tests.factories import (
    AssignmentFactory,
    CollectionFactory,
    DeliveryFactory,
    ExecutionFactory,
    ListenerFactory,
    RedemptionFactory,
)
from tests.staff_client import StaffClient

# A row of each kind that a page tells apart, and how many of it there are.
ASSIGNED: list[tuple[int, dict[str, Any]]] = [
    (3, {"state": AssignmentState.OWED}),
    (1, {"state": AssignmentState.ACTIVATING}),
    (2, {"state": AssignmentState.UNCERTAIN, "doubtful": True}),
    (2, {"state": AssignmentState.HELD, "reason": AssignmentReason.REFUSED}),
    (1, {"state": AssignmentState.HELD, "reason": AssignmentReason.REPEATED}),
    (
        1,
        {
            "state": AssignmentState.HELD,
            "reason": "UNKNOWN_STATUS",
            "meaning": Meaning.UNKNOWN,
        },
    ),
    (
        4,
        {
            "state": AssignmentState.VOID,
            "reason": "NOT_ASSIGNED",
            "meaning": Meaning.NOTHING,
        },
    ),
    (2, {"state": AssignmentState.VOID, "reason": AssignmentReason.CANCELLED}),
    (
        1,
        {
            "state": AssignmentState.VOID,
            "reason": "CANCELLED",
            "meaning": Meaning.NOTHING,
        },
    ),
    (1, {"state": AssignmentState.VOID, "reason": AssignmentReason.WRITTEN_OFF}),
]


def fill(execution: Execution) -> None:
    for count, what in ASSIGNED:
        for _ in range(count):
            AssignmentFactory(execution=execution, **what)
    for state in [*RedemptionState, RedemptionState.REPORTED]:
        active = AssignmentFactory(execution=execution, state=AssignmentState.ACTIVE)
        RedemptionFactory(assignment=active, state=state)
    AssignmentFactory(
        execution=execution, state=AssignmentState.ACTIVE
    )  # not to be reported
    AssignmentFactory(
        execution=execution,
        state=AssignmentState.ACTIVE,
        meaning=Meaning.NOTHING,
        cancelled_too_late=True,
    )


def panel(staff: StaffClient, execution: Execution) -> Panel:
    found: Panel = staff.get(page_of(execution)).context["panels"][-1]
    return found


def stages(staff: StaffClient, execution: Execution) -> dict[str, Stage]:
    return {stage.name: stage for stage in panel(staff, execution).stages}


def test_each_stage_is_there_with_what_it_lacks_of_the_one_before(
    crm: StaffClient,
) -> None:
    execution = ExecutionFactory()
    fill(execution)

    found = stages(crm, execution)

    assert {name: stage.count for name, stage in found.items()} == {
        "listed": 27,
        "eligible": 20,
        "active": 9,
        "reported": 2,
    }
    assert _said(found["eligible"]) == {
        "not assigned": -4,
        "cancelled before activation": -1,
        "held": -1,
        "taken back too late": -1,
    }
    assert _said(found["active"]) == {
        "owed": -3,
        "held": -3,
        "sent, no answer yet": -2,
        "cancelled before activation": -2,
        "being activated": -1,
        "written off": -1,
        "taken back too late": 1,
    }
    assert _said(found["reported"]) == {
        "to be reported": -1,
        "being reported": -1,
        "sent, no answer yet": -1,
        "reports held": -1,
        "written off": -1,
        "not to be reported": -2,
    }


def test_the_differences_are_all_there_is_between_two_stages(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    fill(execution)

    found = list(stages(crm, execution).values())

    for before, after in itertools.pairwise(found):
        assert before.count + sum(_said(after).values()) == after.count, after.name


def test_each_number_leads_to_the_list_of_exactly_these_rows(crm: StaffClient) -> None:
    execution, other = ExecutionFactory(), ExecutionFactory()
    fill(execution)
    fill(other)

    for stage in stages(crm, execution).values():
        lists = [(one.name, one.count, one.href) for one in stage.differences]
        for name, count, href in [(stage.name, stage.count, stage.href), *lists]:
            shown = crm.get(href).context["cl"].result_list
            assert len(shown) == count, (stage.name, name)
            assert {row.execution_id for row in shown} == {execution.pk}


def test_where_all_are_eligible_the_link_is_that_of_all(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    AssignmentFactory(execution=execution)

    found = stages(crm, execution)

    assert found["eligible"].href == found["listed"].href


def test_the_eligible_among_very_many_others_are_a_number_alone(
    crm: StaffClient,
) -> None:
    execution = ExecutionFactory()
    AssignmentFactory(execution=execution)
    Census.objects.create(
        kind=CountKind.ASSIGNMENT,
        execution=execution,
        meaning=Meaning.NOTHING,
        state=AssignmentState.VOID,
        count=MAX_ROWS_BETWEEN + 1,
    )

    eligible = stages(crm, execution)["eligible"]

    assert (eligible.count, eligible.href) == (1, "")


def test_where_none_is_reported_all_that_are_active_are_shown(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    AssignmentFactory(execution=execution, state=AssignmentState.ACTIVE)

    [difference] = stages(crm, execution)["reported"].differences

    assert difference.name == "not to be reported"
    assert difference.href == list_of(
        Assignment, execution=execution.pk, state__exact=AssignmentState.ACTIVE
    )


def test_how_fast_it_goes_is_said_or_that_it_does_not(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    AssignmentFactory(execution=execution, state=AssignmentState.OWED)

    assert "Nothing became active in the last two minutes." in crm.page(execution)
    for _ in range(4):
        AssignmentFactory(execution=execution, state=AssignmentState.ACTIVE)
    assert "It goes at 2 a minute, about 30 s left." in crm.page(execution)
    Execution.objects.update(stop=ExecutionStop.PAUSED)
    assert "It is stopped: 1 owed wait until somebody resumes it." in crm.page(
        execution
    )


def test_only_what_trying_again_would_do_is_offered_to_be_tried_again(
    support: StaffClient,
) -> None:
    execution = ExecutionFactory()
    for reason, doubtful in (
        (AssignmentReason.REFUSED, False),
        (AssignmentReason.REPEATED, False),
        (AssignmentReason.UNANSWERED, True),
    ):
        AssignmentFactory(
            execution=execution,
            state=AssignmentState.HELD,
            reason=reason,
            doubtful=doubtful,
        )

    offered = {
        group.name for group in panel(support, execution).groups if group.can_retry
    }
    assert offered == {"Request rejected"}

    Execution.objects.update(stop=ExecutionStop.CANCELLED)
    assert not [one for one in panel(support, execution).groups if one.can_retry]


# --- What made it ---------------------------------------------------------------------


def test_the_notices_that_made_it_are_there_the_latest_first(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    listener = ListenerFactory(channel=505)
    rows = [DeliveryFactory(execution=execution, listener=listener) for _ in range(11)]

    notices = crm.get(page_of(execution)).context["panels"][0]
    page = crm.page(execution)

    assert notices.title == "The notices that made it"
    assert len(notices.rows) == 10
    assert page_of(rows[-1]) in page
    assert f'"{page_of(rows[0])}"' not in page
    assert "Event 13, channel 505" in page
    assert list_of(type(rows[0]), execution=execution.pk) in page


def test_of_one_that_no_notice_made_it_is_said_so(crm: StaffClient) -> None:
    assert "somebody opened it by hand" in crm.page(ExecutionFactory())


# --- Its time line --------------------------------------------------------------------


def test_its_time_line_has_all_that_it_went_through(
    crm: StaffClient, operations: StaffClient
) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.SETTLED)
    CollectionFactory(execution=execution)
    for redeemed in range(3):
        RedemptionFactory(
            assignment__execution=execution,
            assignment__state=AssignmentState.ACTIVE,
            redeemed_at=timezone.now() + timedelta(seconds=redeemed),
        )
    for action in ("pause", "resume", "open"):
        operations.do(action, execution, why=f"To {action} it.")

    story = crm.get(page_of(execution)).context["timeline"]

    told = [(moment.what, moment.by, moment.why) for moment in story]
    said = "\n".join(" ".join(each) for each in told)
    for what in (
        "Opened",
        "First activation",
        "Last activation so far",
        "Paused</span> operations To pause it.",
        "Running</span> operations To resume it.",
        "Fetching assignments</span> operations To open it.",
        "Queued</span> operations To open it.",
    ):
        assert what in said, said
    assert [moment.at for moment in story] == sorted(moment.at for moment in story)


def test_one_activation_is_the_first_and_no_last_one(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    RedemptionFactory(
        assignment__execution=execution, assignment__state=AssignmentState.ACTIVE
    )

    page = crm.page(execution)

    assert "First activation" in page
    assert "Last activation" not in page


# --- Taken along ----------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_its_assignments_are_taken_along_with_one_press_by_who_may(
    role: Role, client_of: Any
) -> None:
    staff, execution = client_of(role), ExecutionFactory()
    mine = AssignmentFactory(execution=execution)
    other = AssignmentFactory()
    may = role != Role.SUPPORT

    page = staff.page(execution)
    answer = staff.client.post(panel(staff, execution).export, {"export": "csv"})

    assert ("All assignments, as CSV" in page) == may
    assert answer.status_code == (200 if may else 403)
    if may:
        text = b"".join(answer.streaming_content).decode()
        assert mine.reference in text
        assert other.reference not in text
        entry = LogEntry.objects.get()
        assert entry.user == staff.user
        assert f"Execution: {execution.reference}" in entry.change_message
    else:
        assert LogEntry.objects.get().change_message.startswith("Refused:")


def _said(stage: Stage) -> dict[str, int]:
    return {
        one.name: one.count if one.is_more else -one.count for one in stage.differences
    }


@pytest.mark.parametrize("reason", AssignmentReason)
def test_a_reason_begins_with_a_small_letter_inside_a_sentence(
    reason: AssignmentReason,
) -> None:
    assert reason.phrase[0].islower()
    assert reason.phrase[1:] == reason.label[1:]
