from __future__ import annotations

import pytest
import requests

from promoportal import sandbox
from tests.sandbox.callers import Operator, order_of

AMOUNT = {
    "category": "Amount",
    "type": "BonusCash",
    "value": "10.00",
    "currency": "EUR",
    "unit": None,
    "tier": "Gold",
}
ORDER = {
    "customerId": "C1",
    "reward": AMOUNT,
    "uniqueCode": None,
    "promotionId": "promo-17",
    "promotionCode": "WB23",
    "occurrenceId": "7311",
    "properties": {},
}


def test_a_reward_is_credited_once_per_key(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    first = operator.reward(ORDER, key="k1")
    again = operator.reward(ORDER, key="k1")

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert len(box.credits) == 1


def test_a_credit_can_be_looked_up_by_its_key(operator: Operator) -> None:
    reference = operator.reward(ORDER, key="k1").json()

    assert operator.look_up("k1").json() == reference
    assert operator.look_up("k2").status_code == 404


def test_a_key_belongs_to_one_body_in_any_order_of_fields(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    operator.reward(ORDER, key="k1")

    reordered = operator.reward(dict(reversed(ORDER.items())), key="k1")
    other = operator.reward(ORDER | {"customerId": "C2"}, key="k1")

    assert (reordered.status_code, other.status_code) == (200, 422)
    assert len(box.credits) == 1


def test_a_double_credit_under_two_keys_stays_visible(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    for _ in range(3):
        operator.reward(ORDER)
    operator.reward(ORDER | {"customerId": "C2"})

    book = box.books().platform
    assert (book.credits, book.rewarded, book.most_per_assignment) == (4, 2, 3)
    assert [(one.customer, one.credits) for one in book.doubled] == [("C1", 3)]


def test_values_are_summed_to_the_cent_by_type_and_measure(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    spins = {"category": "Units", "type": "FreeSpins", "value": 20, "unit": "spins"}
    for value in ("0.10", 0.2, "0.70"):
        operator.reward(ORDER | {"reward": AMOUNT | {"value": value}})
    operator.reward(ORDER | {"reward": spins})

    totals = {(one.type, one.measure): one.value for one in box.books().platform.totals}
    assert totals == {("BonusCash", "EUR"): "1.00", ("FreeSpins", "spins"): "20"}


def test_a_code_is_credited_without_a_reward(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    answer = operator.reward(ORDER | {"reward": None, "uniqueCode": "U1"})

    assert answer.status_code == 201
    assert box.credits[0].unique_code == "U1"


@pytest.mark.parametrize(
    "changes",
    [
        {"customerId": None},
        {"customerId": True},
        {"promotionId": ""},
        {"occurrenceId": []},
        {"reward": None},
        {"reward": "10.00"},
        {"uniqueCode": 7},
        {"reward": AMOUNT | {"category": "Love"}},
        {"reward": AMOUNT | {"category": ["Amount"]}},
        {"reward": AMOUNT | {"value": "-1"}},
        {"reward": AMOUNT | {"value": "0.00"}},
        {"reward": AMOUNT | {"value": "1e3"}},
        {"reward": AMOUNT | {"value": True}},
        {"reward": AMOUNT | {"value": None}},
        {"reward": AMOUNT | {"type": ""}},
        {"reward": AMOUNT | {"currency": None}},
        {"reward": AMOUNT | {"category": "Units"}},
    ],
)
def test_an_invalid_order_gets_a_sentence_and_no_credit(
    box: sandbox.SandboxHandle, operator: Operator, changes: dict[str, object]
) -> None:
    answer = operator.reward(ORDER | changes)

    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert not box.credits


def test_an_order_without_a_key_gets_a_sentence_and_no_credit(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    answer = operator.reward(ORDER, key=None)

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["error"]
    assert not box.credits


@pytest.mark.parametrize("token", ["", "Bearer wrong", "desk-token", b"\xff\xfe"])
def test_a_request_without_the_token_is_refused(
    box: sandbox.SandboxHandle, token: str | bytes
) -> None:
    headers = {"Authorization": token, "Idempotency-Key": "k1"}
    url = f"{box.platform_url}/rewards"

    answer = requests.post(url, json=ORDER, headers=headers, timeout=5)

    assert answer.status_code == 401
    assert not box.credits


@pytest.mark.parametrize(
    ("capability", "credits_", "found"),
    [
        ("idempotent", 1, 200),
        ("keyed", 1, 404),
        ("askable", 2, 200),
        ("neither", 2, 404),
    ],
)
def test_the_platform_has_the_ordered_capability(
    box: sandbox.SandboxHandle,
    operator: Operator,
    capability: str,
    credits_: int,
    found: int,
) -> None:
    box.become(capability)

    operator.reward(ORDER, key="k1")
    operator.reward(ORDER, key="k1")

    assert len(box.credits) == credits_
    assert operator.look_up("k1").status_code == found


def test_a_forgotten_key_credits_again(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    operator.reward(ORDER, key="k1")

    box.forget_keys()

    assert operator.look_up("k1").status_code == 404
    assert operator.reward(ORDER, key="k1").status_code == 201
    assert box.books().platform.most_per_assignment == 2


def test_the_platform_serves_only_rewards(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    token = {"Authorization": f"Bearer {box.platform_token}"}

    def status(method: str, path: str) -> int:
        url = f"{box.platform_url}/{path}"
        answer = operator.session.request(method, url, headers=token, timeout=5)
        return answer.status_code

    assert status("GET", "rewards") == 405
    assert status("DELETE", "rewards/k1") == 405
    assert status("GET", "bonuses") == 404


def test_a_listed_reward_can_be_ordered_unchanged(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    promotions = ["promo-17", "promo-18", "promo-19"]
    occurrence = box.execute(customers=3, eligible=1, promotions=promotions)

    answers = [
        operator.reward(order_of(row, occurrence))
        for row in operator.listed(occurrence)
    ]

    assert {answer.status_code for answer in answers} == {201}
    agreement = box.books(occurrence).agreement
    assert agreement is not None
    assert set(agreement.examples) == {"unreported"}
    assert (agreement.assigned, agreement.unreported) == (9, 9)
