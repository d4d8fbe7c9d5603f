"""The steps of an execution, from the campaign webhook to the webhooks to listeners."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from promoportal import sandbox
from promoportal.sandbox import Fault
from promoportal.sandbox.scenarios import Scenario, TargetGroup, load, shipped
from promoportal.sandbox.scenarios.rehearsal import rehearse
from tests.sandbox import tenants
from tests.sandbox.callers import Operator, order_of, redemption_of
from tests.sandbox.conftest import RecordingListener
from tests.sandbox.tenants import SCHEDULED, TRIGGERED

UPDATE = "/optimove/Integrations/UpdateCustomerPromotionStatus"


def begin(box: sandbox.SandboxHandle, scenario: Scenario, **options: Any) -> None:
    box.reset(sandbox.Options(scenario=scenario, **options))


def went_on(operator: Operator, occurrence: str) -> list[str]:
    path = "Customers/GetCustomerExecutionDetailsByCampaign"
    query = {"CampaignID": occurrence, "ChannelID": 505}
    return [row["CustomerID"] for row in operator.ask(path, params=query).json()]


def test_a_scheduled_campaign_assigns_what_the_engine_calculates(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    begin(box, tenants.scenario())

    done = box.campaign(SCHEDULED)

    rows = operator.listed(done["occurrence"])
    tiers = {row["customerId"]: (row["reward"] or {}).get("tierName") for row in rows}
    assert list(tiers) == [f"C{number}" for number in range(5, 21)]
    assert [name for name, tier in tiers.items() if tier == "Silver"] == [
        f"C{number}" for number in range(10, 15)
    ]
    assert done["statuses"] == {"Assigned": 11, "NotEligible": 5}
    assert done["series"] == str(SCHEDULED)


def test_the_demo_campaign_assigns_as_much_each_time(
    box: sandbox.SandboxHandle,
) -> None:
    begin(box, load("welcome_back"))

    assigned = []
    for _ in range(3):
        before = box.promotion("promo-17")
        box.campaign(SCHEDULED)
        after = box.promotion("promo-17")
        assigned.append(
            (after["recipients"] - before["recipients"], _codes_left(after))
        )

    assert [recipients for recipients, _ in assigned] == [338, 338, 338]
    assert all(left > 0 for _, left in assigned)
    assert box.promotion("promo-18")["recipients"] == 500


def test_a_row_has_the_fields_of_customer_assignment(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    begin(box, tenants.scenario())

    occurrence = box.campaign(SCHEDULED)["occurrence"]

    row = operator.listed(occurrence)[-1]
    assert row.pop("assignedAt")
    assert row == {
        "assignmentId": f"{occurrence}-10",
        "customerId": "C20",
        "promotionId": "promo-20",
        "promotionCode": "PROMO-20",
        "status": "Assigned",
        "reward": {
            "tierId": "gold",
            "tierName": "Gold",
            "category": "Amount",
            "type": "BonusCash",
            "value": "25.00",
            "currency": "EUR",
        },
        "uniqueCode": None,
        "properties": {"days": 7},
    }


def test_internal_calls_do_not_count_against_the_rate_limit(
    box: sandbox.SandboxHandle,
) -> None:
    begin(box, tenants.scenario())

    box.campaign(SCHEDULED)

    calls = [(call.side, call.method, call.path, call.status) for call in box.calls]
    assert calls == [
        ("inside", "POST", "campaignWebhook", 200),
        ("inside", "POST", UPDATE.removeprefix("/optimove/"), 200),
    ]
    assert box.rate.total == 0


def test_only_optimove_can_make_internal_calls(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    begin(box, tenants.scenario())
    occurrence = box.campaign(SCHEDULED)["occurrence"]
    body = {"CampaignID": occurrence}

    for headers in ({}, {"X-Inside": "guess"}, {"X-API-KEY": box.api_key}):
        url = f"{box.url}/inside/campaignWebhook"
        answer = requests.post(url, json=body, headers=headers, timeout=5)
        assert answer.status_code == 404
    assert operator.post("inside/campaignWebhook", body).status_code == 404


def test_only_customers_with_a_reward_remain(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    begin(box, tenants.scenario())

    done = box.campaign(SCHEDULED)

    assert went_on(operator, done["occurrence"]) == [
        f"C{number}" for number in range(10, 21)
    ]
    assert (done["targeted"], done["went_on"]) == (16, 11)


def test_the_remaining_customers_are_listed_with_their_codes(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    spins = tenants.promotion("spins")
    begin(box, tenants.scenario(promotions=[tenants.promotion(), spins]))
    occurrence = box.campaign(SCHEDULED)["occurrence"]
    path = "current/customers/getcustomerexecutiondetailsbycampaign"

    page = operator.ask(
        path, params={"campaignid": occurrence, "channelid": 505, "$top": 1, "$skip": 1}
    )

    (row,) = page.json()
    assert (
        row
        | {
            "CustomerID": "C11",
            "ActionID": 2,
            "PromoCode": "PROMO-20,SPINS",
            "TemplateName": "Monthly",
        }
        == row
    )


def test_a_customer_who_is_not_reported_counts_as_false(
    box: sandbox.SandboxHandle, operator: Operator, listener: RecordingListener
) -> None:
    begin(box, tenants.scenario())
    box.register(13, listener.url)
    box.order(Fault(kind="error_before", side="inside", route=f"POST {UPDATE[10:]}"))

    done = box.campaign(SCHEDULED)

    assert went_on(operator, done["occurrence"]) == []
    assert done["statuses"]["Assigned"] == 11
    assert "returned the status 500" in done["problem"]
    assert len(box.wait_for_notices(1)) == 1


def test_without_the_campaign_webhook_nothing_is_assigned(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    begin(box, tenants.scenario())
    box.order(Fault(kind="lost_answer", side="inside", route="POST campaign*"))
    box.order(Fault(kind="reset", side="inside", route="POST campaign*"))

    lost, reset = box.campaign(SCHEDULED), box.campaign(SCHEDULED)

    assert reset["statuses"] == {}
    assert reset["went_on"] == lost["went_on"] == 0
    assert "No response from /inside/campaignWebhook" in lost["problem"]


def test_faults_for_the_tenant_do_not_strike_internal_calls(
    box: sandbox.SandboxHandle,
) -> None:
    begin(box, tenants.scenario())
    box.order(Fault(kind="error_before"))
    box.order(Fault(kind="error_before", side="optimove"))

    done = box.campaign(SCHEDULED)

    assert (done["went_on"], len(box.faults)) == (11, 2)


def test_the_webhook_is_the_last_step_once_for_each_channel(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    begin(box, tenants.scenario(channels=(504, 505)))
    box.register(13, listener.url)

    done = box.campaign(SCHEDULED)

    box.wait_for_notices(2)
    assert sorted(str(body["ChannelID"]) for body in listener.received) == [
        "504",
        "505",
    ]
    assert {body["CampaignID"] for body in listener.received} == {
        int(done["occurrence"])
    }
    assert [step["name"] for step in done["steps"]] == [
        "Campaign webhook",
        "Calculate and allocate",
        "Update customer status",
        "Webhooks",
    ]


def test_an_event_triggers_a_campaign_with_its_values(
    box: sandbox.SandboxHandle, operator: Operator, listener: RecordingListener
) -> None:
    begin(box, tenants.scenario())
    box.register(11, listener.url)

    (done,) = box.event("deposit", ["C7", "C3", "C8"], amount=50)

    box.wait_for_notices(2)
    rows = operator.listed(done["occurrence"])
    assert [row["customerId"] for row in rows] == ["C7", "C8"]
    assert {row["reward"]["value"] for row in rows} == {"5.00"}
    received = [
        {name.lower(): one for name, one in body.items()} for body in listener.received
    ]
    assert sorted(str(one["customerid"]) for one in received) == ["C7", "C8"]
    assert {one["event_amount"] for one in received} == {50}
    assert {one["campaignid"] for one in received} == {done["occurrence"]}
    assert (done["triggered"], done["plan"]) == (True, TRIGGERED)


def test_no_webhook_is_sent_for_a_customer_who_got_nothing(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    begin(box, tenants.scenario())
    box.register(11, listener.url)
    box.event("deposit", ["C7"], amount=1000)

    (done,) = box.event("deposit", ["C8"], amount=1000)

    assert done["statuses"] == {"BudgetExceeded": 1}
    assert len(box.wait_for_notices(1)) == 1


def test_a_range_gives_each_customer_another_value(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    begin(box, tenants.scenario())

    (done,) = box.event("deposit", 20, amount=(20, 60))

    values = [
        Decimal(r["reward"]["value"]) for r in operator.listed(done["occurrence"])
    ]
    assert len(values) == 16
    assert len(set(values)) > 8
    assert all(2 <= value <= 6 for value in values)


def test_simultaneous_events_never_assign_more_than_the_budget(
    box: sandbox.SandboxHandle,
) -> None:
    begin(box, tenants.scenario(customers=60))
    done: list[dict[str, Any]] = []

    def deposit(number: int) -> None:
        done.extend(box.event("deposit", [f"C{number}"], amount=70))

    threads = [threading.Thread(target=deposit, args=(one,)) for one in range(20, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assigned = sum(one["statuses"].get("Assigned", 0) for one in done)
    promotion = box.promotion("cashback")
    assert (len(done), assigned) == (30, 14)
    assert promotion["budget"]["spent"] == "98.00"
    assert promotion["recipients"] == 14


def test_caps_and_codes_count_over_all_executions(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    offer = tenants.promotion(
        cap=tenants.cap(14), unique_codes=tenants.codes("A", "B", fallback="ALL")
    )
    begin(box, tenants.scenario(promotions=[offer]))

    first, second = box.campaign(SCHEDULED), box.campaign(SCHEDULED)

    rows = operator.listed(first["occurrence"]) + operator.listed(second["occurrence"])
    assigned = sorted(row["uniqueCode"] for row in rows if row["status"] == "Assigned")
    assert assigned == ["A", *["ALL"] * 12, "B"]
    assert second["statuses"]["AudienceCapReached"] == 8
    promotion = box.promotion("promo-20")
    assert promotion["cap"] == {"recipients": 14, "timeframe": "lifetime", "used": 14}
    assert promotion["codes"] == {"total": 2, "used": 2, "fallback": "ALL"}


def test_only_active_promotions_assign_rewards(box: sandbox.SandboxHandle) -> None:
    begin(box, tenants.scenario())

    box.promotion("promo-20", "deactivate")
    without = box.campaign(SCHEDULED)
    box.promotion("promo-20", "activate")
    again = box.campaign(SCHEDULED)

    assert without["statuses"] == {"NotEligible": 16}
    assert again["statuses"]["Assigned"] == 11


def test_an_execution_is_reproducible(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    few = tenants.scenario(promotions=[tenants.promotion(cap=tenants.cap(3))])

    def chosen() -> list[str]:
        return went_on(operator, box.campaign(SCHEDULED)["occurrence"])

    begin(box, few)
    first = chosen()
    begin(box, few)
    second = chosen()

    assert first == second
    assert len(first) == 3


def test_customer_ids_may_be_numbers(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    begin(box, tenants.scenario(numbers=True))

    occurrence = box.campaign(SCHEDULED)["occurrence"]

    (row,) = operator.listed(occurrence, customerIds=[1_000_020])
    assert row["customerId"] == 1_000_020
    assert isinstance(row["assignmentId"], int)
    assert operator.redeem(redemption_of(row, occurrence)).json() == {
        "status": "Accepted"
    }


def test_a_target_group_may_be_a_list(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    group = TargetGroup(id=32, name="Few", members=["C20", "C404", "C2"])
    begin(box, tenants.scenario(group=group))

    occurrence = box.campaign(SCHEDULED)["occurrence"]
    (deposited,) = box.event("deposit", ["C2", "C3"], amount=10)

    listed = [row["customerId"] for row in operator.listed(occurrence)]
    assert listed == ["C2", "C20"]
    assert deposited["targeted"] == 1
    details = operator.ask(f"Actions/GetCampaignDetails?CampaignID={occurrence}")
    assert details.json()["TargetGroupID"] == 32


def test_calculated_rows_are_paged_reported_changed_and_cancelled_like_others(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    begin(box, tenants.scenario(), page_size=3)
    occurrence = box.campaign(SCHEDULED)["occurrence"]
    pages = list(operator.pages(occurrence))
    rows = [row for page in pages for row in page["assignments"]]
    for row in rows[5:]:
        operator.reward(order_of(row, occurrence))
        operator.redeem(redemption_of(row, occurrence))

    agreement = box.books(occurrence).agreement
    assert agreement is not None
    assert (agreement.assigned, agreement.examples) == (11, {})
    assert len(rows) == len({row["assignmentId"] for row in rows}) == 16

    box.change(occurrence, rows[6]["assignmentId"], status="Failed")
    box.unlist(occurrence, rows[7]["assignmentId"])
    box.cancel(occurrence, relist=True)

    left = operator.listed(occurrence)
    assert [row["assignmentId"] for row in left] == [
        row["assignmentId"] for row in rows if row is not rows[7]
    ]
    assert [row["status"] for row in left[5:8]] == ["Cancelled", "Failed", "Cancelled"]
    assert operator.listed(occurrence, customerIds=[rows[7]["customerId"]]) == []


def test_a_promotion_has_a_redemption_rate(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    begin(box, tenants.scenario())
    occurrence = box.campaign(SCHEDULED)["occurrence"]
    row = operator.listed(occurrence)[-1]

    operator.redeem(redemption_of(row, occurrence))

    promotion = box.promotion("promo-20")
    assert (promotion["recipients"], promotion["redeemed"]) == (11, 1)
    assert promotion["redemption_rate"] == pytest.approx(1 / 11)


def test_a_campaign_runs_at_its_time(box: sandbox.SandboxHandle) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=0.4)).time()
    begin(box, tenants.scenario(at=soon))

    before = sum(call.path == "campaignWebhook" for call in box.calls)
    until = time.monotonic() + 5
    while not box.calls and time.monotonic() < until:
        time.sleep(0.02)

    assert before == 0
    assert box.calls[0].path == "campaignWebhook"


def test_a_long_calculation_does_not_block_other_requests(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    everyone = TargetGroup(id=1, name="All")
    begin(box, tenants.scenario(customers=60_000, group=everyone))
    slowest = 0.0
    with in_a_thread(lambda: box.campaign(SCHEDULED)) as running:
        while running.is_alive():
            began = time.perf_counter()
            assert operator.look_up("k1").status_code == 404
            slowest = max(slowest, time.perf_counter() - began)

    (steps,) = [
        one["steps"] for one in operator.control("GET", "").json()["occurrences"]
    ]
    took = sum(step["seconds"] for step in steps)
    assert slowest < took / 2


@contextmanager
def in_a_thread(work: Any) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    thread.join()


def test_a_failed_calculation_does_not_block_the_campaign(
    box: sandbox.SandboxHandle,
) -> None:
    begin(box, tenants.scenario(promotions=[tenants.promotion()]))
    broken = tenants.scenario()
    begin(box, replace_promotions(broken))

    done = box.campaign(SCHEDULED)

    assert done["problem"].startswith("Promotions failed")
    assert done["went_on"] == 0


def replace_promotions(scenario: Scenario) -> Scenario:
    """Return a scenario with a campaign that names a missing promotion."""
    return replace(scenario, promotions=())


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (lambda box: box.campaign(404), "no campaign 404"),
        (lambda box: box.campaign(TRIGGERED), 'triggered by the event "deposit"'),
        (lambda box: box.event("dance"), 'triggered by the event "dance"'),
        (lambda box: box.event("deposit", ["C404"]), "no customer C404"),
        (lambda box: box.promotion("promo-404"), "no promotion 'promo-404'"),
        (lambda box: box.promotion("promo-20", "eat"), "do must be one of"),
        (lambda box: box.promotion("promo-20", "archive"), "cannot become Archived"),
    ],
)
def test_an_impossible_order_is_refused_with_a_sentence(
    box: sandbox.SandboxHandle, order: Any, sentence: str
) -> None:
    begin(box, tenants.scenario())

    with pytest.raises(ValueError, match=sentence):
        order(box)


def test_without_a_scenario_there_is_no_tenant(box: sandbox.SandboxHandle) -> None:
    with pytest.raises(ValueError, match="No scenario is loaded"):
        box.campaign(SCHEDULED)


# --- Dry runs -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_an_execution_equals_its_dry_run(box: sandbox.SandboxHandle, name: str) -> None:
    scenario = load(name, customers=600)
    day = datetime.now(UTC).date()
    rehearsed = rehearse(scenario, day=day)
    begin(box, scenario)

    happened = [
        box.campaign(one.campaign.plan, announce=False)
        for one in rehearsed.campaigns
        if not one.campaign.is_triggered
    ]
    for event in scenario.events:
        happened += box.event(event.name, announce=False)

    statuses = {
        one.campaign.plan: sum((each.statuses for each in one.promotions), Counter())
        for one in rehearsed.campaigns
    }
    assert {one["plan"]: one["statuses"] for one in happened} == statuses
    for promotion, account in rehearsed.accounts.items():
        offer = box.promotion(promotion)
        assert offer["recipients"] == account.recipients
        spent = offer["budget"] and offer["budget"]["spent"]
        assert spent in (None, str(account.spent))


def _codes_left(promotion: dict[str, Any]) -> int:
    return int(promotion["codes"]["total"] - promotion["codes"]["used"])
