"""Every page can be used by everyone: read aloud, in the dark, and on a phone."""

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
from tests.browser.conftest import SitDown
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


def of_every_state(execution: Execution, customer: str = "C1") -> None:
    for state in AssignmentState:
        reason = AssignmentReason.REFUSED if state == AssignmentState.HELD else ""
        AssignmentFactory(
            execution=execution, customer=customer, state=state, reason=reason
        )


def barriers(screen: Screen, *addresses: str, status: int = 200) -> list[str]:
    """What is wrong with these pages."""
    found = []
    for address in addresses:
        screen.open(address, status=status)
        found += [f"{address}: {each}" for each in screen.barriers()]
    return found


@pytest.mark.parametrize("model", MADE, ids=lambda model: model.__name__)
def test_every_list_and_page(model: type[Model], sit_down: SitDown) -> None:
    row = MADE[model]()

    assert not barriers(sit_down(superuser()), *addresses(row))


PLACES: dict[str, Callable[[Execution], str]] = {
    "overview": lambda _: "/admin/",
    "nobody": lambda _: "/admin/customers/?q=nobody",
    "customer": lambda _: customer("C1"),
    "execution": page_of,
    "executions": lambda _: list_of(Execution),
    "assignments": lambda _: list_of(Assignment),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_staff_look_at_all_day(place: str, sit_down: SitDown) -> None:
    execution = ExecutionFactory(state=ExecutionProgress.ACTIVATING)
    of_every_state(execution)
    DeliveryFactory(execution=execution, state=DeliveryState.HELD)
    screen = sit_down(Role.OPERATIONS)
    screen.open(PLACES[place](execution))
    found = screen.barriers()

    screen.page.set_viewport_size(PHONE)

    assert not found + screen.barriers()
    assert not screen.is_too_wide()


@pytest.mark.parametrize("model", [Execution, Assignment, Redemption])
def test_a_row_fits_the_screen_of_a_desk(model: type[Model], sit_down: SitDown) -> None:
    campaign = CampaignFactory(name="Welcome back after the summer")
    execution = ExecutionFactory(reference="ex-2026-11-28-0001", campaign=campaign)
    of_every_state(execution, customer="customer-100200300")
    for state in RedemptionState:
        RedemptionFactory(assignment__execution=execution, state=state)
    screen = sit_down(Role.OPERATIONS)

    screen.open(list_of(model))

    assert not screen.is_too_wide(of="#changelist-form .results")


@pytest.mark.parametrize("scripts", [True, False])
def test_the_filters_lie_open_on_a_desk_and_are_folded_on_a_phone(
    sit_down: SitDown, *, scripts: bool
) -> None:
    of_every_state(ExecutionFactory())
    screen = sit_down(Role.OPERATIONS, java_script_enabled=scripts)
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


def test_on_a_phone_a_row_is_a_card_on_the_first_screen(sit_down: SitDown) -> None:
    of_every_state(ExecutionFactory())
    screen = sit_down(Role.OPERATIONS, viewport=PHONE)
    screen.open(list_of(Assignment))
    card = screen.page.locator("#result_list tbody tr").first
    whose, state = card.locator("th"), card.locator(".field-state_and_since .state")

    places = [each.bounding_box() for each in (card, whose, state)]

    top, left, right = (place or {"x": 0, "y": PHONE["height"]} for place in places)
    assert top["y"] < PHONE["height"]
    assert left["x"] < right["x"]
    assert abs(left["y"] - right["y"]) < 9
    expect(card.locator("[data-column=Execution]")).to_be_visible()
    assert not screen.is_too_wide()


def test_what_opens_on_a_page(sit_down: SitDown) -> None:
    of_every_state(ExecutionFactory())
    screen = sit_down(Role.SUPPORT)
    screen.open(customer("C1"))
    screen.unfold("Settings and more")
    screen.unfold("Evidence")
    found = screen.barriers()
    screen.open(list_of(Assignment))
    screen.unfold("State")

    assert not found + screen.barriers()


def test_what_is_asked_before_an_action(sit_down: SitDown) -> None:
    execution = ExecutionFactory()
    of_every_state(execution)
    screen = sit_down(Role.OPERATIONS)
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


def test_the_way_in(sit_down: SitDown) -> None:
    screen = sit_down(None)
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
def test_where_there_is_nothing_to_see(
    sit_down: SitDown, address: str, status: int
) -> None:
    screen = sit_down(Role.CRM)

    assert not barriers(screen, address, status=status)
    assert screen.page.get_by_role("link", name="Overview").count() >= 1


def test_what_the_policy_forbids_is_noticed(sit_down: SitDown) -> None:
    screen = sit_down(Role.CRM)
    screen.open("/admin/")

    screen.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'ran = true'}))"
    )

    assert screen.page.evaluate("window.ran") is None
    screen.forgive("Content Security Policy")
    assert [said[:19] for said in screen.complaints] == ["Against the policy:"]
    screen.forgive("Against the policy:")
