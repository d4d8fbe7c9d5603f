"""Warnings about a dry run, to be read before the campaign runs."""

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
            yield f"No campaign offers the promotion {promotion.code}."
        elif promotion.state is not State.ACTIVE:
            yield f"The promotion {promotion.code} is {promotion.state}: nobody gets it."
    for group in scenario.groups:
        if group.id not in used:
            yield f'No campaign is for the target group "{group.name}".'
        if group.members is not None:
            listed = len(group.members)
            unknown = listed - len(members(group, scenario.population))
            if unknown:
                yield (
                    f'Of the {listed:,} ids of the target group "{group.name}", '
                    f"{unknown:,} are no customers of this scenario."
                )


def _of_campaign(figures: CampaignFigures) -> Iterator[str]:
    campaign = figures.campaign
    if not figures.in_group:
        group = campaign.target_group.name
        yield f'{_name(campaign)}: nobody is in the target group "{group}".'
    for each in figures.promotions:
        if each.targeted and each.promotion.state is State.ACTIVE:
            for sentence in _of_promotion(each):
                yield f"{_name(campaign)}, promotion {each.promotion.code}: {sentence}"
    if campaign.email is not None and figures.recipients and figures.sample is None:
        yield f"{_name(campaign)}: nobody who gets something has an e-mail address."


def _name(campaign: Campaign) -> str:
    return f"Campaign {campaign.plan}"


def _of_promotion(figures: PromotionFigures) -> Iterator[str]:
    for tier in figures.tiers.values():
        if not tier.reached:
            yield f'nobody reaches the tier "{tier.tier.name}".'
    for status, limit in _CUTS.items():
        cut = figures.statuses[status]
        if cut * 2 > figures.eligible:
            yield (
                f"the {limit} cuts off {cut:,} of {figures.eligible:,} eligible, "
                "more than half."
            )
    failed = figures.statuses[Status.FAILED]
    if failed:
        yield f"the reward of {failed:,} cannot be computed: they lack the attribute."
    yield from _of_codes(figures)


def _of_codes(figures: PromotionFigures) -> Iterator[str]:
    unique = figures.promotion.unique_codes
    without = figures.statuses[Status.NO_CODE_AVAILABLE]
    if unique is None or not (figures.fallbacks or without):
        return
    run_out = f"the {len(unique.codes):,} unique codes run out"
    if unique.fallback is None:
        yield f"{run_out}; {without:,} get nothing."
    else:
        yield f'{run_out}; {figures.fallbacks:,} get the fallback "{unique.fallback}".'


def _of_events(rehearsal: Rehearsal) -> Iterator[str]:
    scenario = rehearsal.scenario
    triggers = {campaign.event for campaign in scenario.campaigns}
    for event in scenario.events:
        if event.name not in triggers:
            yield f'No campaign is triggered by the event "{event.name}".'
    played = {event.name for event in scenario.events}
    for figures in rehearsal.campaigns:
        campaign = figures.campaign
        if campaign.event is None or figures.times:
            continue
        if campaign.event not in played:
            yield (
                f'{_name(campaign)} is triggered by "{campaign.event}", which does not '
                "happen in this scenario."
            )
        else:
            yield (
                f'{_name(campaign)}: nobody in the target group does "{campaign.event}".'
            )
