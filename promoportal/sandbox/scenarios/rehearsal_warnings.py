"""The warnings about a dry run, for example a tier that no customer qualifies for."""

from __future__ import annotations

from collections.abc import Iterator

from promoportal.sandbox.engine import State, Status
from promoportal.sandbox.scenarios.event_playback import members
from promoportal.sandbox.scenarios.rehearsal import (
    CampaignFigures,
    PromotionFigures,
    Rehearsal,
)
from promoportal.sandbox.scenarios.scenario import Campaign, Scenario

_CUTS = {
    Status.AUDIENCE_CAP_REACHED: "cap",
    Status.BUDGET_EXCEEDED: "budget",
}


def warnings(rehearsal: Rehearsal) -> list[str]:
    """Return the warnings, one sentence each."""
    return [
        *_of_scenario(rehearsal.scenario),
        *(each for figures in rehearsal.campaigns for each in _of_campaign(figures)),
        *_of_events(rehearsal),
    ]


def _of_scenario(scenario: Scenario) -> Iterator[str]:
    offered = {each for campaign in scenario.campaigns for each in campaign.promotions}
    used = {campaign.target_group.id for campaign in scenario.campaigns}
    for promotion in scenario.promotions:
        if promotion.id not in offered:
            yield f"Promotion {promotion.code} is not used by any campaign."
        elif promotion.state is not State.ACTIVE:
            yield (
                f"Promotion {promotion.code} is {promotion.state} and will not be "
                "assigned."
            )
    for group in scenario.groups:
        if group.id not in used:
            yield f'Target group "{group.name}" is not used by any campaign.'
        if group.members is not None:
            listed = len(group.members)
            unknown = listed - len(members(group, scenario.population))
            if unknown:
                yield (
                    f'Target group "{group.name}": {unknown:,} of {listed:,} IDs are '
                    "not customers of this scenario."
                )


def _of_campaign(figures: CampaignFigures) -> Iterator[str]:
    campaign = figures.campaign
    if not figures.in_group:
        group = campaign.target_group.name
        yield f'{_name(campaign)}: target group "{group}" is empty.'
    for each in figures.promotions:
        if each.targeted and each.promotion.state is State.ACTIVE:
            for sentence in _of_promotion(each):
                yield f"{_name(campaign)}, promotion {each.promotion.code}: {sentence}"
    if campaign.email is not None and figures.recipients and figures.sample is None:
        yield f"{_name(campaign)}: no recipient has an email address."


def _name(campaign: Campaign) -> str:
    return f"Campaign {campaign.plan}"


def _of_promotion(figures: PromotionFigures) -> Iterator[str]:
    for tier in figures.tiers.values():
        if not tier.reached:
            yield f'no customer qualifies for tier "{tier.tier.name}".'
    for status, limit in _CUTS.items():
        cut = figures.statuses[status]
        if cut * 2 > figures.eligible:
            yield (
                f"the {limit} excludes {cut:,} of {figures.eligible:,} eligible "
                "customers."
            )
    failed = figures.statuses[Status.FAILED]
    if failed:
        yield (
            f"the reward cannot be calculated for {failed:,} customers: "
            "an attribute is missing."
        )
    yield from _of_codes(figures)


def _of_codes(figures: PromotionFigures) -> Iterator[str]:
    unique = figures.promotion.unique_codes
    without = figures.statuses[Status.NO_CODE_AVAILABLE]
    if unique is None or not (figures.fallbacks or without):
        return
    short = f"the {len(unique.codes):,} unique codes are not enough"
    if unique.fallback is None:
        yield f"{short}: {without:,} customers receive no code and no reward."
    else:
        yield (
            f"{short}: {figures.fallbacks:,} customers receive the fallback "
            f'"{unique.fallback}".'
        )


def _of_events(rehearsal: Rehearsal) -> Iterator[str]:
    scenario = rehearsal.scenario
    triggers = {campaign.event for campaign in scenario.campaigns}
    for event in scenario.events:
        if event.name not in triggers:
            yield f'Event "{event.name}" does not trigger any campaign.'
    played = {event.name for event in scenario.events}
    for figures in rehearsal.campaigns:
        campaign = figures.campaign
        if campaign.event is None or figures.times:
            continue
        if campaign.event not in played:
            yield (
                f'{_name(campaign)}: event "{campaign.event}" does not occur in this '
                "scenario."
            )
        else:
            yield (
                f'{_name(campaign)}: event "{campaign.event}" does not occur for any '
                "customer in the target group."
            )
