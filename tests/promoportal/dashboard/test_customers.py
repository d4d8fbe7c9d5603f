"""The customer pages: search, assignments, next steps and actions."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.utils import timezone

from executions.models import ExecutionStop, TriggerState
from promoportal.admin import links
from promoportal.dashboard import customers, next_step_panel
from promoportal.dashboard.customers import (
    MAX_ASSIGNMENTS_SHOWN,
    MAX_CUSTOMERS_FOUND,
    page_of,
)
from promoportal.operations import next_step
from promoportal.optimove import Meaning
from redemptions.models import RedemptionState
from rewards.admin.assignments import UNANSWERED_FOR
from rewards.models import Assignment, AssignmentReason, AssignmentState
from tests.factories import (
    AssignmentFactory,
    ExecutionFactory,
    RedemptionFactory,
    TriggerFactory,
    UserFactory,
)
from tests.staff_client import StaffClient

SEARCH = "/admin/customers/"


def held(customer: str = "C1") -> Assignment:
    return AssignmentFactory(
        customer=customer,
        state=AssignmentState.HELD,
        reason=AssignmentReason.REFUSED,
        problem="Closed.",
    )


def find(staff: StaffClient, term: str) -> str:
    """Return the target of a search, or the text of its page."""
    answer = staff.client.get(SEARCH, {"q": term})
    return (
        answer["Location"]
        if answer.status_code == 302
        else staff.text(f"{SEARCH}?q={quote(term)}")
    )


# --- Search -----------------------------------------------------------------------------


def test_a_full_id_redirects_to_the_customer(crm: StaffClient) -> None:
    for name in ("C1", "C10", "C11"):
        AssignmentFactory(customer=name)

    assert find(crm, " C1 ") == page_of("C1")


def test_a_prefix_shows_all_matching_customers(crm: StaffClient) -> None:
    for name in ("C20", "C21", "C21", "D1"):
        AssignmentFactory(customer=name)

    shown = find(crm, "C2")

    assert shown.count(page_of("C21")) == shown.count(page_of("C20")) == 1
    assert page_of("D1") not in shown


def test_a_prefix_with_one_match_redirects_to_the_customer(crm: StaffClient) -> None:
    AssignmentFactory(customer="C30")

    assert find(crm, "C3") == page_of("C30")


def test_of_many_matches_the_first_are_shown_with_a_hint(crm: StaffClient) -> None:
    for number in range(MAX_CUSTOMERS_FOUND + 1):
        AssignmentFactory(customer=f"C{number:03}")

    assert f"These are the first {MAX_CUSTOMERS_FOUND}" in find(crm, "C")


@pytest.mark.parametrize("term", ["nobody", "%", "C_", "\0"])
def test_a_customer_without_assignments_is_not_found(
    crm: StaffClient, term: str
) -> None:
    AssignmentFactory(customer="C1")

    shown = find(crm, term)

    assert "No customer's id is or begins with" in shown or term == "\0"
    assert page_of("C1") not in shown


def test_the_page_of_an_unknown_customer_says_so(crm: StaffClient) -> None:
    answer = crm.get(page_of("nobody"))

    assert answer.status_code == 404
    assert "No customer's id is or begins with" in answer.content.decode()


def test_a_triggered_customer_without_assignments_is_explained(
    crm: StaffClient,
) -> None:
    trigger = TriggerFactory(
        customer="T1", state=TriggerState.HELD, problem="Optimove does not list them."
    )

    answer = crm.get(page_of("T1"))

    assert answer.status_code == 404
    said = answer.content.decode()
    assert "Optimove announced this customer, and lists nothing for them" in said
    assert f'<a href="{links.page_of(trigger)}">Needs review</a>' in said
    assert "Optimove does not list them." in said


@pytest.mark.parametrize(
    "name",
    [
        *("a/b", "ä ö", "<b>x</b>", "a?b#c", "older"),
        *(".", "..", "a/../b", "a_2Fb", "a\nb"),
    ],
)
def test_an_id_may_contain_any_characters(crm: StaffClient, name: str) -> None:
    AssignmentFactory(customer=name)

    assert find(crm, name) == page_of(name)
    assert f"Customer {name}" in crm.text(page_of(name))
    assert "<b>x</b>" not in crm.get(page_of(name)).content.decode()


def test_every_search_uses_an_index(crm: StaffClient) -> None:
    for number in range(30):
        AssignmentFactory(customer=f"C{number}")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE rewards_assignment")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    for rows in (
        Assignment.objects.filter(customer__startswith="C1")
        .order_by("customer")
        .values_list("customer", flat=True)
        .distinct()[:51],
        customers._in_review("C1")[:50],
        customers._others("C1", [Assignment(pk=7)], 10**15)[:51],
    ):
        plan = rows.explain()
        assert re.search("assignment_(by|of)_customer", plan), plan
        assert "Seq Scan on rewards_assignment" not in plan
        assert "Sort" not in plan


# --- Assignments ------------------------------------------------------------------------


def test_assignments_are_shown_newest_first_with_pages(crm: StaffClient) -> None:
    rows = [AssignmentFactory(customer="C1") for _ in range(MAX_ASSIGNMENTS_SHOWN + 1)]
    AssignmentFactory(customer="C2")

    first = crm.get(page_of("C1")).context
    rest = crm.get(f"{page_of('C1')}?older={first['older']}").context

    shown = [one.row.pk for one in [*first["rewards"], *rest["rewards"]]]
    assert shown == [row.pk for row in reversed(rows)]
    assert rest["older"] == ""


def without_reward(customer: str = "C1") -> Assignment:
    return AssignmentFactory(
        customer=customer,
        state=AssignmentState.VOID,
        reason=AssignmentReason.NOT_ASSIGNED,
        meaning=Meaning.NOTHING,
    )


def late(customer: str = "C1") -> Assignment:
    """Create an assignment that has had no response for too long."""
    long_ago = timezone.now() - timedelta(seconds=2 * UNANSWERED_FOR)
    return AssignmentFactory(
        customer=customer, state=AssignmentState.UNCERTAIN, state_since=long_ago
    )


def keys(rewards: list[Any]) -> list[int]:
    return [one.row.pk for one in rewards]


def test_assignments_in_review_come_first_and_those_without_a_reward_are_collapsed(
    crm: StaffClient,
) -> None:
    in_review = [held(), late()]
    others = [
        AssignmentFactory(customer="C1", state=state)
        for state in (
            AssignmentState.UNCERTAIN,
            AssignmentState.ACTIVE,
            AssignmentState.OWED,
        )
    ]
    # Written off by staff: its eligibility is unchanged.
    others.append(AssignmentFactory(customer="C1", state=AssignmentState.VOID))
    folded = [without_reward(), without_reward()]
    others.append(AssignmentFactory(customer="C1", state=AssignmentState.ACTIVE))

    shown = crm.get(page_of("C1")).context

    newest = [*reversed(in_review), *reversed(others)]
    assert keys(shown["rewards"]) == [row.pk for row in newest]
    assert keys(shown["nothing"]) == [row.pk for row in reversed(folded)]
    assert "2 more, with nothing to give" in crm.text(page_of("C1"))


@pytest.mark.parametrize("reason", ["NOT_ASSIGNED", "CANCELLED"])
def test_a_reward_that_may_be_activated_is_not_called_nothing(
    crm: StaffClient, reason: str
) -> None:
    """After a restored backup, it may have been assigned and activated since then."""
    row = AssignmentFactory(
        customer="C1",
        state=AssignmentState.VOID,
        meaning=Meaning.NOTHING,
        reason=reason,
        doubtful=True,
    )

    step = next_step.of(row)
    shown = crm.get(page_of("C1")).context
    row_in_list = crm.text(links.list_of(Assignment))

    assert step.activation_status == next_step.ActivationStatus.UNKNOWN
    assert step.needs_staff
    assert step.sentence.startswith("Somebody looks in the platform's books")
    assert (keys(shown["rewards"]), shown["nothing"]) == ([row.pk], [])
    assert "Somebody looks in the platform" in row_in_list


def test_a_customer_without_any_reward_sees_the_section_open(crm: StaffClient) -> None:
    without_reward()

    shown = crm.text(page_of("C1"))

    assert '<details class="nothing-to-give" open>' in shown
    assert "1, with nothing to give" in shown


def page_after_page(
    staff: StaffClient, between: Callable[[], object]
) -> list[list[int]]:
    """Return the keys on each page; `between` is called after each page."""
    pages: list[list[int]] = []
    older = "first"
    while older and len(pages) < 9:  # ends also if a page repeats itself
        context = staff.get(f"{page_of('C1')}?older={older}").context
        pages.append(keys(context["rewards"]) + keys(context["nothing"]))
        older = context["older"]
        between()
    return pages


def test_all_pages_together_have_every_assignment(crm: StaffClient) -> None:
    made = [make() for _ in range(10) for make in (held, late)]
    made += [
        AssignmentFactory(customer="C1", state=AssignmentState.ACTIVE)
        for _ in range(45)
    ]
    made += [without_reward() for _ in range(50)]

    first, second, *rest = page_after_page(crm, lambda: None)

    assert {*first[:20]} == {row.pk for row in made[:20]}
    assert [*first[20:], *second] == [
        row.pk for row in [*made[:64:-1], *made[64:14:-1]]
    ]
    assert {*first, *second, *(key for page in rest for key in page)} == {
        row.pk for row in made
    }


def test_assignments_that_begin_to_need_review_between_pages_are_shown(
    crm: StaffClient,
) -> None:
    made = [
        AssignmentFactory(customer="C1", state=AssignmentState.OWED) for _ in range(101)
    ]
    rows = Assignment.objects.filter(pk__in=[row.pk for row in made])

    pages = page_after_page(crm, lambda: rows.update(state=AssignmentState.HELD))

    assert {key for page in pages for key in page} == {row.pk for row in made}


@pytest.mark.parametrize("older", ["-1", "1-2", "x", "9" * 30, "٣"])
def test_an_invalid_position_shows_the_first_page(crm: StaffClient, older: str) -> None:
    row = held()

    shown = crm.get(f"{page_of('C1')}?older={older}").context["rewards"]

    assert keys(shown) == [row.pk]


def test_a_code_is_masked_but_recognizable(
    crm: StaffClient,
) -> None:
    AssignmentFactory(customer="C1", unique_code="SUMMER-2026-7F3A", reward=None)
    AssignmentFactory(customer="C1", unique_code="SHORT", reward=None)

    shown = crm.text(page_of("C1"))

    assert "code ••••7F3A" in shown
    assert "SUMMER" not in shown
    assert "SHORT" not in shown


def test_a_permitted_user_can_show_a_code_for_a_reason(
    support: StaffClient, crm: StaffClient
) -> None:
    row, other = (
        AssignmentFactory(customer="C1", unique_code=code, reward=None)
        for code in ("SUMMER-2026-7F3A", "WINTER-2026-9B1C")
    )
    assert "Show the code" in support.text(page_of("C1"))

    said = support.do("reveal", row, why="A dispute.", back=page_of("C1"))

    assert said == "1 assignment shows its code and payloads."
    shown = support.text(page_of("C1"))
    assert "code SUMMER-2026-7F3A" in shown
    assert other.unique_code not in shown
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (support.user, str(row.pk))
    assert entry.change_message == "Show sensitive data: A dispute."
    assert "SUMMER" not in crm.text(page_of("C1"))


def test_a_user_without_permission_cannot_show_a_code(
    crm: StaffClient,
) -> None:
    row = AssignmentFactory(customer="C1", unique_code="SUMMER-2026-7F3A", reward=None)

    assert "Show the code" not in crm.text(page_of("C1"))
    assert crm.post("reveal", row, back=page_of("C1")).status_code == 403
    assert "SUMMER" not in crm.text(page_of("C1"))


def test_without_a_code_the_page_offers_none(support: StaffClient) -> None:
    AssignmentFactory(customer="C1")

    assert "Show the code" not in support.text(page_of("C1"))


def test_the_evidence_for_a_dispute_is_plain_text(crm: StaffClient) -> None:
    row = AssignmentFactory(customer="C1", state=AssignmentState.ACTIVE, receipt="R-77")
    redemption = RedemptionFactory(assignment=row, state=RedemptionState.REPORTED)

    shown = crm.text(page_of("C1"))

    for said in (
        "Customer: C1",
        f"Key: {row.key}",
        "Receipt: R-77",
        f"Reference of the report: {redemption.reference}",
    ):
        assert said in shown


# --- Next steps -------------------------------------------------------------------------


@pytest.mark.parametrize("state", AssignmentState)
@pytest.mark.parametrize("reason", ["", *AssignmentReason])
@pytest.mark.parametrize("doubtful", [False, True])
def test_every_reward_has_a_next_step(
    state: AssignmentState, reason: str, doubtful: bool
) -> None:
    execution = ExecutionFactory.build(stop=ExecutionStop.NONE)
    row = Assignment(
        execution=execution, state=state, reason=reason, doubtful=doubtful, cleared=True
    )

    said = next_step.of(row)

    assert said.sentence.endswith(".")
    is_void_in_doubt = doubtful and state == AssignmentState.VOID
    is_held = state == AssignmentState.HELD
    assert said.needs_staff == (is_held or is_void_in_doubt)


@pytest.mark.parametrize("reason", AssignmentReason)
def test_an_assignment_without_a_reward_has_no_next_step_in_lists(
    db: None, reason: AssignmentReason
) -> None:
    void = AssignmentFactory(state=AssignmentState.VOID, reason=reason)
    held = AssignmentFactory(state=AssignmentState.HELD, reason=reason)

    assert next_step_panel.happens_next(void) == ""
    assert next_step_panel.happens_next(held) != ""


@pytest.mark.parametrize("state", RedemptionState)
def test_the_next_step_of_an_activated_reward_is_its_report(
    db: None, state: RedemptionState
) -> None:
    row = AssignmentFactory(state=AssignmentState.ACTIVE)
    RedemptionFactory(assignment=row, state=state)

    said = next_step.of(Assignment.objects.get())

    assert said.sentence.startswith("The customer has it. Optimove")
    assert (said.at is not None) == (
        state in {RedemptionState.WAITING, RedemptionState.UNCERTAIN}
    )


def test_the_time_of_the_next_attempt_is_shown_with_seconds(crm: StaffClient) -> None:
    at = timezone.now() + timedelta(minutes=5)
    AssignmentFactory(
        customer="C1",
        state=AssignmentState.OWED,
        failures=2,
        not_before=at,
        cleared=True,
    )

    shown = crm.text(page_of("C1"))

    assert "The platform was not available; it is tried again." in shown
    assert f"{at:%H:%M:%S}" in shown


def test_the_next_step_in_a_paused_execution_is_to_resume_it(
    crm: StaffClient,
) -> None:
    paused = ExecutionFactory(stop=ExecutionStop.PAUSED)
    AssignmentFactory(
        customer="C1", state=AssignmentState.OWED, execution=paused, cleared=True
    )

    assert "Its execution is stopped" in crm.text(page_of("C1"))


# --- Actions ----------------------------------------------------------------------------


def test_support_can_retry_on_the_customer_page(
    support: StaffClient,
) -> None:
    row = held()
    assert "Retry" in support.text(page_of("C1"))

    answer = support.post(
        "retry", row, why="Tried again on the customer's page.", back=page_of("C1")
    )

    assert answer["Location"] == page_of("C1")
    assert support.said(page_of("C1")) == "1 assignment will be tried again."
    row.refresh_from_db()
    assert row.state == AssignmentState.OWED
    assert row.transitions.get().why == "Tried again on the customer's page."


def test_a_double_click_retries_once(support: StaffClient) -> None:
    row = held()
    [owed] = support.get(page_of("C1")).context["rewards"]

    said = [
        support.do("retry", row, seen=owed.seen, back=page_of("C1")) for _ in range(2)
    ]

    assert said == [
        "1 assignment will be tried again.",
        (
            "Nothing was done: the assignment moved on while you looked, and is now: "
            "Pending."
        ),
    ]
    assert row.transitions.count() == 1


def test_a_user_without_permission_is_offered_no_retry_and_a_forged_post_changes_nothing(
    crm: StaffClient,
) -> None:
    row = held()

    assert "Retry" not in crm.text(page_of("C1"))
    assert crm.post("retry", row, back=page_of("C1")).status_code == 403

    row.refresh_from_db()
    assert row.state == AssignmentState.HELD


@pytest.mark.parametrize(
    "away", ["https://evil.example.com/", "//evil.example.com/", "\\\\evil", "evil"]
)
def test_a_redirect_to_another_site_is_ignored(support: StaffClient, away: str) -> None:
    answer = support.post("retry", held(), back=away)

    assert answer["Location"].startswith("/admin/rewards/assignment/")


@pytest.mark.parametrize("address", [SEARCH, page_of("C1")])
def test_anonymous_requests_redirect_to_the_login(db: None, address: str) -> None:
    answer = Client().get(address)

    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_staff_without_a_role_see_no_customer(db: None) -> None:
    nobody = StaffClient(UserFactory(is_staff=True))

    assert nobody.get(SEARCH).status_code == 403
    assert "Customers" not in nobody.text("/admin/")


def test_the_navigation_marks_the_present_page(crm: StaffClient) -> None:
    tasks = crm.get(SEARCH).context["navigation"]

    assert [task.label for task in tasks.first] == [
        *("Overview", "Executions", "Customers", "Assignments", "Redemptions"),
        "Deliveries",
    ]
    assert [task.label for task in tasks.first if task.is_current] == ["Customers"]
    assert not tasks.is_more_open
    assert crm.get("/admin/rewards/promotion/").context["navigation"].is_more_open
