"""The report of a dry run, as text with tables and bars, or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from promoportal.sandbox.engine import Account, Category, Promotion, Status, Tier
from promoportal.sandbox.mails import Mail
from promoportal.sandbox.scenarios.rehearsal import (
    CampaignFigures,
    PromotionFigures,
    Rehearsal,
    TierFigures,
)
from promoportal.sandbox.scenarios.rehearsal_warnings import warnings
from promoportal.sandbox.scenarios.scenario import Campaign

_BAR = 24  # characters of a whole bar
_NAME = 20
Figure = Decimal | int


def as_text(rehearsal: Rehearsal) -> str:
    """Return the whole report as text."""
    return "\n".join(line.rstrip() for line in _lines(rehearsal))


def as_json(rehearsal: Rehearsal) -> dict[str, Any]:
    """Return the report for JSON. Values of money and units are texts, to be exact."""
    scenario = rehearsal.scenario
    return {
        "scenario": scenario.title,
        "customers": len(scenario.population),
        "seed": scenario.seed,
        "day": rehearsal.day.isoformat(),
        "campaigns": [_campaign_as_json(figures) for figures in rehearsal.campaigns],
        "promotions": [
            _limits_as_json(promotion, rehearsal.accounts[promotion.id])
            for promotion in scenario.promotions
        ],
        "warnings": warnings(rehearsal),
    }


# --- Text ---------------------------------------------------------------------------------


def _lines(rehearsal: Rehearsal) -> Iterator[str]:
    scenario = rehearsal.scenario
    yield f"{scenario.title}: {scenario.about}"
    yield (
        f"{len(scenario.population):,} customers, seed {scenario.seed}, "
        f"calculated for {rehearsal.day}."
    )
    for figures in rehearsal.campaigns:
        yield ""
        yield from _campaign(figures)
    limits = (
        line
        for promotion in scenario.promotions
        for line in _limits(promotion, rehearsal.accounts[promotion.id])
    )
    yield from _section("LIMITS", limits)
    yield from _section("WARNINGS", (f"  ! {each}" for each in warnings(rehearsal)))
    for figures in rehearsal.campaigns:
        if figures.sample:
            yield from _mail(figures.campaign, figures.sample)


def _campaign(figures: CampaignFigures) -> Iterator[str]:
    campaign = figures.campaign
    group = campaign.target_group.name
    yield f"CAMPAIGN {campaign.plan}, {campaign.name} ({_when(campaign)})"
    yield f'  {figures.in_group:,} customers are in the target group "{group}".'
    if campaign.is_triggered:
        yield (
            f"  The event happens for {figures.times:,} of them, and for "
            f"{figures.outside:,} customers outside the group."
        )
    yield f"  {len(figures.recipients):,} customers receive a promotion."
    for promotion in figures.promotions:
        yield ""
        yield from _promotion(promotion)


def _when(campaign: Campaign) -> str:
    if campaign.is_triggered:
        return f"triggered by {campaign.event}"
    if campaign.at is None:
        return "scheduled"
    return f"scheduled at {campaign.at:%H:%M} UTC"


def _promotion(figures: PromotionFigures) -> Iterator[str]:
    promotion = figures.promotion
    yield f"  {promotion.code}  {promotion.name}"
    for status in Status:
        count = figures.statuses[status]
        if count:
            bar = _bar(count, figures.targeted)
            yield f"    {status:<{_NAME}}{count:>10,}  {bar}"
    if figures.eligible:
        yield f"    {'tier':<{_NAME}}{'qualify':>10}{'receive':>10}{'total value':>16}"
        for tier in figures.tiers.values():
            yield f"    {_tier(tier)}"


def _tier(figures: TierFigures) -> str:
    worth = _worth(figures.tier, figures.value)
    return (
        f"{figures.tier.name:<{_NAME}}{figures.reached:>10,}{figures.assigned:>10,}"
        f"{worth:>16}"
    )


def _worth(tier: Tier, value: Decimal) -> str:
    """Return the value with its currency or unit, or "codes" without a reward."""
    return f"{value:,} {tier.reward.measure}" if tier.reward else "codes"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield an empty line, the title and the lines. Without lines, yield nothing."""
    every = list(lines)
    yield from ["", title, *every] if every else ()


def _limits(promotion: Promotion, account: Account) -> Iterator[str]:
    """Yield one line for each limit of a promotion, with its usage."""
    code = promotion.code
    if budget := promotion.budget:
        yield _limit(code, "budget", account.spent, budget.total, f" {budget.measure}")
    if cap := promotion.cap:
        used = cap.used(account)
        yield _limit(code, "cap", used, cap.recipients, f" ({cap.timeframe})")
    if codes := promotion.unique_codes:
        yield _limit(code, "codes", account.codes_used, len(codes.codes))


def _limit(code: str, name: str, part: Figure, whole: Figure, what: str = "") -> str:
    used = f"{part:,} of {whole:,}{what}"
    return f"  {code:<10}{name:<8}{_bar(part, whole):<{_BAR}}  {used}"


def _bar(part: Figure, whole: Figure) -> str:
    """Return a bar for a share, of at least one character if the part is above 0."""
    if not part or not whole:
        return ""
    return "█" * max(1, round(part * _BAR / whole))


def _mail(campaign: Campaign, mail: Mail) -> Iterator[str]:
    yield ""
    yield f"SAMPLE EMAIL, campaign {campaign.plan}"
    yield f"  From: {mail.sender}"
    yield f"  To: {mail.to}"
    yield f"  Subject: {mail.subject}"
    yield ""
    yield from (f"  {line}" for line in mail.text.splitlines())


# --- JSON ---------------------------------------------------------------------------------


def _campaign_as_json(figures: CampaignFigures) -> dict[str, Any]:
    sample = figures.sample
    return {
        "plan": figures.campaign.plan,
        "name": figures.campaign.name,
        "in_target_group": figures.in_group,
        "executed": figures.times,
        "recipients": len(figures.recipients),
        "promotions": [_promotion_as_json(each) for each in figures.promotions],
        "email": sample
        and {"to": sample.to, "subject": sample.subject, "text": sample.text},
    }


def _promotion_as_json(figures: PromotionFigures) -> dict[str, Any]:
    return {
        "id": figures.promotion.id,
        "targeted": figures.targeted,
        "statuses": {status: figures.statuses[status] for status in Status},
        "tiers": [_tier_as_json(tier) for tier in figures.tiers.values()],
        "value": _by_type(figures),
        "unique_codes": figures.unique_codes,
        "fallback_codes": figures.fallbacks,
    }


def _by_type(figures: PromotionFigures) -> Mapping[str, str]:
    """Return the total value of each reward type, with its currency or unit."""
    found: dict[str, Decimal] = {}
    for tier in figures.tiers.values():
        if reward := tier.tier.reward:
            name = f"{reward.type} {reward.measure}"
            found[name] = found.get(name, Decimal(0)) + tier.value
    return {name: str(value) for name, value in found.items()}


def _tier_as_json(figures: TierFigures) -> dict[str, Any]:
    return {
        "id": figures.tier.id,
        "name": figures.tier.name,
        "reached": figures.reached,
        "assigned": figures.assigned,
        "value": str(figures.value) if figures.tier.reward else None,
    }


def _limits_as_json(promotion: Promotion, account: Account) -> dict[str, Any]:
    budget, cap, codes = promotion.budget, promotion.cap, promotion.unique_codes
    is_money = budget is not None and budget.category is Category.AMOUNT
    return {
        "id": promotion.id,
        "code": promotion.code,
        "recipients": account.recipients,
        "budget": budget
        and {
            "total": str(budget.total),
            "spent": str(account.spent),
            "currency" if is_money else "unit": budget.measure,
        },
        "cap": cap
        and {
            "recipients": cap.recipients,
            "timeframe": cap.timeframe,
            "used": cap.used(account),
        },
        "codes": codes and {"total": len(codes.codes), "used": account.codes_used},
    }
