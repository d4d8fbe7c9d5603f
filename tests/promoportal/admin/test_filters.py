"""Filters of lists by days, campaigns and tiers, and invalid filters."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.utils.timezone import localdate, make_aware

from executions.admin.campaign_filter import MAX_EXECUTIONS
from executions.models import Delivery, Execution, Trigger
from promoportal.admin.date_filter import SLACK
from promoportal.admin.links import list_of
from redemptions.models import Redemption, Report
from rewards.models import Assignment, AssignmentState
from tests.factories import (
    AssignmentFactory,
    CampaignFactory,
    ExecutionFactory,
    RedemptionFactory,
)
from tests.many import multiply
from tests.staff_client import StaffClient

TODAY = localdate()
NO_DELAY = timedelta()
MOMENT = timedelta(seconds=1)


def listed(days_ago: int, later: timedelta = NO_DELAY, **more: Any) -> Assignment:
    """Create an assignment that was listed some days ago; create the oldest first."""
    midnight = make_aware(datetime.combine(TODAY - timedelta(days=days_ago), time.min))
    return AssignmentFactory(created_at=midnight + later, **more)


def day(days_ago: int) -> str:
    return f"{TODAY - timedelta(days=days_ago):%Y-%m-%d}"


# --- Days -----------------------------------------------------------------------------


def test_a_filter_by_days_begins_and_ends_at_midnight(crm: StaffClient) -> None:
    before = listed(4, -MOMENT)
    first, last = listed(4), listed(3, -MOMENT)
    second, after = listed(3), listed(2)

    assert crm.list(Assignment, **{"from": day(4), "to": day(4)}) == [last, first]
    assert crm.list(Assignment, **{"from": day(3)}) == [after, second]
    assert crm.list(Assignment, to=day(4)) == [last, first, before]
    assert crm.list(Assignment, **{"from": day(4), "to": ""}) == [
        *(after, second, last, first)
    ]


def test_a_filter_by_days_allows_for_keys_that_are_slightly_out_of_order(
    crm: StaffClient,
) -> None:
    late, early = listed(3), listed(3, -MOMENT)
    for seconds in (3, 1, 2):
        listed(3, seconds * MOMENT)

    assert SLACK > 3 * MOMENT
    assert crm.list(Assignment, to=day(4)) == [early]
    assert late in crm.list(Assignment, **{"from": day(3)})
    assert early not in crm.list(Assignment, **{"from": day(3)})


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 50])
def test_a_day_is_found_among_any_number_of_rows(count: int, crm: StaffClient) -> None:
    made = [listed(days_ago) for days_ago in range(count, 0, -1)]

    for days_ago in range(count + 2):
        found = crm.list(Assignment, **{"from": day(days_ago), "to": day(days_ago)})
        assert found == [row for row in made if count - made.index(row) == days_ago]


def test_named_days_can_be_combined_with_other_filters(crm: StaffClient) -> None:
    execution = ExecutionFactory()
    old = listed(300, execution=execution, state="HELD")
    week = listed(6, execution=execution, state="HELD")
    other, yesterday = listed(6, execution=execution), listed(1)
    now = listed(0, execution=execution)

    assert crm.list(Assignment, days="today") == [now]
    assert crm.list(Assignment, days="week") == [now, yesterday, other, week]
    assert crm.list(Assignment, days="yesterday") == [yesterday]
    assert old not in crm.list(Assignment, execution=execution.pk, days="week")
    here = {"execution": execution.pk, "state__exact": "HELD"}
    assert crm.list(Assignment, **here, days="week") == [week]
    assert crm.list(Assignment, **here, to=day(100)) == [old]


def test_the_selected_days_are_shown_and_other_filters_are_kept(
    crm: StaffClient,
) -> None:
    listed(3, state="HELD")
    here = list_of(Assignment, state__exact="HELD", **{"from": day(3), "to": day(2)})

    text = crm.text(here)

    assert f"from {day(3)} to {day(2)}" in text
    assert '<input type="hidden" name="state__exact" value="HELD">' in text


@pytest.mark.parametrize("model", [Redemption, Report, Delivery, Execution, LogEntry])
def test_every_list_with_a_date_filter_accepts_days(
    model: type[Model], superuser: StaffClient
) -> None:
    RedemptionFactory()

    for narrowed in ({"days": "today"}, {"from": day(9), "to": day(8)}):
        assert superuser.get(list_of(model, **narrowed)).status_code == 200
    assert superuser.list(Execution, days="today") == list(
        Execution.objects.order_by("-pk")
    )


# --- Campaigns ------------------------------------------------------------------------


def test_a_filter_by_campaign_finds_the_rows_of_all_its_executions(
    crm: StaffClient,
) -> None:
    campaign = CampaignFactory()
    first, second = ExecutionFactory.create_batch(2, campaign=campaign)
    mine = [AssignmentFactory(execution=one) for one in (first, second, first)]
    held = AssignmentFactory(execution=second, state="HELD")
    told = RedemptionFactory(assignment=mine[0])
    RedemptionFactory()

    assert crm.list(Assignment, campaign=campaign.pk) == [held, *mine[::-1]]
    assert crm.list(Assignment, campaign=campaign.pk, state__exact="HELD") == [held]
    assert crm.list(Assignment, campaign=campaign.pk, execution=second.pk) == [
        *(held, mine[1])
    ]
    assert crm.list(Redemption, campaign=campaign.pk) == [told]
    assert crm.list(Assignment, campaign=CampaignFactory().pk) == []


def test_a_list_filtered_by_campaign_has_pages_and_an_export(crm: StaffClient) -> None:
    campaign = CampaignFactory()
    for number in range(3):
        row = AssignmentFactory(execution__campaign=campaign)
        multiply(
            row,
            80,
            reference=f"'{number}/' || n",
            customer=f"'{number}/' || n",
            key="gen_random_uuid()",
        )
        AssignmentFactory()
    rows = Assignment.objects.filter(execution__campaign=campaign).order_by("-pk")
    here = list_of(Assignment, campaign=campaign.pk)

    seen, query = [], here
    while query != list_of(Assignment):
        page = crm.get(query).context["cl"]
        seen += page.result_list
        assert page.result_count == 243
        query = list_of(Assignment) + page.older_than
    back = crm.get(f"{here}&newer={seen[200].pk}").context["cl"]
    answer: Any = crm.client.post(here, {"export": "csv"})

    assert seen == list(rows)
    assert list(back.result_list) == seen[100:200]
    assert len(b"".join(answer.streaming_content).splitlines()) == 244


def test_a_filter_by_campaign_is_limited_to_the_newest_executions(
    crm: StaffClient,
) -> None:
    campaign = CampaignFactory()
    old, *_ = ExecutionFactory.create_batch(MAX_EXECUTIONS + 1, campaign=campaign)
    AssignmentFactory(execution=old)

    assert crm.list(Assignment, campaign=campaign.pk) == []
    text = crm.text(list_of(Assignment, campaign=campaign.pk))
    assert f"the campaign's newest {MAX_EXECUTIONS} executions" in text


# --- Tiers ----------------------------------------------------------------------------


def test_a_filter_by_tier_works_within_an_execution_or_a_campaign(
    crm: StaffClient,
) -> None:
    execution = ExecutionFactory()
    gold, silver = (
        AssignmentFactory(execution=execution, reward={"type": "Cash", "tier": tier})
        for tier in ("Gold", "Silver")
    )
    AssignmentFactory(execution=execution, reward=None)
    AssignmentFactory(reward={"type": "Cash", "tier": "Bronze"})

    for here in ({"execution": execution.pk}, {"campaign": execution.campaign_id}):
        text = crm.text(list_of(Assignment, **here))
        assert "tier=Gold" in text
        assert "tier=Silver" in text
        assert "Bronze" not in text
        assert crm.list(Assignment, **here, tier="Silver") == [silver]
    assert crm.list(Assignment, execution=execution.pk, tier="Gold") == [gold]


def test_a_filter_by_tier_alone_is_explained(
    crm: StaffClient,
) -> None:
    row = AssignmentFactory()

    assert "an execution or a campaign first" in explanation(crm, tier="Gold")
    assert "has the tier “Tin”" in explanation(
        crm, execution=row.execution_id, tier="Tin"
    )


# --- Invalid filters ------------------------------------------------------------------


def explanation(
    staff: StaffClient, model: type[Model] = Assignment, **narrowed: Any
) -> str:
    """Return the text of a list that shows no rows because of an invalid filter."""
    assert staff.list(model, **narrowed) == []
    text = staff.text(list_of(model, **narrowed))
    assert "So nothing is shown." in text
    assert "show all" in text
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("narrowed", "sentence"),
    [
        ({"state__exact": "FOO"}, "“FOO” is nothing to choose for “state”."),
        ({"reason__exact": "x"}, "“x” is nothing to choose for “reason”."),
        ({"doubtful__exact": "2"}, "“2” is nothing to choose for “doubtful”."),
        ({"needs": "nothing"}, "“nothing” is nothing to choose for “what needs a"),
        ({"execution": "x"}, "The execution that this list was narrowed to is not"),
        ({"campaign": "9" * 30}, "The campaign that this list was narrowed to is not"),
        ({"promotion": ""}, "The promotion that this list was narrowed to is not"),
        ({"from": "yesterday"}, f"“yesterday” is no day: write one as {TODAY}."),
        ({"to": "2026-02-30"}, "“2026-02-30” is no day"),
        ({"to": "9999-12-31"}, "“9999-12-31” is no day"),
        ({"from": "2026-02-03", "to": "2026-02-01"}, "The days end before they begin."),
        ({"days": "someday"}, "“someday” is nothing to choose for “days it was"),
        ({"no_such": "1"}, "This list is not narrowed by “no_such”."),
        ({"id__exact": "1"}, "This list is not narrowed by “id__exact”."),
        ({"execution__campaign__reference": "7"}, "This list is not narrowed by “exec"),
        ({"saved": "7"}, "This list is not narrowed by “saved”."),
        ({"state__exact": "\0"}, "a character that no id and no name has"),
        ({"q": "\0"}, "a character that no id and no name has"),
        ({"q": "C" * 500}, "is longer than anything that could be found."),
        ({"execution": "9" * 5_000}, "is longer than anything that could be found."),
        ({"older": "x"}, "“x” is no place in this list."),
    ],
)
def test_an_invalid_filter_is_explained_and_shows_no_rows(
    narrowed: dict[str, Any], sentence: str, crm: StaffClient
) -> None:
    AssignmentFactory(state=AssignmentState.HELD, reason="REFUSED")

    assert sentence in explanation(crm, **narrowed)
    assert sentence in explanation(crm, **{"state__exact": "HELD", **narrowed})


@pytest.mark.parametrize(
    ("model", "narrowed"),
    [
        (Redemption, {"reported": "maybe"}),
        (LogEntry, {"user__id__exact": "x"}),
        (LogEntry, {"content_type__id__exact": "0"}),
        (Report, {"is_batch__exact": "perhaps"}),
        (Execution, {"campaign": "0"}),
        (Trigger, {"execution": "0"}),
    ],
)
def test_every_list_explains_an_invalid_filter(
    model: type[Model], narrowed: dict[str, Any], superuser: StaffClient
) -> None:
    RedemptionFactory()

    explanation(superuser, model, **narrowed)


def test_an_action_on_all_matches_of_an_invalid_filter_changes_nothing(
    operations: StaffClient,
) -> None:
    row = AssignmentFactory(state=AssignmentState.HELD, reason="REFUSED")

    told = operations.do(
        "write_off", row, select_across="1", at=list_of(Assignment, state__exact="FOO")
    )

    assert told == "Nothing was done: choose at least one row."
    row.refresh_from_db()
    assert row.state == AssignmentState.HELD
