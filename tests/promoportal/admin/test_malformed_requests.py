"""Malformed requests, which no page of the portal sends: none causes an error."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client

from promoportal.admin.links import list_of, page_of
from promoportal.admin.model_admin import PortalAdmin
from rewards.models import Assignment
from tests.factories import AssignmentFactory
from tests.staff_client import StaffClient

AUTOCOMPLETE = (
    "/admin/autocomplete/?app_label=rewards&model_name=assignment&field_name=execution"
)
UNSEARCHED = [
    pytest.param(model, id=model.__name__)
    for model, each in admin.site._registry.items()
    if isinstance(each, PortalAdmin) and not each.get_search_fields(None)  # type: ignore[arg-type]
]


@pytest.mark.parametrize("model", UNSEARCHED)
def test_a_list_without_a_search_says_so(
    superuser: StaffClient, model: type[Model]
) -> None:
    assert "Nothing is looked for in this list." in superuser.text(
        list_of(model, q="x")
    )


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/admin/customers/%00/", 404),
        ("/admin/customers/a_00b/", 404),
        ("/admin/r/9/_00/", 404),
        (f"{AUTOCOMPLETE}&term=%00", 404),
    ],
)
def test_an_id_with_a_null_character_is_not_found(
    superuser: StaffClient, address: str, status: int
) -> None:
    assert superuser.get(address).status_code == status


def test_an_invalid_session_cookie_is_ignored(db: None) -> None:
    client = Client()
    client.cookies.load('sessionid="abcdefgh\\000ijk"')

    assert client.get("/admin/").status_code == 302


def test_a_line_break_in_a_customer_id_hides_no_reward(crm: StaffClient) -> None:
    row: Assignment = AssignmentFactory(customer="a\nState: Active")

    found = crm.client.get("/admin/customers/?q=a", follow=True)

    assert page_of(row) in found.content.decode()
    assert "State: Active" in crm.page(row)
