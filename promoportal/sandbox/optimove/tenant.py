"""
An operator's tenant, which executes the campaigns of a scenario step by step.

The order of the steps is CONFIRMED ("How It Works" in Optimove's Auto Flow guide):
campaign webhook, calculation, allocation, customer status, then the campaign's message
to customers with a reward, and last the webhooks to listeners.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from promoportal.sandbox.engine import Value, holds
from promoportal.sandbox.messages import (
    Answer,
    Request,
    Unreadable,
    answered,
    identity,
    reply,
)
from promoportal.sandbox.optimove import email_delivery
from promoportal.sandbox.optimove.allocation_run import Validation
from promoportal.sandbox.optimove.audience import Audience
from promoportal.sandbox.optimove.email_delivery import Mailing
from promoportal.sandbox.optimove.execution_record import Execution, TriggerEvent
from promoportal.sandbox.optimove.internal_calls import Inside, InternalCallFailed
from promoportal.sandbox.optimove.occurrences import Campaigns
from promoportal.sandbox.optimove.promotion_usage import Offers
from promoportal.sandbox.optimove.webhook_sender import Notices
from promoportal.sandbox.scenarios.event_playback import (
    finder,
    members,
    occurrences,
    seed_for,
)
from promoportal.sandbox.scenarios.scenario import Campaign, Event, Scenario

WEBHOOK = "/inside/campaignWebhook"
Customers = Sequence[str | int] | int
Values = Mapping[str, Value | tuple[Decimal, Decimal]]


@dataclass(frozen=True)
class Planned:
    """An execution that is planned for a time."""

    plan: int
    at: datetime
    timer: asyncio.TimerHandle


@dataclass
class Tenant:
    """The campaigns of one scenario, and their executions."""

    scenario: Scenario
    campaigns: Campaigns
    notices: Notices
    inside: Inside
    mailing: Mailing
    executions: dict[str, Execution] = field(default_factory=dict)  # by occurrence
    planned: list[Planned] = field(default_factory=list)
    _executed: Counter[int] = field(default_factory=Counter)
    _happened: Counter[str] = field(default_factory=Counter)
    _tasks: set[asyncio.Task[Execution]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._position = finder(self.scenario.population)
        self.offers = Offers(self.scenario.promotions)
        self._plans = {campaign.plan: campaign for campaign in self.scenario.campaigns}
        self._validation = Validation(
            self.offers, self.scenario.population, self.inside
        )

    def start(self) -> None:
        """Plan the next execution of each scheduled campaign that has a time of day."""
        for campaign in self.scenario.campaigns:
            if campaign.at is not None and not campaign.is_triggered:
                self._every_day(campaign.plan, campaign.at)

    def close(self) -> None:
        """
        Cancel planned executions, and running executions that were planned.

        For all executions, also cancel the work of Promotions that is still running.
        """
        for planned in self.planned:
            planned.timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        self._validation.close()

    # --- Commands -------------------------------------------------------------------------

    async def execute(self, plan: int, *, announce: bool = True) -> Execution:
        """Execute all steps of a scheduled campaign now."""
        campaign = self._scheduled(plan)
        targeted = await asyncio.to_thread(
            members, campaign.target_group, self.scenario.population
        )
        return await self._run(self._begun(campaign, targeted, announce=announce))

    async def happen(
        self,
        event: str,
        customers: Customers | None = None,
        values: Values | None = None,
        *,
        announce: bool = True,
    ) -> list[Execution]:
        """
        Trigger an event for customers, and execute the campaigns that it triggers.

        ASSUMED: for several customers at once, each campaign is executed only once.
        """
        waiting = [one for one in self.scenario.campaigns if one.event == event]
        if not waiting:
            known = sorted({one.event for one in self.scenario.campaigns if one.event})
            msg = (
                f'No campaign is triggered by the event "{event}". '
                f"Known: {', '.join(known) or 'none'}."
            )
            raise ValueError(msg)
        happened = self._play(self._event(event, customers, values))
        executions = []
        for campaign in waiting:
            targeted = self._targeted(campaign, happened)
            cause = TriggerEvent(event, targeted)
            execution = self._begun(campaign, targeted, cause, announce=announce)
            executions.append(await self._run(execution))
        return executions

    def plan(self, plan: int, at: datetime) -> Planned:
        """Plan the execution of a scheduled campaign for a time."""
        self._scheduled(plan)
        return self._at(plan, at, lambda: None)

    def answer(self, request: Request) -> Answer:
        """Answer a call from the other half of Optimove."""
        routes = {"POST campaignWebhook": self._webhook}
        try:
            return answered(routes, request, request.path)
        except Unreadable as error:
            return reply({"error": str(error)}, 400)

    # --- The steps ------------------------------------------------------------------------

    async def _run(self, execution: Execution) -> Execution:
        try:
            await self._tell_promotions(execution)
            await execution.validated.wait()
            execution.audience.go()
            await self._mail(execution)
            self._announce(execution)
        finally:
            execution.over = True
        return execution

    def _begun(
        self,
        campaign: Campaign,
        targeted: Iterable[int],
        trigger_event: TriggerEvent | None = None,
        *,
        announce: bool,
    ) -> Execution:
        group, population = campaign.target_group.id, self.scenario.population
        audience = Audience(population, self._position, targeted, group)
        occurrence = self.campaigns.open(
            channels=campaign.channels,
            series=campaign.plan,
            triggered=campaign.is_triggered,
            audience=audience,
            name=campaign.name,
        )
        execution = Execution(
            campaign,
            occurrence,
            audience,
            self._seeds(campaign),
            trigger_event,
            announce=announce,
        )
        self.executions[occurrence.id] = execution
        return execution

    def _seeds(self, campaign: Campaign) -> dict[str, int]:
        """Return seeds by promotion; the first execution has the dry run's seeds."""
        earlier = self._executed[campaign.plan]
        self._executed[campaign.plan] += 1
        return {
            promotion: seed_for(self.scenario, campaign.plan, promotion) + earlier
            for promotion in campaign.promotions
        }

    async def _tell_promotions(self, execution: Execution) -> None:
        with execution.step("Campaign webhook") as step:
            step.log(f"{len(execution.audience)} customers targeted")
            try:
                await self.inside.tell(WEBHOOK, _webhook_body(execution))
            except InternalCallFailed as error:
                # Without Promotions, no customer gets a reward or remains.
                execution.problem = f"Campaign webhook: {error}"
                execution.validated.set()

    def _webhook(self, request: Request) -> Answer:
        occurrence = identity(request.fields().get("CampaignID"))
        execution = self.executions.get(occurrence or "")
        if execution is None:
            return reply("Bad Request", 400)
        self._validation.begin(execution)
        return Answer()

    async def _mail(self, execution: Execution) -> None:
        if execution.campaign.email is None:
            return
        with execution.step("Email") as step:
            try:
                await email_delivery.send(execution, self.mailing)
            except OSError as error:
                execution.problem = f"Email: {error}"
            mailed = execution.mailed
            step.log(f"{mailed.sent} emails, {mailed.kept} of them delivered")

    def _announce(self, execution: Execution) -> None:
        if not execution.announce:
            return
        with execution.step("Webhooks") as step:
            before = self.notices.announced
            if execution.trigger_event:
                self._announce_each(execution)
            else:
                self.notices.announce_executed(execution.occurrence)
            step.log(f"{self.notices.announced - before} webhooks to listeners")

    def _announce_each(self, execution: Execution) -> None:
        occurrence, ids = execution.occurrence, self.scenario.population.ids
        for number, position in enumerate(execution.audience.going):
            self.notices.announce_triggered(
                occurrence,
                ids[position],
                occurrence.codes_of(str(ids[position])),
                pascal=number % 2 == 1,
                values=execution.values(position),
            )

    # --- Customers and times --------------------------------------------------------------

    def _scheduled(self, plan: int) -> Campaign:
        campaign = self._plans.get(plan)
        if campaign is None:
            known = ", ".join(str(one) for one in self._plans)
            raise ValueError(f"There is no campaign {plan}. Known: {known}.")
        if campaign.is_triggered:
            msg = (
                f'Campaign {plan} is triggered by the event "{campaign.event}". '
                "Trigger that event instead."
            )
            raise ValueError(msg)
        return campaign

    def _event(
        self, name: str, customers: Customers | None, values: Values | None
    ) -> Event:
        """Return the event. Arguments that are None come from the scenario's event."""
        scenarios = {one.name: one for one in self.scenario.events}
        usual = scenarios.get(name, Event(name=name, customers=1))
        return replace(
            usual,
            customers=usual.customers if customers is None else self._known(customers),
            values=usual.values if values is None else values,
        )

    def _known(self, customers: Customers) -> Sequence[str] | int:
        if isinstance(customers, int):
            return customers
        for customer in customers:
            if self._position(str(customer)) is None:
                raise ValueError(f"There is no customer {customer}.")
        return [str(customer) for customer in customers]

    def _play(self, event: Event) -> dict[int, Mapping[str, Value]]:
        """Return values by position; the first call returns the dry run's values."""
        seed = self.scenario.seed + self._happened[event.name]
        self._happened[event.name] += 1
        return dict(occurrences(event, self.scenario.population, seed))

    def _targeted(
        self, campaign: Campaign, happened: Mapping[int, Mapping[str, Value]]
    ) -> dict[int, Mapping[str, Value]]:
        group, population = campaign.target_group, self.scenario.population
        members = None if group.members is None else set(group.members)

        def is_targeted(position: int) -> bool:
            if members is not None:
                return str(population.ids[position]) in members
            return holds(group.condition, population, position, happened[position])

        return {one: happened[one] for one in happened if is_targeted(one)}

    def _every_day(self, plan: int, at: time) -> None:
        today = datetime.now(UTC)
        then = datetime.combine(today, at.replace(tzinfo=UTC))
        if then <= today:
            then += timedelta(days=1)
        self._at(plan, then, lambda: self._every_day(plan, at))

    def _at(self, plan: int, at: datetime, then: Callable[[], None]) -> Planned:
        def run() -> None:
            self.planned.remove(planned)
            task = asyncio.create_task(self.execute(plan))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            then()

        seconds = max(0.0, (at - datetime.now(UTC)).total_seconds())
        timer = asyncio.get_running_loop().call_later(seconds, run)
        planned = Planned(plan, at, timer)
        self.planned.append(planned)
        return planned


def _webhook_body(execution: Execution) -> dict[str, object]:
    """Return the body of the campaign webhook. ASSUMED: all of its fields."""
    trigger_event = execution.trigger_event
    return {
        "CampaignID": execution.occurrence.number,
        "CampaignPlanID": execution.campaign.plan,
        "TargetGroupID": execution.campaign.target_group.id,
        "Event": trigger_event.name if trigger_event else None,
        "Customers": len(execution.audience),
    }
