"""Lists: search, filters and pages."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.utils import timezone

from executions.models import Campaign, Delivery, Execution, Trigger
from promoportal.admin.links import list_of
from redemptions.models import Redemption, RedemptionState
from rewards.models import Assignment, Promotion
from tests.factories import (
    AssignmentFactory,
    CampaignFactory,
    DeliveryFactory,
    ExecutionFactory,
    PromotionFactory,
    RedemptionFactory,
    TriggerFactory,
)
from tests.many import multiply, plan
from tests.staff_client import StaffClient


@pytest.mark.parametrize("customer", ["C1", "a b", "Ü%_'\"", "c1"])
def test_a_search_finds_exactly_the_customer(customer: str, crm: StaffClient) -> None:
    mine = AssignmentFactory(customer=customer)
    told = RedemptionFactory(assignment=mine)
    triggered = TriggerFactory(customer=customer)
    for other in (f"{customer}0", f"0{customer}", customer.swapcase() + "x", "C10"):
        RedemptionFactory(assignment=AssignmentFactory(customer=other))
        TriggerFactory(customer=other)

    assert crm.list(Assignment, q=f" {customer} ") == [mine]
    assert crm.list(Redemption, q=customer) == [told]
    assert crm.list(Trigger, q=customer) == [triggered]


def test_a_search_for_a_customer_uses_an_index(crm: StaffClient) -> None:
    mine = AssignmentFactory(customer="C1")
    told = RedemptionFactory(assignment=mine)
    multiply(
        mine,
        5_000,
        reference="'R' || n",
        customer="'other' || n",
        key="gen_random_uuid()",
    )
    others = "(SELECT id FROM rewards_assignment WHERE reference = 'R' || n)"
    multiply(told, 5_000, assignment_id=others, reference="gen_random_uuid()")

    for model, row in ((Assignment, mine), (Redemption, told)):
        found = crm.get(list_of(model, q="C1")).context["cl"]

        assert list(found.result_list) == [row]
        assert "IS NULL" not in str(found.queryset.query)
        assert "assignment_by_customer" in plan(found.queryset)


def test_a_search_is_case_sensitive(crm: StaffClient) -> None:
    AssignmentFactory(customer="abc")

    assert crm.list(Assignment, q="ABC") == []


def test_an_idempotency_key_and_a_redemption_reference_find_their_row(
    crm: StaffClient,
) -> None:
    redemption = RedemptionFactory()
    RedemptionFactory()

    assert crm.list(Redemption, q=str(redemption.reference)) == [redemption]
    key = str(redemption.assignment.key).upper()
    assert crm.list(Assignment, q=key) == [redemption.assignment]


def test_executions_campaigns_and_promotions_are_found_by_their_ids(
    crm: StaffClient,
) -> None:
    execution = ExecutionFactory(campaign=CampaignFactory(reference="7001"))
    delivery = DeliveryFactory(execution=execution)
    promotion = PromotionFactory(code="WELCOME")
    ExecutionFactory(), PromotionFactory(), DeliveryFactory()

    assert crm.list(Execution, q=execution.reference) == [execution]
    assert crm.list(Execution, q="7001") == [execution]
    assert crm.list(Delivery, q=execution.reference) == [delivery]
    assert crm.list(Promotion, q="WELCOME") == [promotion]


def test_a_list_can_be_filtered_by_a_related_row(crm: StaffClient) -> None:
    mine = RedemptionFactory()
    RedemptionFactory()
    execution, promotion = mine.execution, mine.assignment.promotion
    assert promotion

    assert crm.list(Redemption, execution=execution.pk) == [mine]
    assert crm.list(Assignment, promotion=promotion.pk) == [mine.assignment]
    text = crm.text(list_of(Assignment, execution=execution.pk))
    assert f"<strong>{execution.reference}</strong>" in text


@pytest.mark.parametrize("key", ["0", "x", "9" * 30, ""])
def test_a_filter_by_a_row_that_does_not_exist_shows_nothing(
    key: str, crm: StaffClient
) -> None:
    AssignmentFactory()

    assert crm.list(Assignment, execution=key) == []


def test_redemptions_can_be_filtered_by_reported(crm: StaffClient) -> None:
    waiting = RedemptionFactory(state=RedemptionState.WAITING)
    done = RedemptionFactory(state=RedemptionState.REPORTED)
    RedemptionFactory(state=RedemptionState.WRITTEN_OFF)

    assert crm.list(Redemption, reported="no") == [waiting]
    assert crm.list(Redemption, reported="yes") == [done]


@pytest.mark.parametrize(
    "query",
    [
        "state__exact=%00",
        "q=%00",
        "older=x",
        "newer=" + "9" * 40,
        "older=-1",
        "no_such=1",
        "created_at__gte=yesterday",
        "promotion__id__exact=x",
        "needs=nothing",
        "reported=maybe",
        "p=-3&all=1&o=1.2.-9",
        "execution=%00",
        "_facets=True",
        "state__regex=[]",
        "state__contains=O",
        "created_at__year=x",
        "id__exact=" + "9" * 5_000,
    ],
)
def test_an_invalid_query_string_gets_a_page(query: str, crm: StaffClient) -> None:
    AssignmentFactory()
    for model in (Assignment, Redemption):
        answer = crm.client.get(f"{list_of(model)}?{query}", follow=True)

        assert answer.status_code == 200


def test_the_page_of_a_missing_row_redirects_with_a_message(crm: StaffClient) -> None:
    for key in ("0", "x", "%00", "9" * 40):
        answer = crm.client.get(f"/admin/rewards/assignment/{key}/change/", follow=True)

        assert answer.status_code == 200
        (said,) = answer.context["messages"]
        assert "exist" in str(said)


# --- Pages ----------------------------------------------------------------------------


def campaigns(count: int) -> list[Campaign]:
    """Create campaigns, and return them newest first."""
    now = timezone.now()
    made = [
        Campaign(reference=f"{number}", first_seen_at=now) for number in range(count)
    ]
    return Campaign.objects.bulk_create(made)[::-1]


def pages(
    staff: StaffClient, model: type[Model], way: str, query: str
) -> list[list[Model]]:
    """Return the rows of all pages in one direction."""
    seen = []
    while query:
        changes = staff.get(f"{list_of(model)}{query}").context["cl"]
        seen.append(list(changes.result_list))
        query = getattr(changes, way)
    return seen


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_every_row_is_on_exactly_one_page_in_both_directions(
    count: int, crm: StaffClient
) -> None:
    made = campaigns(count)

    there = pages(crm, Campaign, "older_than", "?")

    assert [row for page in there for row in page] == made
    assert len(there) == max(1, -(-count // 100))
    if len(there) > 1:
        before = f"?newer={there[-1][0].pk}"
        assert pages(crm, Campaign, "newer_than", before)[::-1] == there[:-1]


def test_new_rows_do_not_shift_the_pages(crm: StaffClient) -> None:
    made = campaigns(150)
    first = crm.get(list_of(Campaign)).context["cl"]
    CampaignFactory()

    second = crm.get(f"{list_of(Campaign)}{first.older_than}").context["cl"]

    assert list(second.result_list) == made[100:]
    assert second.newer_than


def test_the_next_page_keeps_the_filters(crm: StaffClient) -> None:
    made = [
        Promotion(reference=f"{number}", redemption_mode=mode)
        for number, mode in enumerate(["off", "triggered"] * 150)
    ]
    off = Promotion.objects.bulk_create(made)[::2][::-1]

    seen = pages(crm, Promotion, "older_than", "?redemption_mode__exact=off")

    assert [row for page in seen for row in page] == off


def test_a_list_shows_the_number_of_rows_up_to_a_limit(
    crm: StaffClient,
) -> None:
    campaigns(150)
    assert "150 campaigns, 100 on this page, newest first." in _words(crm)

    Campaign.objects.all().delete()
    campaigns(10_001)
    assert "More than 10,000 campaigns, 100 on this page" in _words(crm)


def test_an_action_on_all_matching_rows_has_a_limit(operations: StaffClient) -> None:
    now = timezone.now()
    made = [
        Promotion(reference=f"{number}", first_seen_at=now) for number in range(5_002)
    ]
    Promotion.objects.bulk_create(made)

    asked = operations.post("not_at_all", made[0], select_across="1")
    said = operations.do("not_at_all", made[0], select_across="1")

    assert "More rows match than the 5,000 taken at once" in asked.content.decode()
    assert said == "5,000 promotions are not reported from now on."
    assert Promotion.objects.filter(redemption_mode="off").count() == 5_000
    assert LogEntry.objects.count() == 5_000


def _words(staff: StaffClient) -> str:
    return " ".join(staff.text(list_of(Campaign)).split())
