"""Requests that are late, repeated, or from outdated pages."""

from __future__ import annotations

from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from playwright.sync_api import expect

from executions.models import Execution, ExecutionProgress, ExecutionStop
from promoportal.admin.links import list_of, page_of
from promoportal.admin.roles import Role, create_staff
from promoportal.dashboard.customers import page_of as customer
from rewards.models import Assignment, AssignmentReason, AssignmentState, Retrial
from tests.browser.conftest import OpenScreen
from tests.factories import AssignmentFactory, ExecutionFactory


def held(customer: str = "C1", execution: Execution | None = None) -> Assignment:
    more = {"execution": execution} if execution else {}
    return AssignmentFactory(
        customer=customer,
        state=AssignmentState.HELD,
        reason=AssignmentReason.REFUSED,
        **more,
    )


def test_an_action_after_the_session_ended_is_confirmed_after_the_login(
    open_screen: OpenScreen,
) -> None:
    row, user = held(), create_staff("sam", Role.SUPPORT, "secret")
    screen = open_screen(user)
    screen.open(page_of(row))
    screen.write("Why", "The account is open again.")
    Session.objects.all().delete()

    screen.press("Retry")
    screen.write("Username:", "sam")
    screen.write("Password:", "secret")
    screen.press("Log in")
    screen.sees("The account is open again.")
    assert not row.transitions.exists()
    screen.press("Yes, retry")

    screen.sees("1 assignment will be tried again.")
    assert [move.why for move in row.transitions.all()] == [
        "The account is open again."
    ]


def test_an_action_on_a_page_from_before_the_login_is_explained(
    open_screen: OpenScreen,
) -> None:
    row = held()
    screen = open_screen(Role.SUPPORT)
    screen.open(customer("C1"))
    screen.context.clear_cookies(name="csrftoken")

    screen.press("Retry")

    screen.sees("Go back, load that page anew")
    screen.forgive("status of 403")
    row.refresh_from_db()
    assert row.state == AssignmentState.HELD


def test_a_double_click_performs_an_action_once(open_screen: OpenScreen) -> None:
    row = held()
    screen = open_screen(Role.SUPPORT)
    screen.open(customer("C1"))

    screen.page.get_by_role("button", name="Retry").dblclick()

    screen.sees("1 assignment will be tried again.")
    assert row.transitions.count() == 1
    assert LogEntry.objects.count() == 1


def test_a_double_click_begins_one_bulk_retry(open_screen: OpenScreen) -> None:
    held()
    screen = open_screen(Role.SUPPORT)
    screen.open(list_of(Assignment))
    screen.press("Retry all matching …")
    screen.write("Why", "Mended.")

    screen.page.get_by_role("button", name="Try them again").dblclick()

    screen.sees("0 of 1")
    assert Retrial.objects.count() == 1


def test_a_row_that_changed_since_the_page_was_opened_is_skipped(
    open_screen: OpenScreen,
) -> None:
    row = held()
    first, second = open_screen(Role.SUPPORT), open_screen(Role.OPERATIONS)
    for screen in (first, second):
        screen.open(page_of(row))
        screen.write("Why", "Mended.")

    first.press("Retry")
    first.sees("1 assignment will be tried again.")
    second.press("Retry")

    second.sees("moved on while you looked")
    assert row.transitions.count() == 1


def test_the_page_of_an_execution_shows_when_it_is_processed(
    open_screen: OpenScreen,
) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING)
    AssignmentFactory(execution=execution, state=AssignmentState.ACTIVE)
    screen = open_screen(Role.CRM)
    screen.open(page_of(execution))
    screen.sees("Activating and reporting")

    Execution.objects.update(state=ExecutionProgress.SETTLED)

    screen.sees("Processed")
    expect(screen.page.locator("[hx-get]")).to_have_count(0)
    screen.sees("From Optimove's list to the report")


def test_the_overview_is_refreshed(open_screen: OpenScreen) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING)
    screen = open_screen(Role.CRM)
    screen.page.clock.install()
    screen.open("/admin/")
    screen.sees("Nothing needs a person.")

    Execution.objects.update(stop=ExecutionStop.HELD, reason="OVER_LIMIT")
    screen.page.clock.run_for(10_000)

    screen.sees("1 Execution is held")
    assert execution.reference in screen.page.locator("#live").inner_text()


def test_a_refresh_after_the_session_ended_shows_the_login(
    open_screen: OpenScreen,
) -> None:
    screen = open_screen(Role.CRM)
    screen.page.clock.install()
    screen.open("/admin/")

    Session.objects.all().delete()
    screen.page.clock.run_for(10_000)

    expect(screen.page.get_by_label("Username:")).to_be_visible()
