"""The page of an execution: its stages, and the named differences between them."""

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
    )  # promotion without reporting
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


def test_possibly_activated_rewards_are_not_called_cancelled(crm: StaffClient) -> None:
    """After a restored backup, a reward in `VOID` may have been activated since then."""
    execution, void = ExecutionFactory(), AssignmentState.VOID
    kinds: list[dict[str, Any]] = [
        {"reason": AssignmentReason.CANCELLED},
        {"reason": AssignmentReason.CANCELLED},
        {"reason": AssignmentReason.CANCELLED, "doubtful": True},
        {"reason": "NOT_ASSIGNED", "meaning": Meaning.NOTHING, "doubtful": True},
    ]
    for what in kinds:
        AssignmentFactory(execution=execution, state=void, **what)
    AssignmentFactory(state=void, reason="CANCELLED", doubtful=True)  # of another one

    found = stages(crm, execution)

    assert _differences(found["eligible"]) == {"possibly activated": -1}
    assert _differences(found["active"]) == {
        "cancelled before activation": -2,
        "possibly activated": -1,
    }
    doubtful = found["active"].differences[-1]
    assert crm.get(doubtful.href).context["cl"].result_count == 1


def test_each_stage_names_its_differences_from_the_stage_before(
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
    assert _differences(found["eligible"]) == {
        "not assigned": -4,
        "cancelled before activation": -1,
        "held": -1,
        "taken back too late": -1,
    }
    assert _differences(found["active"]) == {
        "owed": -3,
        "held": -3,
        "sent, no answer yet": -2,
        "cancelled before activation": -2,
        "being activated": -1,
        "written off": -1,
        "taken back too late": 1,
    }
    assert _differences(found["reported"]) == {
        "to be reported": -1,
        "being reported": -1,
        "sent, no answer yet": -1,
        "reports held": -1,
        "written off": -1,
        "not to be reported": -2,
    }


def test_the_differences_add_up_between_two_stages(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    fill(execution)

    found = list(stages(crm, execution).values())

    for before, after in itertools.pairwise(found):
        assert before.count + sum(_differences(after).values()) == after.count, (
            after.name
        )


def test_each_number_links_to_the_list_of_exactly_its_rows(crm: StaffClient) -> None:
    execution, other = ExecutionFactory(), ExecutionFactory()
    fill(execution)
    fill(other)

    for stage in stages(crm, execution).values():
        lists = [(one.name, one.count, one.href) for one in stage.differences]
        for name, count, href in [(stage.name, stage.count, stage.href), *lists]:
            shown = crm.get(href).context["cl"].result_list
            assert len(shown) == count, (stage.name, name)
            assert {row.execution_id for row in shown} == {execution.pk}


def test_if_all_are_eligible_the_link_shows_all(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    AssignmentFactory(execution=execution)

    found = stages(crm, execution)

    assert found["eligible"].href == found["listed"].href


def test_the_eligible_among_very_many_others_have_no_link(
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


def test_if_none_is_reported_all_activated_rewards_are_shown(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    AssignmentFactory(execution=execution, state=AssignmentState.ACTIVE)

    [difference] = stages(crm, execution)["reported"].differences

    assert difference.name == "not to be reported"
    assert difference.href == list_of(
        Assignment, execution=execution.pk, state__exact=AssignmentState.ACTIVE
    )


def test_the_page_shows_the_speed_or_that_it_is_stopped(crm: StaffClient) -> None:
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


def test_only_groups_that_a_retry_would_change_can_be_retried(
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


# --- Webhook deliveries ---------------------------------------------------------------


def test_the_latest_deliveries_are_shown_first(crm: StaffClient) -> None:
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


def test_an_execution_that_staff_opened_says_so(crm: StaffClient) -> None:
    assert "somebody opened it by hand" in crm.page(ExecutionFactory())


# --- Timeline -------------------------------------------------------------------------


def test_the_timeline_has_all_events_of_an_execution(
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

    timeline = crm.get(page_of(execution)).context["timeline"]

    moments = [(moment.what, moment.by, moment.why) for moment in timeline]
    said = "\n".join(" ".join(each) for each in moments)
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
    assert [moment.at for moment in timeline] == sorted(
        moment.at for moment in timeline
    )


def test_a_single_activation_is_the_first_and_not_the_last(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    RedemptionFactory(
        assignment__execution=execution, assignment__state=AssignmentState.ACTIVE
    )

    page = crm.page(execution)

    assert "First activation" in page
    assert "Last activation" not in page


# --- Export ---------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_a_permitted_role_can_export_the_assignments_of_an_execution(
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


def _differences(stage: Stage) -> dict[str, int]:
    return {
        one.name: one.count if one.is_more else -one.count for one in stage.differences
    }


@pytest.mark.parametrize("reason", AssignmentReason)
def test_a_reason_begins_with_a_lower_case_letter_inside_a_sentence(
    reason: AssignmentReason,
) -> None:
    assert reason.phrase[0].islower()
    assert reason.phrase[1:] == reason.label[1:]
