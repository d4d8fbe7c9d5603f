"""The values that the templates of an email may use, and the email to one customer."""

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

# The fields of a reward. If a tier has no reward, all fields except `tier` are None.
_REWARD = ("tier", "category", "type", "value", "currency", "unit")


def names(attributes: Sequence[str], offered: Sequence[Promotion]) -> mails.Names:
    """Return the names that the templates of a campaign's email may use."""
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
    assigned: Sequence[tuple[Promotion, Outcome]],
    event: Mapping[str, Value] = NOTHING,
) -> dict[str, object]:
    """Return the values for the templates of a customer's email."""
    rewards = [_values(promotion, outcome) for promotion, outcome in assigned]
    return {
        "customer": dict(customer),
        "campaign": {"plan": campaign.plan, "name": campaign.name},
        "event": dict(event),
        "rewards": rewards,
        **(rewards[0] if rewards else {}),
    }


def _values(promotion: Promotion, outcome: Outcome) -> dict[str, object]:
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


def campaign_mail(
    campaign: Campaign,
    population: Population,
    position: int,
    assigned: Sequence[tuple[Promotion, Outcome]],
    event: Mapping[str, Value] = NOTHING,
) -> mails.Mail | None:
    """
    Return the email that a campaign sends to a customer, or None.

    CONFIRMED (optimove.md, section 5): the email is sent only to customers with an
    assigned promotion.
    """
    assigned = [each for each in assigned if each[1].status is Status.ASSIGNED]
    if campaign.email is None or not assigned:
        return None
    customer = {
        name: population.column(name)[position] for name in population.attributes
    }
    address = customer.get("email")
    if not isinstance(address, str) or not mails.is_address(address):
        return None
    return mails.render(campaign.email, context(campaign, customer, assigned, event))
