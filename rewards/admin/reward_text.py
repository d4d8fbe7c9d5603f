"""Short texts that describe a reward."""

from __future__ import annotations

from django.utils.safestring import SafeString

from promoportal.admin.formatting import beside, called
from rewards.models import Assignment

NO_CUSTOMER = "(not readable)"


def reward_text(row: Assignment) -> str:
    """Return the value, unit, type and tier of a reward, without missing parts."""
    if not (reward := row.reward):
        return "A code" if row.unique_code else ""
    tier = f"({reward['tier']})" if reward.get("tier") else ""
    unit = reward.get("currency") or reward.get("unit")
    kind = reward.get("type") or reward.get("category")
    parts = (reward.get("value"), unit, kind, tier)
    return " ".join(" ".join(str(part) for part in parts if part).split())


def worth_and_promotion(row: Assignment) -> SafeString:
    """Return the text of a reward, with the name of its promotion beside it."""
    return beside(reward_text(row), called(row.promotion) if row.promotion else "")
