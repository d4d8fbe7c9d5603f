"""Accessibility of every page: screen readers, dark mode and phones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import Model
from playwright.sync_api import expect

from executions.models import DeliveryState, Execution, ExecutionProgress
from promoportal.admin.links import list_of, page_of
from promoportal.admin.roles import Role
from promoportal.dashboard.customers import page_of as customer
from redemptions.models import Redemption, RedemptionState
from rewards.models import Assignment, AssignmentReason, AssignmentState
from tests.browser.conftest import OpenScreen
from tests.browser.screen import PHONE, Screen
from tests.factories import (
    AssignmentFactory,
    CampaignFactory,
    DeliveryFactory,
    ExecutionFactory,
    RedemptionFactory,
    UserFactory,
)
from tests.promoportal.admin.test_every_page import MAKE, addresses

MADE: dict[type[Model], Callable[..., Any]] = {
    **MAKE,
    User: UserFactory,
    Group: lambda: Group.objects.get(name=Role.CRM),
}


def superuser() -> User:
    return UserFactory(username="root", is_staff=True, is_superuser=True)


def create_assignments_in_every_state(
    execution: Execution, customer: str = "C1"
) -> None:
    for state in AssignmentState:
        reason = AssignmentReason.REFUSED if state == AssignmentState.HELD else ""
        AssignmentFactory(
            execution=execution, customer=customer, state=state, reason=reason
        )


def barriers(screen: Screen, *addresses: str, status: int = 200) -> list[str]:
    """Return the accessibility problems of these pages."""
    found = []
    for address in addresses:
        screen.open(address, status=status)
        found += [f"{address}: {each}" for each in screen.barriers()]
    return found


@pytest.mark.parametrize("model", MADE, ids=lambda model: model.__name__)
def test_every_list_and_page_is_accessible(
    model: type[Model], open_screen: OpenScreen
) -> None:
    row = MADE[model]()

    assert not barriers(open_screen(superuser()), *addresses(row))


PLACES: dict[str, Callable[[Execution], str]] = {
    "overview": lambda _: "/admin/",
    "nobody": lambda _: "/admin/customers/?q=nobody",
    "customer": lambda _: customer("C1"),
    "execution": page_of,
    "executions": lambda _: list_of(Execution),
    "assignments": lambda _: list_of(Assignment),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_main_pages_are_accessible_on_desktop_and_phone(
    place: str, open_screen: OpenScreen
) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING)
    create_assignments_in_every_state(execution)
    DeliveryFactory(execution=execution, state=DeliveryState.HELD)
    screen = open_screen(Role.OPERATIONS)
    screen.open(PLACES[place](execution))
    found = screen.barriers()

    screen.page.set_viewport_size(PHONE)

    assert not found + screen.barriers()
    assert not screen.is_too_wide()


@pytest.mark.parametrize("model", [Execution, Assignment, Redemption])
def test_a_row_fits_the_width_of_a_desktop(
    model: type[Model], open_screen: OpenScreen
) -> None:
    campaign = CampaignFactory(name="Welcome back after the summer")
    execution = ExecutionFactory(reference="ex-2026-11-28-0001", campaign=campaign)
    create_assignments_in_every_state(execution, customer="customer-100200300")
    for state in RedemptionState:
        RedemptionFactory(assignment__execution=execution, state=state)
    screen = open_screen(Role.OPERATIONS)

    screen.open(list_of(model))

    assert not screen.is_too_wide(of="#changelist-form .results")


@pytest.mark.parametrize("scripts", [True, False])
def test_the_filters_are_open_on_a_desktop_and_collapsed_on_a_phone(
    open_screen: OpenScreen, *, scripts: bool
) -> None:
    create_assignments_in_every_state(ExecutionFactory())
    screen = open_screen(Role.OPERATIONS, java_script_enabled=scripts)
    screen.open(list_of(Assignment, state__exact=AssignmentState.HELD))
    chip = screen.page.locator(".chip summary", has_text="State")
    fold = screen.page.locator(".filters > summary")
    expect(chip).to_be_visible()
    expect(fold).to_be_hidden()

    screen.page.set_viewport_size(PHONE)

    expect(chip).to_be_hidden()
    expect(fold).to_contain_text("Filter (1) State: Needs review")
    fold.focus()
    screen.keys("Enter")
    expect(chip).to_be_visible()


def test_on_a_phone_the_first_row_is_a_visible_card(open_screen: OpenScreen) -> None:
    create_assignments_in_every_state(ExecutionFactory())
    screen = open_screen(Role.OPERATIONS, viewport=PHONE)
    screen.open(list_of(Assignment))
    card = screen.page.locator("#result_list tbody tr").first
    customer_cell, state = (
        card.locator("th"),
        card.locator(".field-state_and_since .state"),
    )

    places = [each.bounding_box() for each in (card, customer_cell, state)]

    top, left, right = (place or {"x": 0, "y": PHONE["height"]} for place in places)
    assert top["y"] < PHONE["height"]
    assert left["x"] < right["x"]
    assert abs(left["y"] - right["y"]) < 9
    expect(card.locator("[data-column=Execution]")).to_be_visible()
    assert not screen.is_too_wide()


def test_opened_sections_are_accessible(open_screen: OpenScreen) -> None:
    create_assignments_in_every_state(ExecutionFactory())
    screen = open_screen(Role.SUPPORT)
    screen.open(customer("C1"))
    screen.unfold("Settings and more")
    screen.unfold("Evidence")
    found = screen.barriers()
    screen.open(list_of(Assignment))
    screen.unfold("State")

    assert not found + screen.barriers()


def test_confirmation_pages_are_accessible(open_screen: OpenScreen) -> None:
    execution = ExecutionFactory()
    create_assignments_in_every_state(execution)
    screen = open_screen(Role.OPERATIONS)
    screen.open(page_of(execution))
    screen.write("Why", "Not meant.")
    screen.press("Cancel execution …")
    found = screen.barriers()
    screen.open(list_of(Assignment))
    screen.press("Retry all matching …")
    found += screen.barriers()
    screen.write("Why", " ")
    screen.press("Try them again")
    screen.sees("Say why")

    assert not found + screen.barriers()


def test_the_login_is_accessible(open_screen: OpenScreen) -> None:
    screen = open_screen(None)
    found = barriers(screen, "/admin/login/")
    screen.write("Username:", "nobody")
    screen.write("Password:", "wrong")
    screen.press("Log in")

    assert not found + screen.barriers()


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/admin/nothing/", 404),
        ("/nothing", 404),
        (customer("nobody"), 404),
        ("/admin/auth/user/", 403),
    ],
)
def test_error_pages_are_accessible(
    open_screen: OpenScreen, address: str, status: int
) -> None:
    screen = open_screen(Role.CRM)

    assert not barriers(screen, address, status=status)
    assert screen.page.get_by_role("link", name="Overview").count() >= 1


def test_a_violation_of_the_content_security_policy_is_detected(
    open_screen: OpenScreen,
) -> None:
    screen = open_screen(Role.CRM)
    screen.open("/admin/")

    screen.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'ran = true'}))"
    )

    assert screen.page.evaluate("window.ran") is None
    screen.forgive("Content Security Policy")
    assert [said[:19] for said in screen.complaints] == ["Against the policy:"]
    screen.forgive("Against the policy:")
