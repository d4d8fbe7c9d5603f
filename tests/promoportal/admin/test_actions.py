"""Each action on a row, performed by roles that may and by roles that may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from executions.models import DeliveryState, Execution, ExecutionStop, TriggerState
from promoportal.admin.audit_log import AuditKind
from promoportal.admin.links import page_of
from promoportal.admin.roles import Role, group_of
from promoportal.db import row_versions
from redemptions.models import Redemption, RedemptionState
from rewards.admin.promotions import PromotionAdmin
from rewards.models import Assignment, AssignmentReason, AssignmentState, Promotion
from tests.factories import (
    AssignmentFactory,
    DeliveryFactory,
    ExecutionFactory,
    PromotionFactory,
    RedemptionFactory,
    TriggerFactory,
    UserFactory,
)
from tests.rewards.collection.test_changes import row as listed
from tests.staff_client import WHY, StaffClient

OPERATIONS = {Role.OPERATIONS}
SUPPORT_AND_OPERATIONS = {Role.SUPPORT, Role.OPERATIONS}


def held() -> Assignment:
    return AssignmentFactory(
        state=AssignmentState.HELD, reason=AssignmentReason.REFUSED
    )


def second() -> Assignment:
    return AssignmentFactory(
        state=AssignmentState.HELD, reason=AssignmentReason.REPEATED, repeated=True
    )


def confirmable(reason: AssignmentReason) -> Assignment:
    """Hold a row that Optimove still lists for its customer and promotion."""
    row = AssignmentFactory(state=AssignmentState.HELD, reason=reason)
    said = listed(row.reference, customer=row.customer)
    row.as_assigned = said | {"promotionId": str(row.promotion)}
    row.save()
    return row


def doubtful() -> Assignment:
    return AssignmentFactory(
        state=AssignmentState.HELD,
        reason=AssignmentReason.UNANSWERED,
        doubtful=True,
        attempts=1,
    )


def changed_afterwards() -> Assignment:
    return AssignmentFactory(
        state=AssignmentState.ACTIVE, reason=AssignmentReason.DIFFERS
    )


def held_redemption() -> Redemption:
    return RedemptionFactory(state=RedemptionState.HELD)


def paused() -> Execution:
    return ExecutionFactory(stop=ExecutionStop.PAUSED)


def not_reported() -> Promotion:
    return PromotionFactory(redemption_mode=Promotion.Mode.OFF)


class Case(NamedTuple):
    """An action, a fitting row, the permitted roles, the message, and the result."""

    action: str
    row: Callable[[], Model]
    may: set[Role]
    says: str
    after: dict[str, Any]


CASES = [
    Case(
        "retry",
        held,
        SUPPORT_AND_OPERATIONS,
        "1 assignment will be tried again.",
        {"state": AssignmentState.OWED, "reason": ""},
    ),
    *(
        Case(
            "release",
            partial(confirmable, reason),
            OPERATIONS,
            "1 assignment will be given all the same.",
            {"state": AssignmentState.OWED, "reason": ""},
        )
        for reason in (
            AssignmentReason.REPEATED,
            AssignmentReason.OVER_LIMIT,
            AssignmentReason.DIFFERS,
        )
    ),
    Case(
        "given",
        doubtful,
        OPERATIONS,
        "1 assignment counts as given now.",
        {"state": AssignmentState.ACTIVE, "doubtful": False},
    ),
    Case(
        "not_given",
        doubtful,
        OPERATIONS,
        "1 assignment is marked as not activated.",
        {"state": AssignmentState.OWED, "doubtful": False},
    ),
    Case(
        "write_off",
        held,
        OPERATIONS,
        "1 assignment is written off.",
        {"state": AssignmentState.VOID, "reason": AssignmentReason.WRITTEN_OFF},
    ),
    Case(
        "tell",
        changed_afterwards,
        OPERATIONS,
        "1 assignment is marked as known to CRM.",
        {"state": AssignmentState.ACTIVE, "reason": AssignmentReason.DIFFERS},
    ),
    Case(
        "report_again",
        held_redemption,
        SUPPORT_AND_OPERATIONS,
        "1 redemption will be reported again.",
        {"state": RedemptionState.WAITING},
    ),
    Case(
        "write_off",
        held_redemption,
        OPERATIONS,
        "1 redemption is written off.",
        {"state": RedemptionState.WRITTEN_OFF},
    ),
    Case(
        "read_again",
        lambda: DeliveryFactory(state=DeliveryState.HELD),
        OPERATIONS,
        "1 delivery will be read again.",
        {"state": DeliveryState.UNREAD},
    ),
    Case(
        "ask_again",
        lambda: TriggerFactory(state=TriggerState.HELD),
        OPERATIONS,
        "1 trigger will be asked for again.",
        {"state": TriggerState.WAITING},
    ),
    Case(
        "open",
        lambda: ExecutionFactory(state="SETTLED"),
        OPERATIONS,
        "1 execution will be collected again.",
        {"state": "COLLECTING"},
    ),
    Case(
        "pause",
        ExecutionFactory,
        OPERATIONS,
        "1 execution is paused.",
        {"stop": ExecutionStop.PAUSED, "problem": WHY},
    ),
    Case(
        "resume",
        paused,
        OPERATIONS,
        "1 execution runs again.",
        {"stop": ExecutionStop.NONE},
    ),
    Case(
        "cancel",
        ExecutionFactory,
        OPERATIONS,
        "1 execution is cancelled.",
        {"stop": ExecutionStop.CANCELLED},
    ),
    Case(
        "at_once",
        not_reported,
        OPERATIONS,
        "1 promotion is reported at once from now on.",
        {"redemption_mode": "triggered"},
    ),
    Case(
        "in_batches",
        not_reported,
        OPERATIONS,
        "1 promotion is reported in batches from now on.",
        {"redemption_mode": "scheduled"},
    ),
    Case(
        "not_at_all",
        PromotionFactory,
        OPERATIONS,
        "1 promotion is not reported from now on.",
        {"redemption_mode": "off"},
    ),
    Case(
        "as_set",
        not_reported,
        OPERATIONS,
        "1 promotion is reported as the portal is set from now on.",
        {"redemption_mode": ""},
    ),
]
every_case = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{number}-{case.action}")
        for number, case in enumerate(CASES)
    ],
)


def column(row: Model, name: str) -> Any:
    return getattr(type(row)._base_manager.get(pk=row.pk), name)


def as_it_is(row: Model) -> dict[str, Any]:
    return type(row)._base_manager.filter(pk=row.pk).values().get()


@every_case
def test_a_permitted_user_performs_the_action_and_sees_the_message(
    case: Case, client_of: Callable[[Role], StaffClient]
) -> None:
    for role in case.may:
        row, staff = case.row(), client_of(role)

        said = staff.do(case.action, row)

        assert said == case.says
        assert {name: column(row, name) for name in case.after} == case.after


@every_case
def test_user_and_reason_are_stored(case: Case, operations: StaffClient) -> None:
    row: Any = case.row()

    operations.do(case.action, row)

    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operations.user, str(row.pk))
    assert WHY in entry.get_change_message()
    if hasattr(row, "transitions") and case.action != "tell":  # which moves nothing
        moves = row.transitions.filter(by=operations.user)
        assert [move.why for move in moves] == [WHY]
    assert WHY in operations.text(f"/admin/{_place(row)}/{row.pk}/history/")


@every_case
def test_a_user_without_permission_is_offered_nothing_and_a_forged_post_changes_nothing(
    case: Case, client_of: Callable[[Role], StaffClient]
) -> None:
    for role in set(Role) - case.may:
        row, staff = case.row(), client_of(role)
        before = as_it_is(row)

        offered = staff.offered(row)
        answer = staff.post(case.action, row, confirmed="yes")

        assert case.action not in offered
        assert answer.status_code == 403
        assert as_it_is(row) == before
        [entry] = LogEntry.objects.filter(user=staff.user)
        assert (entry.action_flag, entry.object_id) == (AuditKind.REFUSED, str(row.pk))


@every_case
def test_the_page_of_a_row_offers_the_action_and_is_shown_after_it(
    case: Case, operations: StaffClient
) -> None:
    row = case.row()

    offered = operations.offered(row)
    answer = operations.post(case.action, row, page=row.pk, confirmed="yes")

    assert case.action in offered
    assert answer["Location"] == f"/admin/{_place(row)}/{row.pk}/change/"
    assert {name: column(row, name) for name in case.after} == case.after


@every_case
def test_an_action_without_a_reason_changes_nothing_and_keeps_the_selection(
    case: Case, operations: StaffClient
) -> None:
    row = case.row()
    before = as_it_is(row)

    asked = operations.post(case.action, row, why="   ", confirmed="yes")

    assert asked.status_code == 200
    assert asked.context["keys"] == str(row.pk)
    page = asked.content.decode()
    assert "Say why; the reason is kept with every row." in page
    assert 'name="why"' in page
    assert as_it_is(row) == before


@pytest.mark.parametrize(
    ("action", "make"),
    [
        ("given", doubtful),
        ("release", second),
        ("not_given", doubtful),
        ("write_off", held),
        ("write_off", held_redemption),
        ("cancel", ExecutionFactory),
    ],
)
def test_a_final_action_asks_for_confirmation(
    action: str, make: Callable[[], Model], operations: StaffClient
) -> None:
    row = make()
    before = as_it_is(row)

    answer = operations.post(action, row)

    assert answer.status_code == 200
    assert as_it_is(row) == before
    page = answer.content.decode()
    assert str(row) in page
    assert WHY in page
    assert answer.context["action"].warning.replace("'", "&#x27;") in page


def test_a_confirmation_applies_to_the_rows_that_it_showed(
    operations: StaffClient,
) -> None:
    asked_about = [held(), held()]
    asked = operations.post("write_off", *asked_about)
    later = held()

    fixed = {name: asked.context[name] for name in ("keys", "seen")}
    operations.do("write_off", later, _selected_action=[], **fixed)

    assert "2 assignments" in asked.content.decode()
    assert {column(row, "state") for row in asked_about} == {AssignmentState.VOID}
    assert column(later, "state") == AssignmentState.HELD


def test_skipped_rows_are_counted_with_their_reasons(operations: StaffClient) -> None:
    rows = [held(), held(), doubtful(), AssignmentFactory(state=AssignmentState.ACTIVE)]

    said = operations.do("retry", *rows)

    assert said == (
        "2 assignments will be tried again. "
        "1 was left alone: in doubt: say first whether it was given. "
        "1 was left alone: Activated, not held."
    )


def test_many_reasons_are_summed_up(operations: StaffClient) -> None:
    rows = [
        AssignmentFactory(
            state=AssignmentState.HELD,
            reason=AssignmentReason.REFUSED,
            meaning="nothing",
            vendor_status=f"Status {number}",
        )
        for number in range(7)
    ]

    said = operations.do("retry", *rows)

    assert said.startswith("0 assignments will be tried again. 1 was left alone: ")
    assert said.endswith("2 more were left alone for other reasons.")


def test_redemptions_that_need_no_review_are_counted_as_skipped(
    operations: StaffClient,
) -> None:
    rows = [held_redemption(), RedemptionFactory(), RedemptionFactory()]

    said = operations.do("report_again", *rows)

    assert said == ("1 redemption will be reported again. 2 were left alone: not held.")


@pytest.mark.parametrize(
    ("action", "row", "says"),
    [
        (
            "read_again",
            lambda: DeliveryFactory(state=DeliveryState.UNREAD),
            "it is still to be read",
        ),
        ("release", held, 'held as Request rejected: press "Retry"'),
        (
            "retry",
            second,
            ('held as Duplicate assignment: press "Approve" if it is meant'),
        ),
        ("ask_again", TriggerFactory, "it waits to be asked for already"),
        ("pause", paused, "it is paused"),
        ("resume", ExecutionFactory, "it is running"),
        (
            "cancel",
            lambda: ExecutionFactory(stop=ExecutionStop.CANCELLED),
            "it is cancelled",
        ),
        (
            "open",
            lambda: ExecutionFactory(stop=ExecutionStop.CANCELLED),
            "it is cancelled",
        ),
        ("as_set", PromotionFactory, "it is reported like this already"),
    ],
)
def test_a_row_that_the_action_does_not_fit_is_skipped(
    action: str, row: Callable[[], Model], says: str, operations: StaffClient
) -> None:
    there = row()

    said = operations.do(action, there)

    assert f"1 was left alone: {says}." in said
    assert action not in operations.offered(there)


def test_an_action_without_rows_or_without_a_name_changes_nothing(
    operations: StaffClient,
) -> None:
    row = held()

    assert operations.do("retry", row, _selected_action=[]) == (
        "Nothing was done: choose at least one row."
    )
    assert operations.do("", row) == "Nothing was done: choose what to do."
    assert operations.do("delete_selected", row) == (
        "Nothing was done: choose what to do."
    )
    assert column(row, "state") == AssignmentState.HELD


@pytest.mark.parametrize("key", ["x", "-1", "1e3", "²", "9" * 40, "\0"])
def test_invalid_keys_select_no_row(key: str, operations: StaffClient) -> None:
    row = held()

    said = operations.do("retry", row, _selected_action=[key])

    assert said == "Nothing was done: choose at least one row."


def test_an_invalid_reason_is_rejected(operations: StaffClient) -> None:
    row = held()

    for why, problem in (
        ("\0", "Null characters are not allowed"),
        ("x" * 501, "at most 500"),
    ):
        asked = operations.post("retry", row, why=why, confirmed="yes")
        assert problem in asked.content.decode()
    assert column(row, "state") == AssignmentState.HELD


def test_all_matching_rows_of_a_list_can_be_selected(operations: StaffClient) -> None:
    matching = [held() for _ in range(3)]
    other = AssignmentFactory(
        state=AssignmentState.HELD, reason=AssignmentReason.TOO_LATE
    )

    said = operations.do(
        "retry",
        matching[0],
        select_across="1",
        at="/admin/rewards/assignment/?reason__exact=REFUSED",
    )

    assert said == "3 assignments will be tried again."
    assert column(other, "state") == AssignmentState.HELD


def test_rows_beyond_the_time_limit_are_unchanged_and_counted(
    operations: StaffClient,
) -> None:
    made = [Promotion(reference=f"{number}") for number in range(250)]
    keys = [row.pk for row in Promotion.objects.bulk_create(made)]
    action = next(
        action for action in PromotionAdmin.offered if action.name == "not_at_all"
    )
    hasty = replace(action, seconds=0)

    done = hasty.perform(
        Promotion,
        keys,
        by=operations.user,
        why=WHY,
        address="192.0.2.1",
        seen=row_versions.versions(made),
    )

    assert hasty.tell(done, Promotion) == (
        "100 promotions are not reported from now on. "
        "150 were not reached in time; do it again for them."
    )
    off = Promotion.objects.filter(redemption_mode="off")
    assert [row.pk for row in off.order_by("pk")] == keys[:100]
    assert LogEntry.objects.count() == 100


def test_an_action_reads_its_row_once_per_step(operations: StaffClient) -> None:
    row = held()
    seen = operations.get(page_of(row)).context["seen"]

    with CaptureQueriesContext(connection) as made:
        operations.post("retry", row, seen=seen, page=row.pk)

    table = f' FROM "{Assignment._meta.db_table}" '
    reads = [
        one["sql"]
        for one in made
        if one["sql"].startswith("SELECT") and table in one["sql"]
    ]
    # Reads: its key, with its version, with its execution, with a lock (the audit entry
    # uses the locked row), and for the page after the action.
    assert len(reads) == 5, reads


def test_an_anonymous_post_redirects_to_the_login(operations: StaffClient) -> None:
    row = held()
    operations.client.logout()

    answer = operations.post("retry", row)

    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")
    assert column(row, "state") == AssignmentState.HELD


def _place(row: Model) -> str:
    return f"{row._meta.app_label}/{row._meta.model_name}"


@pytest.mark.parametrize("action", ["given", "not_given"])
def test_a_costly_reward_needs_two_users(
    action: str, client_of: Callable[[Role], StaffClient], settings: Settings
) -> None:
    settings.DECIDE_ALONE_UP_TO = ["EUR=1"]
    row, operations = doubtful(), client_of(Role.OPERATIONS)
    Assignment.objects.update(value=50, unit="EUR")
    colleague = StaffClient(UserFactory(is_staff=True))
    colleague.user.groups.add(group_of(Role.OPERATIONS))

    said = operations.do(action, row)
    assert "takes a second person" in said
    assert WHY in operations.page(row)
    assert "Doubtful assignment waits for a second person" in operations.text("/admin/")
    client_of(Role.SUPPORT).post(action, row, confirmed="yes")
    row.refresh_from_db()
    assert row.state == AssignmentState.HELD
    colleague.do(action, row)

    row.refresh_from_db()
    assert row.state in {AssignmentState.ACTIVE, AssignmentState.OWED}
    assert "for a second person" not in operations.text("/admin/")
