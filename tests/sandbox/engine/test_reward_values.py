"""Values of rewards: exact to the minor unit, without binary fractions."""

from __future__ import annotations

import decimal
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings

from promoportal.sandbox import engine
from tests.sandbox.engine import generated
from tests.sandbox.engine.generated import CHANCE
from tests.sandbox.engine.people import (
    DAY,
    UNUSED,
    allocate,
    percent,
    promotion,
    reward,
    served,
    statuses,
    tier,
    with_values,
)

MONEY, UNITS = engine.Category.AMOUNT, engine.Category.UNITS
SMALLEST = {"EUR": "0.01", "SEK": "0.01", "JPY": "1", "KWD": "0.001"}


def worth(
    size: engine.Percentage,
    value: engine.Value,
    measure: str = "EUR",
    category: engine.Category = MONEY,
) -> str:
    """Return a reward for a customer with this `x`, or the status if there is none."""
    offered = promotion(tier(gives=reward(size, measure, category)))
    (outcome,) = allocate(offered, with_values(value)).outcomes
    return outcome.status.value if outcome.value is None else str(outcome.value)


@pytest.mark.parametrize(
    ("value", "measure", "expected"),
    [
        (Decimal("0.05"), "EUR", "0.01"),
        (Decimal("0.049"), "EUR", "NotEligible"),
        (Decimal("10.25"), "EUR", "1.03"),
        (Decimal("10.35"), "EUR", "1.04"),
        (10.05, "EUR", "1.01"),
        (1.15, "EUR", "0.12"),
        (2.675, "EUR", "0.27"),
        (105, "JPY", "11"),
        (5, "JPY", "1"),
        (4.9, "JPY", "NotEligible"),
        (105, "KRW", "11"),
        (Decimal("10.005"), "KWD", "1.001"),
        (Decimal("10.004"), "BHD", "1.000"),
        (Decimal("10.0005"), "CLF", "1.0001"),
        (100, "EUR", "10.00"),
        (10**17, "EUR", "10000000000000000.00"),
    ],
)
def test_money_is_rounded_half_up_to_its_minor_unit(
    value: engine.Value, measure: str, expected: str
) -> None:
    assert worth(percent("10"), value, measure) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(25, "3"), (24.9, "2"), (5, "1"), (4, "NotEligible")]
)
def test_units_are_whole(value: engine.Value, expected: str) -> None:
    assert worth(percent("10"), value, "spins", UNITS) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (10, "5.00"),
        (49.9, "5.00"),
        (100, "10.00"),
        (250, "20.00"),
        (0, "5.00"),
        (-50, "5.00"),
        (None, "Failed"),
    ],
)
def test_a_percentage_stays_within_its_bounds(
    value: engine.Value, expected: str
) -> None:
    assert worth(percent("10", least="5", most="20"), value) == expected


def test_bounds_apply_before_rounding_and_the_maximum_last() -> None:
    assert worth(percent("10", most="1.005"), 500) == "1.01"
    assert worth(percent("10", least="0.005"), 0) == "0.01"
    assert worth(percent("10", least="9", most="8"), 50) == "8.00"


@pytest.mark.parametrize("value", [0, -50, 0.0, -0.0, Decimal("-0.01"), 1e-300])
def test_a_reward_of_zero_or_less_is_not_eligible(value: engine.Value) -> None:
    assert worth(percent("10"), value) == "NotEligible"


@pytest.mark.parametrize(
    "value",
    [
        *(None, "50", "", True, False, float("nan"), float("inf"), -float("inf")),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), DAY),
        *(1e300, Decimal("1E+99999"), 10**200),
    ],
)
def test_a_percentage_of_a_non_number_cannot_be_computed(value: engine.Value) -> None:
    assert worth(percent("10"), value) == "Failed"


def test_a_percentage_of_an_event_value_is_computed() -> None:
    offered = promotion(tier(gives=reward(percent("10", "event.deposit"))))

    found = allocate(offered, with_values(1), event={"deposit": 50})

    assert found.outcomes[0].value == 5


def test_a_fixed_reward_is_rounded_too() -> None:
    sizes = ["2.5", "0.005", "0.004", "-1", "NaN"]
    tiers = [tier(gives=reward(engine.Fixed(Decimal(size)))) for size in sizes]

    found = [allocate(promotion(each), with_values(1)) for each in tiers]

    assert [str(each.outcomes[0].value) for each in found[:2]] == ["2.50", "0.01"]
    assert [statuses(each) for each in found[2:]] == [
        ["NotEligible"],
        ["NotEligible"],
        ["Failed"],
    ]


@settings(max_examples=200, deadline=None)
@given(CHANCE)
def test_every_value_is_a_multiple_of_the_minor_unit(chance: Random) -> None:
    history = generated.history(chance)
    for step in history.steps:
        found = engine.calculate(
            history.promotion, history.population, account=UNUSED, **step._asdict()
        )
        for outcome in served(found):
            if outcome.tier is None or outcome.tier.reward is None:
                continue
            smallest = Decimal(SMALLEST.get(outcome.tier.reward.measure, "1"))
            assert outcome.value is not None
            assert outcome.value > 0
            assert outcome.value % smallest == 0
            assert outcome.value.as_tuple().exponent == smallest.as_tuple().exponent


def test_the_callers_decimal_context_has_no_effect() -> None:
    with decimal.localcontext(prec=2, rounding=decimal.ROUND_DOWN):
        assert worth(percent("10"), 12345.65) == "1234.57"
