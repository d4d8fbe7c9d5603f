"""What a person saves of a list is theirs alone, and opens what it says."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db.models import Model

from promoportal.admin.links import list_of
from promoportal.admin.saved_filters import MAX_NAME_LENGTH, MAX_SAVED, SavedFilter
from redemptions.models import Redemption
from rewards.models import Assignment, AssignmentState
from tests.factories import AssignmentFactory, ExecutionFactory, UserFactory
from tests.staff_client import StaffClient

HELD = {"state__exact": "HELD", "days": "week"}


def press(
    staff: StaffClient,
    what: str,
    *,
    model: type[Model] = Assignment,
    narrowed: dict[str, Any] | None = None,
    **said: Any,
) -> str:
    """Press a button of the saved filters; gives what was said of it."""
    here = list_of(model, **(HELD if narrowed is None else narrowed))
    answer: Any = staff.client.post(here, {"saved": what, **said})
    assert answer.status_code == 302, answer
    assert answer["Location"] == here
    return staff.said(here)


def shelf(staff: StaffClient, model: type[Model] = Assignment) -> dict[str, str]:
    """The saved filters that the list shows: where each leads, by its name."""
    shown = staff.get(list_of(model)).context["saved"]
    return {one.name: list_of(model) + one.address for one in shown}


def test_a_filter_is_saved_under_a_name_and_opened_by_it(crm: StaffClient) -> None:
    mine = AssignmentFactory(state=AssignmentState.HELD)
    AssignmentFactory()

    said = press(crm, "save", name=" Held & <new> ")

    assert said == "Saved as “Held & <new>”. Only you see it."
    [address] = shelf(crm).values()
    assert address == list_of(Assignment, **dict(sorted(HELD.items())))
    assert list(crm.get(address).context["cl"].result_list) == [mine]
    assert crm.get(address).context["opened"].name == "Held & <new>"
    assert "Held &amp; &lt;new&gt;" in crm.get(address).content.decode()


def test_it_is_one_person_s_and_of_one_list(
    crm: StaffClient, operations: StaffClient
) -> None:
    press(crm, "save", name="Held")
    [saved] = SavedFilter.objects.all()

    assert not shelf(operations)
    assert not shelf(crm, Redemption)
    for what in ("rename", "remove"):
        said = press(operations, what, filter=saved.pk, name="Mine now")
        assert said == "That saved filter is not there, or no longer."
    other = press(crm, "remove", model=Redemption, narrowed={}, filter=saved.pk)
    assert other == "That saved filter is not there, or no longer."
    assert shelf(crm).keys() == {"Held"}


def test_it_is_renamed_and_removed(crm: StaffClient) -> None:
    press(crm, "save", name="Held")
    [saved] = SavedFilter.objects.all()

    said = press(crm, "rename", filter=saved.pk, name="Held this week")
    assert said == "It is called “Held this week” now."
    assert shelf(crm).keys() == {"Held this week"}

    press(crm, "remove", filter=saved.pk)
    assert not shelf(crm)


def test_a_name_is_taken_once_by_one_person_for_one_list(
    crm: StaffClient, operations: StaffClient
) -> None:
    press(crm, "save", name="Held")
    press(crm, "save", name="Other")
    other = SavedFilter.objects.get(name="Other")

    for said in (
        press(crm, "save", name="Held"),
        press(crm, "rename", filter=other.pk, name="Held"),
    ):
        assert said == "Nothing was saved: you have a filter called “Held” already."
    assert "Saved" in press(operations, "save", name="Held")
    assert "Saved" in press(
        crm, "save", model=Redemption, narrowed={"state__exact": "HELD"}, name="Held"
    )
    assert shelf(crm).keys() == {"Held", "Other"}


@pytest.mark.parametrize("name", ["", " ", "\0", "x" * (MAX_NAME_LENGTH + 1)])
def test_what_is_no_name_is_refused(name: str, crm: StaffClient) -> None:
    press(crm, "save", name="Held")
    [saved] = SavedFilter.objects.all()

    for said in (
        press(crm, "save", name=name),
        press(crm, "rename", filter=saved.pk, name=name),
    ):
        assert said == (
            "Nothing was saved: give the filter a name of at most 60 characters."
        )
    assert shelf(crm).keys() == {"Held"}


def test_there_is_room_for_so_many(crm: StaffClient) -> None:
    for number in range(MAX_SAVED):
        press(crm, "save", name=f"Held {number}")

    said = press(crm, "save", name="One more")

    assert "you have 20 filters for this list. Remove one first." in said
    assert len(shelf(crm)) == MAX_SAVED


def test_only_the_list_s_own_filters_are_kept(crm: StaffClient) -> None:
    press(crm, "save", narrowed={**HELD, "q": "C1", "older": 7}, name="Held")
    [saved] = SavedFilter.objects.all()

    assert saved.narrowed == HELD
    said = press(crm, "save", narrowed={"q": "C1"}, name="C1")
    assert said == (
        "Nothing was saved: narrow the list with its filters first. What is searched "
        "for is not saved."
    )


@pytest.mark.parametrize(
    "narrowed", [{"state__exact": "FOO"}, {**HELD, "next": "//elsewhere"}]
)
def test_what_is_not_understood_is_not_saved(
    narrowed: dict[str, str], crm: StaffClient
) -> None:
    said = press(crm, "save", narrowed=narrowed, name="Held")

    assert said == "Nothing was saved: what is not understood would find nothing."
    assert not SavedFilter.objects.exists()


@pytest.mark.parametrize("key", ["", "x", "0", "9" * 30, "-1", "²"])
def test_one_that_is_not_there_is_answered_with_a_sentence(
    key: str, crm: StaffClient
) -> None:
    for what in ("rename", "remove"):
        said = press(crm, what, filter=key, name="Held")
        assert said == "That saved filter is not there, or no longer."
    assert "Nothing was done" in press(crm, "frame", filter=key)


def test_one_whose_execution_is_gone_says_so_and_can_be_removed(
    crm: StaffClient,
) -> None:
    execution = ExecutionFactory()
    AssignmentFactory()
    press(crm, "save", narrowed={"execution": execution.pk}, name="Welcome")
    [address] = shelf(crm).values()
    execution.delete()

    page = crm.get(address)

    assert list(page.context["cl"].result_list) == []
    text = page.content.decode()
    assert "The execution that this list was narrowed to is not there" in text
    assert "Rename or remove" in text
    key = page.context["opened"].pk
    press(crm, "remove", narrowed={"execution": execution.pk}, filter=key)
    assert not shelf(crm)


def test_one_that_was_tampered_with_opens_nothing_else(crm: StaffClient) -> None:
    AssignmentFactory()
    SavedFilter.objects.create(
        by=crm.user, list="rewards.assignment", name="x", narrowed={"next": "//x"}
    )
    [address] = shelf(crm).values()

    assert address.startswith("/admin/rewards/assignment/?")
    page = crm.get(address)
    assert list(page.context["cl"].result_list) == []


def test_who_may_not_see_a_list_saves_nothing_of_it(crm: StaffClient) -> None:
    press(crm, "save", name="Held")
    [saved] = SavedFilter.objects.all()
    nobody = StaffClient(UserFactory(is_staff=True))
    elsewhere = StaffClient(UserFactory(is_staff=True))
    elsewhere.user.user_permissions.add(
        Permission.objects.get(codename="view_redemption")
    )

    for staff in (nobody, elsewhere):
        for what in ("save", "rename", "remove"):
            said = {"saved": what, "filter": saved.pk, "name": "Held"}
            answer: Any = staff.client.post(list_of(Assignment), said)
            assert answer.status_code == 403
    assert [one.by for one in SavedFilter.objects.all()] == [crm.user]


def test_a_wish_is_no_action_and_goes_with_its_person(crm: StaffClient) -> None:
    press(crm, "save", name="Held")

    assert not LogEntry.objects.exists()
    crm.user.delete()
    assert not SavedFilter.objects.exists()
