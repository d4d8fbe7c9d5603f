"""What staff call a campaign and a promotion: given, kept, shown and found."""

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


def name(staff: StaffClient, row: Named, called: str) -> Any:
    """Press "Set name" on its page; gives the answer as it comes."""
    said = {"naming": "yes", "keys": row.pk, "page": row.pk, "name": called}
    return staff.client.post(list_of(type(row)), said)


def called(staff: StaffClient, row: Named, so: str) -> str:
    """The same, and what was said of it."""
    answer = name(staff, row, so)
    assert answer["Location"] == page_of(row)
    return staff.said(page_of(row))


def reward(**more: Any) -> Assignment:
    """Of a campaign and a promotion with names."""
    return AssignmentFactory(
        execution__campaign=CampaignFactory(reference="120", name="Win <them> back"),
        promotion=PromotionFactory(reference="promo-17", name="Friday spins"),
        **more,
    )


CAMPAIGN = 'Win &lt;them&gt; back <span class="beside">120</span></a>'
PROMOTION = 'Friday spins <span class="beside">promo-17</span>'


# --- Given ----------------------------------------------------------------------------


def test_a_form_that_says_no_name_takes_none_away(operations: StaffClient) -> None:
    row = CampaignFactory(name="Welcome back")

    operations.client.post(list_of(type(row)), {"naming": "yes", "page": row.pk})

    row.refresh_from_db()
    assert row.name == "Welcome back"


@both
@pytest.mark.parametrize("role", Role)
def test_it_is_named_by_who_may_and_kept_as_refused_of_who_may_not(
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
def test_what_it_was_and_what_it_is_stay_in_the_log(
    make: Make, crm: StaffClient
) -> None:
    row = make()

    for so, said in (
        (" Welcome back ", "It is called “Welcome back” now."),
        ("Welcome home", "It is called “Welcome home” now."),
        ("  ", "It is without a name now."),
    ):
        assert called(crm, row, so) == said

    told = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(told) == [
        "Set name: it was without a name, and is called “Welcome back” now.",
        "Set name: it was called “Welcome back”, and is called “Welcome home” now.",
        "Set name: it was called “Welcome home”, and is without a name now.",
    ]


@both
@pytest.mark.parametrize(
    ("so", "why"),
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
def test_what_is_no_name_is_said_and_changes_nothing(
    so: str, why: str, make: Make, crm: StaffClient
) -> None:
    row = make(name="Welcome")

    assert f"Nothing was done: {why}" in called(crm, row, so)

    row.refresh_from_db()
    assert row.name == "Welcome"
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("key", ["", "x", "0", "9" * 40, "%00"])
def test_what_is_not_there_is_not_named(key: str, crm: StaffClient) -> None:
    said = {"naming": "yes", "page": key, "name": "Welcome"}
    answer: Any = crm.client.post(list_of(Campaign), said)

    assert crm.said(answer["Location"]) == "Nothing was done: choose what to name."


@pytest.mark.parametrize("said", ["", "  "])
def test_to_take_away_the_name_of_what_has_none_is_said_to_be_so(
    said: str, crm: StaffClient
) -> None:
    row = CampaignFactory()

    assert called(crm, row, said) == "Nothing was done: it is without a name already."


@pytest.mark.parametrize(
    "so",
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
def test_a_name_may_be_of_any_script_and_of_emoji(so: str, crm: StaffClient) -> None:
    row = CampaignFactory()

    called(crm, row, so)

    row.refresh_from_db()
    assert row.name == so


def test_as_many_characters_as_there_may_be_are_kept(crm: StaffClient) -> None:
    row = CampaignFactory()

    called(crm, row, "ü" * MAX_LENGTH)

    row.refresh_from_db()
    assert row.name == "ü" * MAX_LENGTH


# --- Shown ----------------------------------------------------------------------------


def test_the_name_comes_first_and_the_id_beside_it_wherever_they_are(
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


def test_a_page_is_called_by_the_name_with_the_id_beside_it(crm: StaffClient) -> None:
    row = reward()
    assert row.promotion

    page = crm.page(row.promotion)

    assert "<h1>Friday spins</h1>" in page
    assert '<span class="beside">promo-17</span>' in page


@both
def test_the_id_is_not_repeated_where_there_is_no_name(
    make: Make, crm: StaffClient
) -> None:
    row = make(reference="120")

    page = crm.page(row)

    assert f"<h1>{type(row).__name__} 120</h1>" in page
    assert '<span id="marks"></span>' in page


def test_without_a_name_there_is_the_id_alone(crm: StaffClient) -> None:
    row = ExecutionFactory(campaign=CampaignFactory(reference="120"))
    assert row.campaign

    assert f'<a href="{page_of(row.campaign)}">120</a></td>' in crm.text(
        list_of(Execution)
    )


# --- Found ----------------------------------------------------------------------------


@both
@pytest.mark.parametrize("term", ["Welcome", "welcome b", " WELCOME BACK ", "id-7"])
def test_it_is_found_by_how_its_name_begins_and_by_its_id(
    term: str, make: Make, crm: StaffClient
) -> None:
    row = make(reference="id-7", name="Welcome back")
    make(name="Not welcome back")

    assert crm.list(type(row), q=term) == [row]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_it_is_found_whichever_keyboard_wrote_its_letters(
    form: Any, asked: Any, crm: StaffClient
) -> None:
    row = CampaignFactory()
    called(crm, row, normalize(form, "Ångström für alle"))

    assert crm.list(Campaign, q=normalize(asked, "ångström fü")) == [row]


def test_an_id_is_looked_up_as_it_is_written(crm: StaffClient) -> None:
    row = CampaignFactory(reference=normalize("NFD", "Ü-7"))

    assert crm.list(Campaign, q=row.reference) == [row]


def test_what_a_search_gives_a_meaning_to_is_only_a_character(crm: StaffClient) -> None:
    row = CampaignFactory(name="100% back_to\\you")
    CampaignFactory(name="1000 back")

    assert crm.list(Campaign, q="100%") == [row]
    assert crm.list(Campaign, q="100% back_to\\") == [row]
    assert crm.list(Campaign, q="%") == []


@both
def test_one_among_many_is_found_by_indexes(make: Make, crm: StaffClient) -> None:
    row = make(name="Welcome back")
    multiply(row, 5_000, reference="'other-' || n", name="'Another ' || n")

    for term in ("welcome", row.reference):
        changes = crm.get(list_of(type(row), q=term)).context["cl"]

        assert list(changes.result_list) == [row]
        found = plan(changes.queryset)
        assert f"{type(row).__name__.lower()}_by_name" in found
        assert "Seq Scan" not in found


@pytest.mark.django_db
def test_code_from_before_there_were_names_adds_campaigns_still() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO executions_campaign (reference) VALUES ('120')")

    assert Campaign.objects.get().name == ""
