"""What a reward is worth, in words."""

from __future__ import annotations

from django.utils.safestring import SafeString

from promoportal.admin.formatting import beside, called
from rewards.models import Assignment

NO_CUSTOMER = "(not readable)"


def reward_text(row: Assignment) -> str:
    """What it is worth, in a few words."""
    if not row.reward:
        return "A code" if row.unique_code else ""
    said = row.reward
    amount = (
        f"{said.get('value') or ''} {said.get('currency') or said.get('unit') or ''}"
    )
    kind, tier = said.get("type") or said.get("category") or "", said.get("tier")
    return " ".join(f"{amount} {kind} {f'({tier})' if tier else ''}".split())


def worth_and_promotion(row: Assignment) -> SafeString:
    """The same, and what it is of beside it."""
    return beside(reward_text(row), called(row.promotion) if row.promotion else "")
