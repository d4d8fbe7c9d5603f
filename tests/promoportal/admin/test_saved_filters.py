"""Saved filters, which belong to one user and one list."""

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


def submit(
    staff: StaffClient,
    what: str,
    *,
    model: type[Model] = Assignment,
    narrowed: dict[str, Any] | None = None,
    **said: Any,
) -> str:
    """Submit a form of the saved filters, and return the message."""
    here = list_of(model, **(HELD if narrowed is None else narrowed))
    answer: Any = staff.client.post(here, {"saved": what, **said})
    assert answer.status_code == 302, answer
    assert answer["Location"] == here
    return staff.said(here)


def saved_filters(
    staff: StaffClient, model: type[Model] = Assignment
) -> dict[str, str]:
    """Return the addresses of the saved filters in a list, by name."""
    shown = staff.get(list_of(model)).context["saved"]
    return {one.name: list_of(model) + one.address for one in shown}


def test_a_filter_is_saved_under_a_name_and_can_be_opened(crm: StaffClient) -> None:
    mine = AssignmentFactory(state=AssignmentState.HELD)
    AssignmentFactory()

    said = submit(crm, "save", name=" Held & <new> ")

    assert said == "Saved as “Held & <new>”. Only you see it."
    [address] = saved_filters(crm).values()
    assert address == list_of(Assignment, **dict(sorted(HELD.items())))
    assert list(crm.get(address).context["cl"].result_list) == [mine]
    assert crm.get(address).context["opened"].name == "Held & <new>"
    assert "Held &amp; &lt;new&gt;" in crm.get(address).content.decode()


def test_a_saved_filter_belongs_to_one_user_and_one_list(
    crm: StaffClient, operations: StaffClient
) -> None:
    submit(crm, "save", name="Held")
    [saved] = SavedFilter.objects.all()

    assert not saved_filters(operations)
    assert not saved_filters(crm, Redemption)
    for what in ("rename", "remove"):
        said = submit(operations, what, filter=saved.pk, name="Mine now")
        assert said == "That saved filter is not there, or no longer."
    other = submit(crm, "remove", model=Redemption, narrowed={}, filter=saved.pk)
    assert other == "That saved filter is not there, or no longer."
    assert saved_filters(crm).keys() == {"Held"}


def test_a_saved_filter_can_be_renamed_and_removed(crm: StaffClient) -> None:
    submit(crm, "save", name="Held")
    [saved] = SavedFilter.objects.all()

    said = submit(crm, "rename", filter=saved.pk, name="Held this week")
    assert said == "It is called “Held this week” now."
    assert saved_filters(crm).keys() == {"Held this week"}

    submit(crm, "remove", filter=saved.pk)
    assert not saved_filters(crm)


def test_a_name_is_unique_per_user_and_list(
    crm: StaffClient, operations: StaffClient
) -> None:
    submit(crm, "save", name="Held")
    submit(crm, "save", name="Other")
    other = SavedFilter.objects.get(name="Other")

    for said in (
        submit(crm, "save", name="Held"),
        submit(crm, "rename", filter=other.pk, name="Held"),
    ):
        assert said == "Nothing was saved: you have a filter called “Held” already."
    assert "Saved" in submit(operations, "save", name="Held")
    assert "Saved" in submit(
        crm, "save", model=Redemption, narrowed={"state__exact": "HELD"}, name="Held"
    )
    assert saved_filters(crm).keys() == {"Held", "Other"}


@pytest.mark.parametrize("name", ["", " ", "\0", "x" * (MAX_NAME_LENGTH + 1)])
def test_an_invalid_name_is_rejected(name: str, crm: StaffClient) -> None:
    submit(crm, "save", name="Held")
    [saved] = SavedFilter.objects.all()

    for said in (
        submit(crm, "save", name=name),
        submit(crm, "rename", filter=saved.pk, name=name),
    ):
        assert said == (
            "Nothing was saved: give the filter a name of at most 60 characters."
        )
    assert saved_filters(crm).keys() == {"Held"}


def test_the_number_of_saved_filters_is_limited(crm: StaffClient) -> None:
    for number in range(MAX_SAVED):
        submit(crm, "save", name=f"Held {number}")

    said = submit(crm, "save", name="One more")

    assert "you have 20 filters for this list. Remove one first." in said
    assert len(saved_filters(crm)) == MAX_SAVED


def test_only_filters_are_saved_without_search_and_page(crm: StaffClient) -> None:
    submit(crm, "save", narrowed={**HELD, "q": "C1", "older": 7}, name="Held")
    [saved] = SavedFilter.objects.all()

    assert saved.narrowed == HELD
    said = submit(crm, "save", narrowed={"q": "C1"}, name="C1")
    assert said == (
        "Nothing was saved: narrow the list with its filters first. What is searched "
        "for is not saved."
    )


@pytest.mark.parametrize(
    "narrowed", [{"state__exact": "FOO"}, {**HELD, "next": "//elsewhere"}]
)
def test_an_invalid_filter_is_not_saved(
    narrowed: dict[str, str], crm: StaffClient
) -> None:
    said = submit(crm, "save", narrowed=narrowed, name="Held")

    assert said == "Nothing was saved: what is not understood would find nothing."
    assert not SavedFilter.objects.exists()


@pytest.mark.parametrize("key", ["", "x", "0", "9" * 30, "-1", "²"])
def test_a_missing_saved_filter_is_explained(key: str, crm: StaffClient) -> None:
    for what in ("rename", "remove"):
        said = submit(crm, what, filter=key, name="Held")
        assert said == "That saved filter is not there, or no longer."
    assert "Nothing was done" in submit(crm, "frame", filter=key)


def test_a_saved_filter_of_a_deleted_execution_says_so_and_can_be_removed(
    crm: StaffClient,
) -> None:
    execution = ExecutionFactory()
    AssignmentFactory()
    submit(crm, "save", narrowed={"execution": execution.pk}, name="Welcome")
    [address] = saved_filters(crm).values()
    execution.delete()

    page = crm.get(address)

    assert list(page.context["cl"].result_list) == []
    text = page.content.decode()
    assert "The execution that this list was narrowed to is not there" in text
    assert "Rename or remove" in text
    key = page.context["opened"].pk
    submit(crm, "remove", narrowed={"execution": execution.pk}, filter=key)
    assert not saved_filters(crm)


def test_a_manipulated_saved_filter_opens_only_its_list(crm: StaffClient) -> None:
    AssignmentFactory()
    SavedFilter.objects.create(
        by=crm.user, list="rewards.assignment", name="x", narrowed={"next": "//x"}
    )
    [address] = saved_filters(crm).values()

    assert address.startswith("/admin/rewards/assignment/?")
    page = crm.get(address)
    assert list(page.context["cl"].result_list) == []


def test_a_user_who_may_not_see_a_list_saves_no_filter_of_it(crm: StaffClient) -> None:
    submit(crm, "save", name="Held")
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


def test_a_saved_filter_is_not_logged_and_is_deleted_with_its_user(
    crm: StaffClient,
) -> None:
    submit(crm, "save", name="Held")

    assert not LogEntry.objects.exists()
    crm.user.delete()
    assert not SavedFilter.objects.exists()
