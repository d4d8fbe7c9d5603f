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
from rewards import bulk_retry, decisions
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
from tests.staff_client import StaffClient

HELD = list_of(Assignment, state__exact=AssignmentState.HELD)


def held(count: int, **more: Any) -> list[Assignment]:
    more = {"reason": AssignmentReason.REFUSED, **more}
    return [AssignmentFactory(state=AssignmentState.HELD, **more) for _ in range(count)]


def ask(staff: StaffClient, address: str = HELD, **said: Any) -> Any:
    return staff.client.post(address, {"retry_all": "ask", **said})


def press(staff: StaffClient, form: str = "", why: str = "Mended.") -> Any:
    return ask(staff, retry_all="yes", why=why, form=form or str(uuid4()))


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
    ask(support, address, retry_all="yes", why="Mended.", form=str(uuid4()))

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
    assert counted.left_alone[decisions.IN_DOUBT] == 3
    assert counted.left_alone[decisions.EXECUTION_CANCELLED] == 2
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

    shown = ask(support, retry_all="yes", why=" ", form=form or str(uuid4()))

    assert "Say why" in shown.content.decode()
    assert not Retrial.objects.exists()


def test_a_bulk_retry_needs_the_permission(
    crm: StaffClient,
) -> None:
    held(1)

    assert "Retry all" not in crm.text(HELD)
    assert ask(crm).status_code == 403
    assert press(crm).status_code == 403
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
