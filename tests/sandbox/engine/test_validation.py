"""Mistakes in promotions: each has a path, and a sentence that says what to do."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given

from promoportal.sandbox import engine
from tests.sandbox.engine import generated
from tests.sandbox.engine.generated import CHANCE
from tests.sandbox.engine.people import budget, euros, percent, promotion, reward, tier

MONEY, UNITS = engine.Category.AMOUNT, engine.Category.UNITS
C = engine.Comparison


def fixed(size: str, measure: str, category: engine.Category = MONEY) -> engine.Tier:
    return tier(gives=reward(engine.Fixed(Decimal(size)), measure, category))


def part(size: str, of: str = "x", **bounds: str) -> engine.Tier:
    return tier(gives=reward(percent(size, of, **bounds)))


def asks(comparison: C, wanted: Any, attribute: str = "x") -> engine.Tier:
    return tier(condition=engine.Test(attribute, comparison, wanted))


def test_a_correct_promotion_has_no_mistakes() -> None:
    nested = engine.Any((engine.All((engine.Test("vip", C.IS, True),)),))
    sound = promotion(
        tier("gold", reward(percent("10", least="5", most="100")), nested),
        tier("silver", euros("2.50"), engine.Test("country", C.NONE_OF, ("MT", "DE"))),
        tier("code only"),
        budget=budget("5000"),
        cap=engine.Cap(1, engine.Timeframe.DAILY),
        sorting=engine.Sorting("deposits"),
        unique_codes=engine.UniqueCodes(["U1", "U2"], "ANY"),
    )

    assert engine.mistakes(sound) == []
    assert engine.mistakes(promotion(fixed("20", "spins", UNITS))) == []
    assert engine.mistakes(promotion(fixed("0.005", "KWD"))) == []


REWARD = ("tiers", 0, "reward")
WANTED = ("tiers", 0, "condition", "wanted")


@pytest.mark.parametrize(
    ("tiers", "where", "sentence"),
    [
        ([fixed("0", "EUR")], (*REWARD, "value"), "The value is 0. It must be more"),
        ([fixed("-5", "EUR")], (*REWARD, "value"), "more than 0"),
        ([fixed("0.004", "EUR")], (*REWARD, "value"), "multiple of 0.01"),
        ([fixed("1E+60", "EUR")], (*REWARD, "value"), "multiple of 0.01"),
        ([fixed("10.5", "JPY")], (*REWARD, "value"), "smallest unit of JPY is 1"),
        ([fixed("2.5", "spins", UNITS)], (*REWARD, "value"), "multiple of 1"),
        ([fixed("5", "eur")], (*REWARD, "measure"), 'Unknown currency "eur"'),
        ([fixed("5", "Euro")], (*REWARD, "measure"), "an ISO 4217 code"),
        ([part("0")], (*REWARD, "percent"), "The percentage is 0"),
        ([part("-10")], (*REWARD, "percent"), "more than 0"),
        ([part("1001")], (*REWARD, "percent"), "more than 10 times"),
        ([part("10", "")], (*REWARD, "attribute"), "no base attribute"),
        ([part("10", "event.")], (*REWARD, "attribute"), "no base attribute"),
        ([part("10", least="-1")], (*REWARD, "minimum"), "more than 0"),
        ([part("10", most="0")], (*REWARD, "maximum"), "more than 0"),
        ([part("10", most="1.005")], (*REWARD, "maximum"), "multiple of 0.01"),
        (
            [tier("a"), tier("b"), tier("a")],
            ("tiers", 2, "id"),
            'Tier 1 also has the ID "a"',
        ),
        ([asks(C.IS, None)], WANTED, "matches no customer"),
        ([asks(C.ABOVE, float("nan"))], WANTED, "matches no customer"),
        ([asks(C.ONE_OF, ())], WANTED, "list of values is empty"),
        ([asks(C.NONE_OF, ("a", 1))], WANTED, "values of one type"),
        ([asks(C.ONE_OF, (None,))], WANTED, "matches no customer"),
        ([asks(C.ABOVE, True)], (*WANTED[:-1], "comparison"), "with a boolean"),
        ([asks(C.IS, 1, "event.")], (*WANTED[:-1], "attribute"), "no attribute"),
        (
            [tier(condition=engine.All((engine.EVERYONE, asks(C.IS, None).condition)))],
            ("tiers", 0, "condition", "branches", 1, "wanted"),
            "matches no customer",
        ),
    ],
)
def test_a_mistake_in_a_tier_has_a_path_and_a_sentence(
    tiers: list[engine.Tier], where: engine.Where, sentence: str
) -> None:
    (mistake,) = engine.mistakes(promotion(*tiers))

    assert mistake.where == where
    assert sentence in mistake.sentence
    assert mistake.sentence.endswith(".")


@pytest.mark.parametrize(
    ("limits", "where", "sentence"),
    [
        ({"budget": budget("0")}, ("budget", "total"), "more than 0"),
        ({"budget": budget("0.001")}, ("budget", "total"), "multiple of 0.01"),
        (
            {"budget": budget("50", "SEK")},
            (*REWARD, "measure"),
            "gives EUR, but the budget counts SEK. Use the same currency",
        ),
        (
            {"budget": engine.Budget(UNITS, "EUR", Decimal(50))},
            (*REWARD, "category"),
            "gives money, but the budget counts units",
        ),
        (
            {"sorting": engine.Sorting("event.deposit")},
            ("sorting", "attribute"),
            "an attribute of the customers",
        ),
        (
            {"unique_codes": engine.UniqueCodes(["A"], "A")},
            ("unique_codes", "fallback"),
            "is also a unique code",
        ),
    ],
)
def test_a_mistake_in_a_limit_has_a_path_and_a_sentence(
    limits: dict[str, Any], where: engine.Where, sentence: str
) -> None:
    (mistake,) = engine.mistakes(promotion(tier(gives=euros("5")), **limits))

    assert mistake.where == where
    assert sentence in mistake.sentence
    assert mistake.sentence.endswith(".")


def test_a_code_with_a_comma_is_a_mistake() -> None:
    (mistake,) = engine.mistakes(
        engine.Promotion(id="1", code="A,B", name="Two", tiers=(tier(),))
    )

    assert mistake.where == ("code",)


def test_a_budget_without_rewards_is_a_mistake() -> None:
    (mistake,) = engine.mistakes(promotion(tier(), budget=budget("5")))

    assert mistake.where == ("budget",)


def test_a_condition_of_a_target_group_is_checked_too() -> None:
    condition = engine.Any((engine.Test("x", C.IS, None),))

    (mistake,) = engine.mistakes_in(condition, ("target_groups", "vip"))

    assert mistake.where == ("target_groups", "vip", "branches", 0, "wanted")


@given(CHANCE)
def test_every_generated_promotion_can_be_checked(chance: Random) -> None:
    for where, sentence in engine.mistakes(generated.promotion(chance)):
        assert where
        assert sentence.endswith(".")
