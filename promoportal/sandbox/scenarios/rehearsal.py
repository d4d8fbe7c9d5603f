"""
The dry run of a scenario, which calculates the results of its campaigns for one day.

The scheduled campaigns come first, by time. Then the events follow one by one. If
campaigns have the same promotion, they share the account of this promotion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from decimal import Decimal
from functools import partial

from promoportal.sandbox.engine import (
    NOTHING,
    Account,
    Outcome,
    Promotion,
    Status,
    Tier,
    Value,
    calculate,
)
from promoportal.sandbox.mails import Mail
from promoportal.sandbox.scenarios.email_context import campaign_mail
from promoportal.sandbox.scenarios.event_playback import members, occurrences, seed_for
from promoportal.sandbox.scenarios.scenario import Campaign, Scenario

_NONE = Decimal(0)
UNREACHED = frozenset({Status.NOT_ELIGIBLE, Status.FAILED})
_LIMITED = frozenset(Status) - UNREACHED - {Status.ASSIGNED}


@dataclass(slots=True)
class TierFigures:
    """The figures of one tier."""

    tier: Tier
    reached: int = 0  # customers who would get the tier without limits
    assigned: int = 0  # customers who get the tier
    value: Decimal = _NONE  # the total of their rewards


@dataclass(slots=True)
class PromotionFigures:
    """The figures of one promotion in one campaign."""

    promotion: Promotion
    tiers: dict[str, TierFigures]
    statuses: Counter[Status] = field(default_factory=Counter)
    unique_codes: int = 0
    fallbacks: int = 0

    @property
    def targeted(self) -> int:
        return self.statuses.total()

    @property
    def eligible(self) -> int:
        """The number of customers who would get the promotion without limits."""
        return self.targeted - sum(self.statuses[each] for each in UNREACHED)

    def count(self, outcomes: Iterable[Outcome]) -> None:
        unique = self.promotion.unique_codes
        fallback = unique.fallback if unique else None
        for _, status, tier, value, code in outcomes:
            self.statuses[status] += 1
            if tier is not None:
                figures = self.tiers[tier.id]
                figures.assigned += 1
                figures.value += value or _NONE
            if code is not None:
                self.fallbacks += code == fallback
                self.unique_codes += code != fallback

    def count_reached(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.tier is not None:
                self.tiers[outcome.tier.id].reached += 1


@dataclass(slots=True)
class CampaignFigures:
    """The figures of one campaign."""

    campaign: Campaign
    in_group: int
    promotions: list[PromotionFigures]
    times: int = 0  # executions: 1, or the number of events if an event triggers it
    outside: int = 0  # triggering events of customers outside the target group
    recipients: set[int] = field(default_factory=set)  # by position
    sample: Mail | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """The result of a scenario's dry run."""

    scenario: Scenario
    day: date
    campaigns: tuple[CampaignFigures, ...]
    accounts: Mapping[str, Account]  # by promotion ID


def rehearse(scenario: Scenario, *, day: date) -> Rehearsal:
    """Return the result of the scenario's dry run, calculated for a day."""
    stage = _Stage(scenario, day)
    stage.execute()
    for event in scenario.events:
        stage.play(event.name, occurrences(event, scenario.population, scenario.seed))
    return Rehearsal(
        scenario=scenario,
        day=day,
        campaigns=tuple(stage.campaigns),
        accounts=stage.accounts,
    )


class _Stage:
    """The figures of a scenario's campaigns and the promotions' accounts so far."""

    def __init__(self, scenario: Scenario, day: date) -> None:
        self._scenario = scenario
        self._day = day
        self._members = {
            group.id: members(group, scenario.population) for group in scenario.groups
        }
        # Built only for triggered campaigns: a set of a million members takes time.
        self._sets: dict[int, frozenset[int]] = {}
        self.accounts = {each.id: Account() for each in scenario.promotions}
        self.campaigns = [self._figures(each) for each in scenario.campaigns]

    def execute(self) -> None:
        """Calculate campaigns without a time, then the others in order of time."""
        scheduled = [each for each in self.campaigns if not each.campaign.is_triggered]
        for figures in sorted(scheduled, key=lambda each: each.campaign.at or time.min):
            self._run(figures, self._members[figures.campaign.target_group.id])

    def play(
        self, event: str, triggers: Iterable[tuple[int, Mapping[str, Value]]]
    ) -> None:
        """Calculate the campaigns that an event triggers, customer by customer."""
        triggered = [each for each in self.campaigns if each.campaign.event == event]
        for position, values in triggers:
            for figures in triggered:
                if position in self._set(figures.campaign.target_group.id):
                    self._run(figures, [position], values)
                else:
                    figures.outside += 1

    def _figures(self, campaign: Campaign) -> CampaignFigures:
        promotions = {each.id: each for each in self._scenario.promotions}
        offered = [promotions[each] for each in campaign.promotions]
        return CampaignFigures(
            campaign,
            len(self._members[campaign.target_group.id]),
            [
                PromotionFigures(
                    each, {tier.id: TierFigures(tier) for tier in each.tiers}
                )
                for each in offered
            ],
        )

    def _set(self, group: int) -> frozenset[int]:
        if group not in self._sets:
            self._sets[group] = frozenset(self._members[group])
        return self._sets[group]

    def _run(
        self,
        figures: CampaignFigures,
        targeted: Sequence[int],
        event: Mapping[str, Value] = NOTHING,
    ) -> None:
        """Calculate one execution: steps 2 to 4 of "How It Works" in the guide."""
        figures.times += 1
        allocated: list[tuple[Promotion, Sequence[Outcome]]] = []
        for each in figures.promotions:
            outcomes = self._allocate(figures.campaign, each, targeted, event)
            allocated.append((each.promotion, outcomes))
            figures.recipients.update(
                outcome.position
                for outcome in outcomes
                if outcome.status is Status.ASSIGNED
            )
        if figures.sample is None:
            figures.sample = self._sample(figures, allocated, event)

    def _allocate(
        self,
        campaign: Campaign,
        figures: PromotionFigures,
        targeted: Sequence[int],
        event: Mapping[str, Value],
    ) -> Sequence[Outcome]:
        promotion = figures.promotion
        allocate = partial(
            calculate,
            population=self._scenario.population,
            targeted=targeted,
            day=self._day,
            seed=seed_for(self._scenario, campaign.plan, promotion.id),
            event=event,
        )
        allocation = allocate(promotion, account=self.accounts[promotion.id])
        self.accounts[promotion.id] = allocation.account
        outcomes = reached = allocation.outcomes
        figures.count(outcomes)
        if any(outcome.status in _LIMITED for outcome in outcomes):
            unlimited = replace(promotion, budget=None, cap=None, unique_codes=None)
            reached = allocate(unlimited, account=Account()).outcomes
        figures.count_reached(reached)
        return outcomes

    def _sample(
        self,
        figures: CampaignFigures,
        allocated: Sequence[tuple[Promotion, Sequence[Outcome]]],
        event: Mapping[str, Value],
    ) -> Mail | None:
        """Return the email to the first targeted customer who gets one, or None."""
        if figures.campaign.email is None:
            return None
        # One of the first targeted customers usually gets an email.
        for outcomes in zip(*(outcomes for _, outcomes in allocated), strict=True):
            promotions = (promotion for promotion, _ in allocated)
            mail = campaign_mail(
                figures.campaign,
                self._scenario.population,
                outcomes[0].position,
                list(zip(promotions, outcomes, strict=True)),
                event,
            )
            if mail is not None:
                return mail
        return None
