"""Pages of bulk retries, from the preview to the results."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.db.models import QuerySet
from django.utils.html import strip_tags

from executions.models import ExecutionStop
from promoportal.admin.links import list_of, page_of
from rewards import bulk_retry, confirmed_moment, obstacles
from rewards.admin import bulk_retry_preview
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Retrial,
    RetrialState,
    Retried,
)
from tests.factories import AssignmentFactory, ExecutionFactory
from tests.promoportal.db.second_connection import elsewhere
from tests.staff_client import StaffClient, preview_fields, preview_form

HELD = list_of(Assignment, state__exact=AssignmentState.HELD)


def held(count: int, **more: Any) -> list[Assignment]:
    more = {"reason": AssignmentReason.REFUSED, **more}
    return [AssignmentFactory(state=AssignmentState.HELD, **more) for _ in range(count)]


def ask(staff: StaffClient, address: str = HELD, **said: Any) -> Any:
    return staff.client.post(address, {"retry_all": "ask", **said})


def press(
    staff: StaffClient, form: str = "", why: str = "Mended.", address: str = HELD
) -> Any:
    """Open the preview, and confirm it at once."""
    said = preview_form(staff, address)
    return ask(staff, address, **said | {"why": why} | ({"form": form} if form else {}))


def test_the_preview_shows_numbers_and_reasons(support: StaffClient) -> None:
    held(3)
    held(1, doubtful=True)
    held(1, reason=AssignmentReason.REPEATED)
    AssignmentFactory(state=AssignmentState.OWED)

    shown = ask(support).content.decode()

    assert "<strong>3</strong> would be tried again, worth 30.00 EUR" in shown
    assert "2 would be left alone" in shown
    assert "in doubt: say first whether it was given" in shown
    assert not Retrial.objects.exists()


def test_the_filters_are_shown_in_the_preview_and_stored(
    support: StaffClient,
) -> None:
    row, _ = held(2, customer="C1")
    [other] = held(1)
    said = {"execution": row.execution_id, "q": "C1", "days": "week", "older": 1}
    address = f"{HELD}&{urlencode(said)}"

    shown = html.unescape(ask(support, address).content.decode())
    press(support, address=address)

    words = [
        "State: Needs review",
        f"Execution: {row.execution.reference}",
        "Days it was listed on: Past 7 days",
        "Found by: C1",
    ]
    assert "<strong>1</strong> assignment matches:" in shown
    assert re.findall("<li>([^<]*)</li>", shown) == words
    assert 'placeholder="The reason, kept with every row"' in shown
    retrial = Retrial.objects.get()
    assert retrial.narrowed == ", ".join(words)
    assert not Retried.objects.filter(retrial=retrial, assignment=other)


def test_without_rows_to_retry_there_is_no_button(support: StaffClient) -> None:
    held(1, reason=AssignmentReason.REPEATED)

    shown = ask(support).content.decode()

    assert "1 would be left alone" in shown
    assert 'name="retry_all" value="yes"' not in shown


def many() -> QuerySet[Assignment]:
    """Return rows of several executions, one cancelled; the oldest are `doubtful`."""
    gone = ExecutionFactory(stop=ExecutionStop.CANCELLED)
    held(2, doubtful=True)
    held(1, doubtful=True, execution=gone)
    held(1, meaning="nothing", vendor_status="NotEligible")
    held(1, reason=AssignmentReason.REPEATED)
    held(2, execution=gone)
    held(3)
    return Assignment.objects.order_by("-pk")


@pytest.mark.parametrize(
    "narrowed",
    [{}, {"state__exact": "HELD"}, {"needs": "held"}, {"older": "7"}],
)
def test_state_counts_give_the_same_preview_as_rows(
    db: None, narrowed: dict[str, str]
) -> None:
    rows = many()
    looked_at = bulk_retry_preview.preview(rows, narrowed)

    counted = bulk_retry_preview.preview(rows, narrowed, few=0)

    assert (counted.tried, counted.worth) == (looked_at.tried, looked_at.worth)
    assert (counted.tried, counted.left, counted.but) == (3, "7", "")
    assert counted.left_alone[obstacles.IN_DOUBT] == 3
    assert counted.left_alone[obstacles.EXECUTION_CANCELLED] == 2
    assert sorted(counted.left_alone.values()) == sorted(looked_at.left_alone.values())


def test_too_many_possibly_activated_rows_are_mentioned(db: None) -> None:
    found = bulk_retry_preview.preview(many(), {}, few=0, most=2)

    assert "fewer tried again" in found.but


def test_other_filters_are_previewed_by_the_newest_rows(db: None) -> None:
    found = bulk_retry_preview.preview(many(), {"promotion": "1"}, few=0, most=2)

    assert (found.tried, found.left) == (3, "")
    assert "the newest 3 alone" in found.but


def test_the_preview_counts_one_execution_or_reason(db: None) -> None:
    rows = many()
    (pk,) = rows.filter(reason=AssignmentReason.REPEATED).values_list(
        "execution", flat=True
    )

    said = {"execution": str(pk)}, {"reason__exact": "REPEATED"}
    of_one = bulk_retry_preview.preview(rows.filter(execution=pk), said[0], few=0)
    repeated = bulk_retry_preview.preview(
        rows.filter(reason="REPEATED"), said[1], few=0
    )

    assert (of_one.tried, of_one.left) == (0, "1")
    assert (repeated.tried, repeated.left) == (0, "1")


def test_a_bulk_retry_shows_its_progress(support: StaffClient) -> None:
    held(3)

    answer = press(support)

    retrial = Retrial.objects.get()
    assert answer["Location"] == page_of(retrial)
    assert (retrial.by, retrial.why) == (support.user, "Mended.")
    assert retrial.narrowed == "State: Needs review"
    page = support.page(retrial)
    assert "State: Needs review" in page
    assert "state__exact" not in strip_tags(page + support.text("/admin/"))
    assert 'hx-trigger="every 3s"' in page
    assert "0 of 3" in page
    bulk_retry.follow()
    page = support.page(retrial)
    assert "hx-trigger" not in page
    assert "3 of 3" in page
    assert support.list(Retried, retrial=retrial.pk, left_alone="no") == list(
        Retried.objects.order_by("-pk")
    )
    assert support.list(Retried, retrial=retrial.pk, left_alone="yes") == []


def test_a_form_sent_twice_begins_one_bulk_retry(support: StaffClient) -> None:
    held(1)
    form = str(uuid4())

    first, second = press(support, form), press(support, form)

    assert first["Location"] == second["Location"]
    assert Retrial.objects.count() == 1


@pytest.mark.parametrize("form", ["", "x"])
def test_a_missing_reason_or_a_forged_form_begins_nothing(
    support: StaffClient, form: str
) -> None:
    held(1)

    shown = press(support, form=form or str(uuid4()), why=" ")

    assert "Say why" in shown.content.decode()
    assert not Retrial.objects.exists()


def test_a_bulk_retry_needs_the_permission(
    crm: StaffClient,
) -> None:
    held(1)

    assert "Retry all" not in crm.text(HELD)
    assert ask(crm).status_code == 403
    assert ask(crm, retry_all="yes", why="Mended.").status_code == 403
    assert not Retrial.objects.exists()


def test_an_invalid_filter_retries_nothing_and_returns_to_the_list(
    support: StaffClient,
) -> None:
    held(1)
    address = f"{list_of(Assignment)}?state__regex=x"

    for said in ({}, {"why": "Mended.", "form": str(uuid4())}):
        answer = ask(support, address, **said)

        assert answer.status_code == 302
        assert answer["Location"] == address
    assert not Retrial.objects.exists()
    assert "is not narrowed by" in support.text(address)


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("pause", RetrialState.RUNNING, RetrialState.PAUSED),
        ("resume", RetrialState.PAUSED, RetrialState.RUNNING),
        ("cancel", RetrialState.RUNNING, RetrialState.CANCELLED),
        ("cancel", RetrialState.PAUSED, RetrialState.CANCELLED),
    ],
)
def test_users_with_the_permission_pause_resume_and_cancel(
    support: StaffClient,
    crm: StaffClient,
    action: str,
    before: RetrialState,
    after: RetrialState,
) -> None:
    held(1)
    press(support)
    Retrial.objects.update(state=before)
    retrial = Retrial.objects.get()

    assert action in support.offered(retrial)
    assert crm.offered(retrial) == set()
    assert crm.post(action, retrial, confirmed="yes").status_code == 403
    support.do(action, retrial)

    retrial.refresh_from_db()
    assert retrial.state == after


@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
def test_a_complete_bulk_retry_is_skipped(support: StaffClient, action: str) -> None:
    held(1)
    press(support)
    bulk_retry.follow()
    retrial = Retrial.objects.get()

    assert "left alone" in support.do(action, retrial)
    assert support.offered(retrial) == set()


# --- What changed after the confirmation was opened -----------------------------------

LATER = "it was listed after you confirmed"
CHANGED = "it changed after you confirmed: look at it again"


def results() -> dict[int, str]:
    return dict(Retried.objects.values_list("assignment", "left_alone"))


def confirm(staff: StaffClient, said: dict[str, str]) -> str:
    """Confirm an opened preview, process it, and return the page of the bulk retry."""
    answer = ask(staff, **said, why="Mended.")
    assert answer.status_code == 302, answer.content.decode()
    bulk_retry.follow()
    return staff.text(answer["Location"])


def test_a_row_that_is_listed_after_the_confirmation_opened_is_not_retried(
    support: StaffClient,
) -> None:
    [row] = held(1)
    said = preview_form(support, HELD)
    [later] = held(1)

    page = confirm(support, said)

    assert results() == {row.pk: "", later.pk: LATER}
    assert "You confirmed: 1 to try again, worth 10.00 EUR; 0 to leave alone." in page
    assert "When it began: 2 to try again, worth 20.00 EUR; 0 to leave alone." in page


def test_a_row_that_needs_review_only_after_the_confirmation_opened_is_not_retried(
    support: StaffClient,
) -> None:
    pending = AssignmentFactory(state=AssignmentState.OWED)
    [row] = held(1)
    said = preview_form(support, HELD)
    pending.move(AssignmentState.HELD, why="Rejected.", reason="REFUSED")

    confirm(support, said)

    assert results() == {row.pk: "", pending.pk: CHANGED}
    pending.refresh_from_db()
    assert pending.state == AssignmentState.HELD


CHANGES: list[dict[str, Any]] = [
    {"value": 5000},
    {"unit": "USD"},
    {"as_assigned": {"customerId": "another"}},
    {"reward": {"category": "Bonus"}},
    {"unique_code": "OTHER"},
    {"reason": AssignmentReason.MALFORMED},
    {"evidence": "late receipt"},
    {"vendor_status": "Promised"},
    {"repeated": True},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
@pytest.mark.parametrize("when", ["before the start", "after the start"])
def test_a_row_that_changed_after_the_confirmation_opened_is_not_retried(
    support: StaffClient, change: dict[str, Any], when: str
) -> None:
    row, other = held(2)
    said = preview_form(support, HELD)
    changed = Assignment.objects.filter(pk=row.pk)

    if when == "before the start":
        changed.update(**change)
        ask(support, **said, why="Mended.")
    else:
        ask(support, **said, why="Mended.")
        changed.update(**change)
    bulk_retry.follow()

    assert results() == {row.pk: CHANGED, other.pk: ""}
    row.refresh_from_db()
    assert row.state == AssignmentState.HELD


def test_a_row_that_is_only_listed_again_is_retried(support: StaffClient) -> None:
    [row] = held(1)
    said = preview_form(support, HELD)
    Assignment.objects.update(listed_pass=9, cleared=False)

    page = confirm(support, said)

    assert results() == {row.pk: ""}
    assert "You confirmed" not in page


def test_a_changed_sum_is_shown(support: StaffClient) -> None:
    row, _ = held(2)
    said = preview_form(support, HELD)
    Assignment.objects.filter(pk=row.pk).update(value=5000)

    page = confirm(support, said)

    assert "You confirmed: 2 to try again, worth 20.00 EUR; 0 to leave alone." in page
    assert "When it began: 2 to try again, worth 5,010.00 EUR" in page


@pytest.mark.parametrize(
    ("missing", "instead"),
    [("newest", ""), ("newest", "x"), ("at", ""), ("at", "x"), ("figures", "")],
)
def test_a_confirmation_that_does_not_say_what_it_showed_is_asked_again(
    support: StaffClient, missing: str, instead: str
) -> None:
    held(1)
    said = preview_form(support, HELD) | {missing: instead, "why": "Mended."}

    shown = ask(support, **said)

    assert shown.status_code == 200
    assert "<strong>1</strong> would be tried again" in shown.content.decode()
    assert not Retrial.objects.exists()


def test_a_confirmation_that_is_shown_again_is_about_what_it_shows_then(
    support: StaffClient,
) -> None:
    held(1)
    first = preview_form(support, HELD)
    held(1)

    shown = ask(support, **first, why=" ")
    again = preview_fields(shown)
    confirm(support, again)

    assert "<strong>2</strong> would be tried again" in shown.content.decode()
    assert again["form"] == first["form"]
    assert set(results().values()) == {""}


@pytest.mark.django_db(transaction=True)
def test_a_change_that_was_not_committed_yet_counts_as_later() -> None:
    """It is not visible in the preview, although its time is earlier."""
    [row] = held(1)
    with elsewhere() as other:
        other.begin()
        other.do(lambda: Assignment.objects.filter(pk=row.pk).update(value=5000))
        moment = confirmed_moment.this_moment()
        other.commit()

    row.refresh_from_db()
    assert moment.obstacle(row) == confirmed_moment.CHANGED_LATER
