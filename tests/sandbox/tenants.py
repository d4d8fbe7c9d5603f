"""A small tenant in code: the contents of a scenario file in a few lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from promoportal.sandbox.engine import (
    Budget,
    Cap,
    Category,
    Comparison,
    Fixed,
    Percentage,
    Promotion,
    Reward,
    Test,
    Tier,
    UniqueCodes,
    Value,
)
from promoportal.sandbox.mails import Email
from promoportal.sandbox.scenarios.scenario import (
    Campaign,
    Scenario,
    TargetGroup,
)

SCHEDULED = 120
TRIGGERED = 121
EURO = (Category.AMOUNT, "EUR")


@dataclass(frozen=True)
class People:
    """Customers C1, C2 ...; each has deposited ten times the number."""

    ids: Sequence[str | int]

    @property
    def attributes(self) -> Sequence[str]:
        return ("deposits", "email")

    def column(self, attribute: str) -> Sequence[Value]:
        if attribute == "email":
            return [f"{one}@example.com".lower() for one in self.ids]
        return {"deposits": [10 * number for number in range(1, len(self) + 1)]}[
            attribute
        ]

    def __len__(self) -> int:
        return len(self.ids)


class Silent(People):
    """Customers without an e-mail address."""

    def column(self, attribute: str) -> Sequence[Value]:
        column = super().column(attribute)
        return [None] * len(self) if attribute == "email" else column


def people(count: int, *, numbers: bool = False) -> People:
    every = range(1, count + 1)
    return People([1_000_000 + one if numbers else f"C{one}" for one in every])


def money(value: str) -> Reward:
    return Reward(*_type("BonusCash"), Fixed(Decimal(value)))


def a_tenth_of_the_deposit() -> Reward:
    return Reward(*_type("Cashback"), Percentage(Decimal(10), "event.amount"))


def _type(name: str) -> tuple[Category, str, str]:
    return EURO[0], name, EURO[1]


def deposited(at_least: int) -> Test:
    return Test("deposits", Comparison.AT_LEAST, at_least)


def promotion(name: str = "promo-20", **changes: Any) -> Promotion:
    """Return a promotion: gold from 150 on, silver from 100 on, nothing below."""
    tiers = (
        Tier("gold", "Gold", money("25.00"), deposited(150)),
        Tier("silver", "Silver", money("10.00"), deposited(100)),
    )
    fields: dict[str, Any] = {"code": name.upper(), "name": name, "tiers": tiers}
    return Promotion(id=name, **fields | {"properties": {"days": 7}} | changes)


def cashback(**changes: Any) -> Promotion:
    tier = Tier("all", "All", a_tenth_of_the_deposit())
    return promotion("cashback", tiers=(tier,), **changes)


def budget(total: str) -> Budget:
    return Budget(*EURO, Decimal(total))


def cap(recipients: int) -> Cap:
    return Cap(recipients)


def codes(*listed: str, fallback: str | None = None) -> UniqueCodes:
    return UniqueCodes(listed, fallback)


def scenario(
    *,
    customers: int = 20,
    numbers: bool = False,
    promotions: Sequence[Promotion] = (),
    channels: tuple[int, ...] = (505,),
    group: TargetGroup | None = None,
    email: Email | None = None,
    **campaign: Any,
) -> Scenario:
    """Return a scheduled campaign (120), and one that deposits trigger (121)."""
    offered = tuple(promotions) or (promotion(),)
    group = group or TargetGroup(id=31, name="Depositors", condition=deposited(50))
    common: Mapping[str, Any] = {"target_group": group, "channels": channels}
    scheduled = Campaign(
        plan=SCHEDULED,
        name="Monthly",
        promotions=tuple(one.id for one in offered),
        email=email,
        **common,
        **campaign,
    )
    back = cashback(budget=budget("100.00"))
    triggered = Campaign(
        plan=TRIGGERED,
        name="Cashback",
        promotions=(back.id,),
        event="deposit",
        **common,
    )
    return Scenario(
        path=Path("by-hand.toml"),
        title="By hand",
        about="For tests.",
        seed=1,
        population=people(customers, numbers=numbers),
        groups=(group,),
        promotions=(*offered, back),
        campaigns=(scheduled, triggered),
    )
