"""What a campaign's e-mail may say, and the one that a customer gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promoportal.sandbox import mails
from promoportal.sandbox.engine import (
    NOTHING,
    Category,
    Outcome,
    Population,
    Promotion,
    Status,
    Value,
)
from promoportal.sandbox.scenarios.scenario import Campaign

# Of each reward; all but the tier empty where a code is all that is given.
_REWARD = ("tier", "category", "type", "value", "currency", "unit")


def names(attributes: Sequence[str], offered: Sequence[Promotion]) -> mails.Names:
    """Say what may stand between the braces of a campaign's e-mail."""
    reward = dict.fromkeys(_REWARD)
    properties = {name: None for each in offered for name in each.properties}
    promotion = {"id": None, "name": None, "code": None, "properties": properties}
    return {
        "customer": dict.fromkeys(attributes),
        "reward": reward,
        "code": None,
        "promotion": promotion,
        "campaign": {"plan": None, "name": None},
        "event": None,
        "rewards": None,
    }


def context(
    campaign: Campaign,
    customer: Mapping[str, Value],
    given: Sequence[tuple[Promotion, Outcome]],
    event: Mapping[str, Value] = NOTHING,
) -> dict[str, object]:
    """
    Put together what an e-mail is filled with.

    :param given: what the customer was assigned by this campaign, the first of which is
        `reward`, `code` and `promotion`; all of them are `rewards`
    """
    rewards = [_given(promotion, outcome) for promotion, outcome in given]
    return {
        "customer": dict(customer),
        "campaign": {"plan": campaign.plan, "name": campaign.name},
        "event": dict(event),
        "rewards": rewards,
        **(rewards[0] if rewards else {}),
    }


def _given(promotion: Promotion, outcome: Outcome) -> dict[str, object]:
    tier = outcome.tier
    of_tier = tier.reward if tier else None
    reward: dict[str, object] = dict.fromkeys(_REWARD)
    reward["tier"] = tier.name if tier else None
    if of_tier is not None:
        measure = "currency" if of_tier.category is Category.AMOUNT else "unit"
        reward |= {
            "category": of_tier.category.value,
            "type": of_tier.type,
            "value": outcome.value,
            measure: of_tier.measure,
        }
    return {
        "reward": reward,
        "code": outcome.unique_code or promotion.code,
        "promotion": {
            "id": promotion.id,
            "name": promotion.name,
            "code": promotion.code,
            "properties": dict(promotion.properties),
        },
    }


def letter(
    campaign: Campaign,
    population: Population,
    position: int,
    given: Sequence[tuple[Promotion, Outcome]],
    event: Mapping[str, Value] = NOTHING,
) -> mails.Mail | None:
    """
    Write the e-mail that a customer gets of a campaign.

    None: the campaign has none, the customer was assigned nothing or has no address.
    CONFIRMED (optimove.md, section 5): it goes out only to customers with a reward.
    """
    given = [each for each in given if each[1].status is Status.ASSIGNED]
    if campaign.email is None or not given:
        return None
    customer = {
        name: population.column(name)[position] for name in population.attributes
    }
    address = customer.get("email")
    if not isinstance(address, str) or not mails.is_address(address):
        return None
    return mails.render(campaign.email, context(campaign, customer, given, event))
