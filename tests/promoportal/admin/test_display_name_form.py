"""Display names of campaigns and promotions: input, log, pages and search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unicodedata import normalize

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from executions.models import Campaign, Execution
from promoportal.admin.audit_log import AuditKind
from promoportal.admin.links import list_of, page_of
from promoportal.admin.roles import Role
from promoportal.db.display_names import MAX_LENGTH, Named
from rewards.models import Assignment, Promotion
from tests.factories import (
    AssignmentFactory,
    CampaignFactory,
    ExecutionFactory,
    PromotionFactory,
)
from tests.many import multiply, plan
from tests.staff_client import StaffClient

both = pytest.mark.parametrize("make", [CampaignFactory, PromotionFactory])
Make = Callable[..., Any]


def name(staff: StaffClient, row: Named, new_name: str) -> Any:
    """Submit "Set name" on the page of a row, and return the response."""
    said = {"naming": "yes", "keys": row.pk, "page": row.pk, "name": new_name}
    return staff.client.post(list_of(type(row)), said)


def renamed(staff: StaffClient, row: Named, new_name: str) -> str:
    """Submit "Set name", and return the message."""
    answer = name(staff, row, new_name)
    assert answer["Location"] == page_of(row)
    return staff.said(page_of(row))


def reward(**more: Any) -> Assignment:
    """Return an assignment of a campaign and a promotion with names."""
    return AssignmentFactory(
        execution__campaign=CampaignFactory(reference="120", name="Win <them> back"),
        promotion=PromotionFactory(reference="promo-17", name="Friday spins"),
        **more,
    )


CAMPAIGN = 'Win &lt;them&gt; back <span class="beside">120</span></a>'
PROMOTION = 'Friday spins <span class="beside">promo-17</span>'


# --- Input ----------------------------------------------------------------------------


def test_a_form_without_a_name_field_keeps_the_name(operations: StaffClient) -> None:
    row = CampaignFactory(name="Welcome back")

    operations.client.post(list_of(type(row)), {"naming": "yes", "page": row.pk})

    row.refresh_from_db()
    assert row.name == "Welcome back"


@both
@pytest.mark.parametrize("role", Role)
def test_permitted_roles_set_the_name_and_others_are_logged_as_refused(
    role: Role, make: Make, client_of: Callable[[Role], StaffClient]
) -> None:
    row, staff = make(), client_of(role)
    may = role in {Role.CRM, Role.OPERATIONS}

    assert ("Set name" in staff.page(row)) == may
    answer = name(staff, row, "Welcome back")

    row.refresh_from_db()
    entry = LogEntry.objects.get()
    assert answer.status_code == (302 if may else 403)
    assert row.name == ("Welcome back" if may else "")
    assert entry.action_flag == (AuditKind.DONE if may else AuditKind.REFUSED)
    assert (entry.user, entry.object_id) == (staff.user, str(row.pk))


@both
def test_the_log_has_the_old_and_the_new_name(make: Make, crm: StaffClient) -> None:
    row = make()

    for new_name, said in (
        (" Welcome back ", "It is called “Welcome back” now."),
        ("Welcome home", "It is called “Welcome home” now."),
        ("  ", "It is without a name now."),
    ):
        assert renamed(crm, row, new_name) == said

    messages = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(messages) == [
        "Set name: it was without a name, and is called “Welcome back” now.",
        "Set name: it was called “Welcome back”, and is called “Welcome home” now.",
        "Set name: it was called “Welcome home”, and is without a name now.",
    ]


@both
@pytest.mark.parametrize(
    ("new_name", "why"),
    [
        ("x" * (MAX_LENGTH + 1), "a name has 100 characters at most"),
        ("Welcome\nback", "the name holds a character that nobody sees"),
        ("Welcome\0back", "the name holds a character that nobody sees"),
        ("kcab \u202eemocleW", "the name holds a character that nobody sees"),
        ("Wel\u200bcome", "the name holds a character that nobody sees"),
        ("Welcome\u200d", "the name holds a character that nobody sees"),
        ("Welcome\u200d \u200cback", "the name holds a character that nobody sees"),
        ("Welcome\u200d\u200dback", "the name holds a character that nobody sees"),
        ("\u3164", "nobody would see this name"),
        ("\u115f\u1160", "nobody would see this name"),
        ("\u2800 \uffa0", "nobody would see this name"),
        ("\u0301\ufe0f", "nobody would see this name"),
        ("Welcome", "it is called “Welcome” already"),
    ],
)
def test_an_invalid_name_is_rejected_and_changes_nothing(
    new_name: str, why: str, make: Make, crm: StaffClient
) -> None:
    row = make(name="Welcome")

    assert f"Nothing was done: {why}" in renamed(crm, row, new_name)

    row.refresh_from_db()
    assert row.name == "Welcome"
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("key", ["", "x", "0", "9" * 40, "%00"])
def test_a_row_that_does_not_exist_cannot_be_named(key: str, crm: StaffClient) -> None:
    said = {"naming": "yes", "page": key, "name": "Welcome"}
    answer: Any = crm.client.post(list_of(Campaign), said)

    assert crm.said(answer["Location"]) == "Nothing was done: choose what to name."


@pytest.mark.parametrize("said", ["", "  "])
def test_removing_a_missing_name_is_explained(said: str, crm: StaffClient) -> None:
    row = CampaignFactory()

    assert renamed(crm, row, said) == "Nothing was done: it is without a name already."


@pytest.mark.parametrize(
    "new_name",
    [
        "👩\u200d💻 Club",
        "❤\ufe0f\u200d🔥",
        "می\u200cشد",
        "क्\u200dष",
        "한국 봄",
        "⠏⠗⠕⠍⠕",
        "!",
    ],
)
def test_a_name_may_have_any_script_and_emoji(new_name: str, crm: StaffClient) -> None:
    row = CampaignFactory()

    renamed(crm, row, new_name)

    row.refresh_from_db()
    assert row.name == new_name


def test_a_name_of_the_maximum_length_is_stored(crm: StaffClient) -> None:
    row = CampaignFactory()

    renamed(crm, row, "ü" * MAX_LENGTH)

    row.refresh_from_db()
    assert row.name == "ü" * MAX_LENGTH


# --- Pages ----------------------------------------------------------------------------


def test_every_page_shows_the_name_before_the_id(
    crm: StaffClient,
) -> None:
    row = reward(state="HELD")
    campaign, promotion = row.execution.campaign, row.promotion
    assert campaign
    assert promotion

    for address in (list_of(Execution), page_of(row.execution)):
        assert CAMPAIGN in crm.get(address).content.decode()
    for address in (
        list_of(Promotion),
        list_of(Assignment),
        list_of(Assignment, promotion=promotion.pk),
    ):
        assert PROMOTION in crm.get(address).content.decode()
    chip = 'Win &lt;them&gt; back <span class="beside">120</span></strong>'
    narrowed = list_of(Assignment, campaign=campaign.pk)
    shown = crm.get(narrowed)
    assert chip in shown.content.decode()
    assert shown.context["cl"].chosen == ["Campaign: Win <them> back (120)"]
    assert f"{PROMOTION}</a>" in crm.page(row)
    customer = crm.text(f"/admin/customers/{row.customer}/")
    assert "Friday spins (promo-17)" in customer
    assert "of campaign Win <them> back (120)" in customer


def test_the_heading_of_a_page_is_the_name_with_the_id(crm: StaffClient) -> None:
    row = reward()
    assert row.promotion

    page = crm.page(row.promotion)

    assert "<h1>Friday spins</h1>" in page
    assert '<span class="beside">promo-17</span>' in page


@both
def test_the_id_is_not_repeated_without_a_name(make: Make, crm: StaffClient) -> None:
    row = make(reference="120")

    page = crm.page(row)

    assert f"<h1>{type(row).__name__} 120</h1>" in page
    assert '<span id="marks"></span>' in page


def test_a_list_shows_only_the_id_without_a_name(crm: StaffClient) -> None:
    row = ExecutionFactory(campaign=CampaignFactory(reference="120"))
    assert row.campaign

    assert f'<a href="{page_of(row.campaign)}">120</a></td>' in crm.text(
        list_of(Execution)
    )


# --- Search ---------------------------------------------------------------------------


@both
@pytest.mark.parametrize("term", ["Welcome", "welcome b", " WELCOME BACK ", "id-7"])
def test_a_row_is_found_by_the_beginning_of_its_name_and_by_its_id(
    term: str, make: Make, crm: StaffClient
) -> None:
    row = make(reference="id-7", name="Welcome back")
    make(name="Not welcome back")

    assert crm.list(type(row), q=term) == [row]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_a_name_is_found_in_any_unicode_normal_form(
    form: Any, asked: Any, crm: StaffClient
) -> None:
    row = CampaignFactory()
    renamed(crm, row, normalize(form, "Ångström für alle"))

    assert crm.list(Campaign, q=normalize(asked, "ångström fü")) == [row]


def test_an_id_is_searched_without_normalization(crm: StaffClient) -> None:
    row = CampaignFactory(reference=normalize("NFD", "Ü-7"))

    assert crm.list(Campaign, q=row.reference) == [row]


def test_wildcards_in_a_search_are_ordinary_characters(crm: StaffClient) -> None:
    row = CampaignFactory(name="100% back_to\\you")
    CampaignFactory(name="1000 back")

    assert crm.list(Campaign, q="100%") == [row]
    assert crm.list(Campaign, q="100% back_to\\") == [row]
    assert crm.list(Campaign, q="%") == []


@both
def test_one_row_among_many_is_found_by_indexes(make: Make, crm: StaffClient) -> None:
    row = make(name="Welcome back")
    multiply(row, 5_000, reference="'other-' || n", name="'Another ' || n")

    for term in ("welcome", row.reference):
        changes = crm.get(list_of(type(row), q=term)).context["cl"]

        assert list(changes.result_list) == [row]
        found = plan(changes.queryset)
        assert f"{type(row).__name__.lower()}_by_name" in found
        assert "Seq Scan" not in found


@pytest.mark.django_db
def test_an_insert_without_a_name_gets_an_empty_name() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO executions_campaign (reference) VALUES ('120')")

    assert Campaign.objects.get().name == ""
