"""The promotions for executions without a scenario."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from promoportal.sandbox.optimove.weighted_outcomes import Promotion, Reward, Tier

MONEY = {"category": "Amount", "type": "BonusCash", "currency": "EUR"}
_SPINS = {"category": "Units", "type": "FreeSpins", "unit": "spins"}


def reward(tier: str, value: str, what: Mapping[str, str] = MONEY) -> Reward:
    return {"tierId": tier.lower(), "tierName": tier, **what, "value": value}


WELCOME = Promotion(
    id="promo-17",
    code="WB23",
    name="Welcome back",
    tiers=(
        Tier(reward("Gold", "25.00"), at_least=300),
        Tier(reward("Silver", "10.00"), at_least=100),
        Tier(reward("Bronze", "2.50")),
    ),
    properties={"wageringMultiplier": 10, "expiryDays": 7},
)
SPINS = Promotion(
    id="promo-18",
    code="SPIN50",
    name="Weekend spins",
    tiers=(
        Tier(reward("High", "50", _SPINS), at_least=200),
        Tier(reward("Low", "20", _SPINS)),
    ),
    properties={"game": "fruits", "expiryDays": 2},
)
VOUCHER = Promotion(
    id="promo-19",
    code="TENOFF",
    name="Ten per cent off",
    tiers=(Tier(None),),
    unique_codes=True,
)
CATALOGUE: Mapping[str, Promotion] = {
    promotion.id: promotion for promotion in (WELCOME, SPINS, VOUCHER)
}


def chosen(promotions: Iterable[str | Promotion]) -> tuple[Promotion, ...]:
    """Return promotions. Each argument is a promotion, or an ID in the catalogue."""
    return tuple(
        item if isinstance(item, Promotion) else _known(item) for item in promotions
    )


def _known(name: str) -> Promotion:
    if name not in CATALOGUE:
        msg = f"There is no promotion {name!r}. Known: {', '.join(CATALOGUE)}."
        raise ValueError(msg)
    return CATALOGUE[name]
