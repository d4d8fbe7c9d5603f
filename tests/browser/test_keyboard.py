"""Use of all pages by keyboard, with a visible focus."""

from __future__ import annotations

from playwright.sync_api import expect

from executions.models import Execution, ExecutionStop
from promoportal.admin.links import list_of, page_of
from promoportal.admin.roles import Role
from rewards.models import Assignment, AssignmentReason, AssignmentState
from tests.browser.conftest import OpenScreen
from tests.browser.screen import Screen
from tests.factories import AssignmentFactory, ExecutionFactory

# The outline of the focused element, from the browser or the stylesheet.
_RING = "getComputedStyle(document.activeElement).outlineStyle"
# More than the focusable elements of any page.
MAX_PLACES = 200


def walk(screen: Screen) -> list[str]:
    """Return the names of all elements that Tab reaches; each has a visible focus."""
    places: list[str] = []
    for _ in range(MAX_PLACES):
        screen.keys("Tab")
        if screen.page.evaluate("document.activeElement === document.body"):
            return places
        places.append(screen.focused())
        assert screen.page.evaluate(_RING) != "none", places
    raise AssertionError("The way never ends.")


def tab_to(screen: Screen, name: str) -> None:
    for _ in range(MAX_PLACES):
        screen.keys("Tab")
        if screen.focused() == name:
            return
    raise AssertionError(f"No way leads to {name}.")


def in_order(places: list[str], *names: str) -> bool:
    """Return whether the places include these names in this order."""
    rest = iter(places)
    return all(name in rest for name in names)


def test_tab_moves_through_a_list_in_reading_order(open_screen: OpenScreen) -> None:
    row = AssignmentFactory(state=AssignmentState.HELD, reason=AssignmentReason.REFUSED)
    screen = open_screen(Role.OPERATIONS)
    screen.open(list_of(Assignment))

    places = walk(screen)

    assert in_order(
        places,
        *("Skip to main content", "Overview", "Assignments", "Settings and more"),
        *("Do this", "Why", "Go"),
        row.customer,
        row.execution.reference,
    ), places
    assert {"Find", "State ▾".removesuffix(" ▾"), "Retry all matching …"} <= {
        *places
    }, places


def test_the_skip_link_skips_the_navigation(open_screen: OpenScreen) -> None:
    screen = open_screen(Role.CRM)
    screen.open("/admin/")

    screen.keys("Tab", "Enter", "Tab")

    assert screen.focused() == "Where is whose bonus?"


def test_a_slash_focuses_the_search_and_can_be_typed_there(
    open_screen: OpenScreen,
) -> None:
    AssignmentFactory(customer="C/1")
    screen = open_screen(Role.CRM)
    for address in ("/admin/", list_of(Assignment)):
        screen.open(address)
        screen.keys("/")
        screen.page.keyboard.type("C/1")
        screen.keys("Enter")
        screen.sees("C/1")


def test_a_filter_can_be_chosen_by_keyboard(open_screen: OpenScreen) -> None:
    AssignmentFactory(state=AssignmentState.HELD, reason=AssignmentReason.REFUSED)
    AssignmentFactory(customer="given", state=AssignmentState.ACTIVE)
    screen = open_screen(Role.CRM)
    screen.open(list_of(Assignment))

    tab_to(screen, "State")
    screen.keys("Enter")
    tab_to(screen, "Activated")
    screen.keys("Enter")

    screen.sees("1 assignment, newest first.")
    screen.sees("given")


def test_an_action_can_be_performed_in_a_list_by_keyboard(
    open_screen: OpenScreen,
) -> None:
    row = AssignmentFactory(state=AssignmentState.HELD, reason=AssignmentReason.REFUSED)
    screen = open_screen(Role.OPERATIONS)
    screen.open(list_of(Assignment))

    tab_to(screen, "Do this")
    screen.page.keyboard.type("Write off")
    screen.keys("Tab")
    screen.page.keyboard.type("They left.")
    tab_to(screen, f"Select this object for an action - {row}")
    screen.keys("Space")
    screen.sees("1 of 1 selected")
    screen.page.get_by_label("Why").focus()
    screen.keys("Enter")
    screen.sees("The reward will not be given")
    tab_to(screen, "Yes, write off")
    screen.keys("Enter")

    screen.sees("1 assignment is written off.")
    row.refresh_from_db()
    assert row.state == AssignmentState.VOID


def test_an_action_can_be_performed_on_a_page_by_keyboard(
    open_screen: OpenScreen,
) -> None:
    execution = ExecutionFactory()
    screen = open_screen(Role.OPERATIONS)
    screen.open(page_of(execution))

    tab_to(screen, "Why")
    screen.page.keyboard.type("Too many.")
    tab_to(screen, "Pause")
    screen.keys("Space")

    screen.sees("1 execution is paused.")
    assert Execution.objects.get().stop == ExecutionStop.PAUSED


def test_a_refresh_keeps_the_focus(open_screen: OpenScreen) -> None:
    execution = ExecutionFactory()
    AssignmentFactory(
        execution=execution, state=AssignmentState.HELD, reason=AssignmentReason.REFUSED
    )
    screen = open_screen(Role.SUPPORT)
    screen.open(page_of(execution))
    again = screen.page.get_by_role("button", name="Try these again")

    again.focus()
    screen.page.wait_for_timeout(3_500)

    expect(again).to_be_focused()
