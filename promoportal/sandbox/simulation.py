"""
Both simulated services in one process, and the commands that they accept.

All changes run in one event loop. A change without an `await` needs no lock.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from promoportal.sandbox.commands import Event, Launch, Trigger
from promoportal.sandbox.faults import AROUND_WORK, TOO_MANY, Faults
from promoportal.sandbox.gc_pause import gc_paused
from promoportal.sandbox.journal import Journal, Keep, forget
from promoportal.sandbox.ledger_comparison import Books, books
from promoportal.sandbox.messages import (
    Answer,
    Handler,
    Manner,
    Request,
    is_same,
    reply,
)
from promoportal.sandbox.operator_platform import Capability, Platform
from promoportal.sandbox.optimove.accepted_redemptions import Redemptions
from promoportal.sandbox.optimove.assignment_rows import Handmade, Row
from promoportal.sandbox.optimove.email_delivery import Mailing
from promoportal.sandbox.optimove.execution_record import Execution
from promoportal.sandbox.optimove.external_endpoints import External
from promoportal.sandbox.optimove.internal_calls import SIDE as INSIDE
from promoportal.sandbox.optimove.internal_calls import Inside, Tell
from promoportal.sandbox.optimove.list_faults import ON_LISTS, around_page
from promoportal.sandbox.optimove.occurrences import Campaigns, Occurrence
from promoportal.sandbox.optimove.promotions_endpoints import Promotions
from promoportal.sandbox.optimove.rate_limit import SlidingWindow
from promoportal.sandbox.optimove.registered_listeners import Listeners
from promoportal.sandbox.optimove.sample_customers import Customer, generated, named
from promoportal.sandbox.optimove.sample_promotions import reward as sample_reward
from promoportal.sandbox.optimove.tenant import Tenant
from promoportal.sandbox.optimove.webhook_sender import (
    CANCELLED,
    EXECUTED,
    Notices,
    Post,
)
from promoportal.sandbox.optimove.weighted_outcomes import Reward
from promoportal.sandbox.recovery import Known, keep_rows
from promoportal.sandbox.scenarios.scenario import Scenario

_REMEMBERED = 20_000
_UNSENT = frozenset({Manner.CUT, Manner.RESET})


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of a sandbox."""

    api_key: str = "desk-key"
    platform_token: str = "desk-token"  # noqa: S105 - for local use
    control_token: str = ""  # needed if other machines can connect
    seed: int = 1
    page_size: int = 100  # ASSUMED: if a request has no page size
    largest_page: int = 1_000
    calls: int = 50
    seconds: float = 10.0
    capability: Capability = Capability.IDEMPOTENT
    scenario: Scenario | None = None
    mailing: Mailing = field(default_factory=Mailing)
    keep: Path | None = None  # the folder of the journal; None: no journal


class Call(NamedTuple):
    """A record of one request to a simulated service, without its key and body."""

    at: float
    side: str
    method: str
    path: str
    status: int | None  # None: the connection was closed without an answer
    seconds: float
    fault: str  # the kind of the fault that struck, if any


@dataclass
class Sandbox:
    """The simulated Optimove and platform. A reset replaces the object."""

    options: Options
    post: Post
    tell: Tell
    campaigns: Campaigns = field(default_factory=Campaigns)
    listeners: Listeners = field(default_factory=Listeners)
    faults: Faults = field(default_factory=Faults)
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    journal: Journal | None = None

    def __post_init__(self) -> None:
        options = self.options
        self.limit = SlidingWindow(options.calls, options.seconds)
        self.redemptions = Redemptions(self.campaigns)
        self.platform = Platform(options.platform_token, options.capability)
        self.notices = Notices(self.listeners, self.faults, self.post)
        self.inside = Inside(self.tell)
        self.external = External(self.campaigns, self.listeners)
        self._known = Known(
            self.campaigns,
            self.listeners,
            self.redemptions,
            self.platform,
            self.external,
        )
        if self.journal:
            self._known.recall(self.journal)
        self.tenant = self._tenant(options.scenario, options.mailing)
        self._promotions = Promotions(
            self.campaigns,
            self.redemptions,
            page_size=options.page_size,
            largest_page=options.largest_page,
            seal=secrets.token_hex(8),
        )
        self._sides: dict[str, _Side] = {
            "optimove": _Side(self._vendor_gate, self.external.answer),
            "promotions": _Side(self._vendor_gate, self._promotions.answer),
            "platform": _Side(self.platform.gate, self.platform.answer),
        }
        if self.tenant is not None:
            self._sides |= {INSIDE: _Side(self._inside_gate, self.tenant.answer)}

    async def answer(self, request: Request) -> Answer:
        """Answer a request to a simulated service."""
        side = self._sides.get(request.side)
        if side is None:
            return reply("Not Found", 404)
        started = time.perf_counter()
        kind, answer = await self._answer(side, request)
        took = time.perf_counter() - started
        status = None if answer.manner in _UNSENT else answer.status
        where = self._side(request), request.method, request.path
        self.calls.append(Call(time.time() - took, *where, status, took, kind))
        return answer

    async def _answer(self, side: _Side, request: Request) -> tuple[str, Answer]:
        if (refusal := side.gate(request)) is not None:
            return "", refusal
        route = f"{request.method} {request.path}"
        fault = self.faults.take(self._side(request), request.path, route)
        work = partial(side.work, request)
        if fault is None:
            return "", work()
        if fault.kind in ON_LISTS:
            return fault.kind, around_page(fault, request, self.campaigns, work)
        return fault.kind, await AROUND_WORK[fault.kind](fault, work)

    def start(self) -> None:
        """Schedule the scenario's campaigns that have a time of day."""
        if self.tenant is not None:
            self.tenant.start()

    async def close(self) -> None:
        """Stop the tenant, and cancel all webhook deliveries."""
        if self.tenant is not None:
            self.tenant.close()
        await self.notices.close()

    def stop_keeping(self) -> None:
        """Stop writing to the journal, which the next sandbox uses."""
        self.journal = None
        self._known.keep_with(forget)

    @property
    def required_tenant(self) -> Tenant:
        if self.tenant is None:
            msg = "No scenario is loaded. Start the sandbox with --scenario."
            raise ValueError(msg)
        return self.tenant

    # --- Commands -----------------------------------------------------------------

    def execute(self, launch: Launch) -> Occurrence:
        """Execute a scheduled campaign for generated customers."""
        occurrence = self.campaigns.open(channels=launch.channels, series=launch.series)
        seed = self._seed(launch.seed)
        customers = generated(launch.customers, seed=seed, ids=launch.ids)
        with gc_paused(launch.customers):
            occurrence.assign(customers, launch.offers, launch.mix)
            keep_rows(self._keep, occurrence)
        if launch.announce:
            self.announce(occurrence.id)
        return occurrence

    def trigger(self, trigger: Trigger) -> Occurrence:
        """
        Execute a triggered campaign for customers.

        A customer who already has a row in the execution gets no further row.
        """
        occurrence = self.campaigns.open(
            trigger.occurrence,
            channels=trigger.channels,
            series=trigger.series,
            triggered=True,
        )
        customers = self._customers(trigger, occurrence)
        keep_rows(self._keep, occurrence, since=len(occurrence.rows))
        list_rows = partial(self._assign_once, trigger, occurrence, customers)
        if trigger.listed_after:
            asyncio.get_running_loop().call_later(trigger.listed_after, list_rows)
        else:
            list_rows()
        if trigger.announce:
            self._announce_each(trigger, occurrence, customers)
        return occurrence

    async def happen(self, event: Event) -> list[Execution]:
        """Trigger an event for the scenario's customers; execute its campaigns."""
        return await self.required_tenant.happen(
            event.name, event.customers, event.drawn, announce=event.announce
        )

    def announce(
        self,
        occurrence: str | int,
        *,
        event: int = EXECUTED,
        channels: Sequence[int] | None = None,
    ) -> None:
        """Send the webhooks of an execution (13) or of its cancellation (4)."""
        known = self.campaigns.known(occurrence)
        if event == CANCELLED:
            self.notices.announce_cancelled(known)
        elif event == EXECUTED:
            self.notices.announce_executed(known, channels)
        else:
            msg = f"event must be {EXECUTED} or {CANCELLED}. To send 11, use trigger."
            raise ValueError(msg)

    def cancel(
        self, occurrence: str | int, *, relist: bool = False, announce: bool = True
    ) -> None:
        """
        Cancel an execution, and send the webhook unless `announce` is false.

        ASSUMED: the listed rows still have the status Assigned, so only the webhook
        shows the cancellation. `relist` changes these rows to Cancelled.
        """
        known = self.campaigns.known(occurrence)
        self._keep("cancelled", {"occurrence": known.id, "relist": relist})
        known.cancel(relist=relist)
        if announce:
            self.announce(occurrence, event=CANCELLED)

    def assign(
        self,
        occurrence: str | int,
        customer: str | int,
        /,
        *,
        promotion: str = "promo-17",
        status: str = "Assigned",
        assignment_id: str | int | None = None,
        **fields: object,
    ) -> str:
        """
        List a row with the given values, and return its assignment ID.

        `fields` are added to the row or replace its fields, for example
        `uniqueCode="U1"`. If the execution is unknown, it is started.
        """
        known = self.campaigns.open(occurrence)
        row = {
            "assignmentId": assignment_id or known.rows.fresh_assignment(),
            "customerId": customer,
            "promotionId": promotion,
            "promotionCode": "WB23",
            "status": status,
            "reward": sample_reward("Gold", "10.00") if status == "Assigned" else None,
            "uniqueCode": None,
            "properties": {"wageringMultiplier": 10, "expiryDays": 7},
            "assignedAt": f"{known.started_at:%Y-%m-%dT%H:%M:%SZ}",
        }
        self.list_row(occurrence, row | fields)
        return str(row["assignmentId"])

    def list_row(self, occurrence: str | int, row: object) -> None:
        """List a row that may be any JSON value, for example a string or null."""
        known = self.campaigns.open(occurrence)
        known.add(Handmade(row))
        keep_rows(self._keep, known, since=len(known.rows) - 1)

    def change(
        self,
        occurrence: str | int,
        assignment: str,
        *,
        status: str | None = None,
        reward: Reward | None = None,
    ) -> None:
        """Change the status or the reward of a row, for fetches from now on."""
        known = self.campaigns.known(occurrence)
        row = self._row(known, assignment)
        moved = {"occurrence": known.id, "assignment": assignment, "listed": True}
        self._keep("moved", moved | {"status": status, "reward": reward})
        known.change(row, status=status, reward=reward)

    def unlist(self, occurrence: str | int, assignment: str) -> None:
        """Remove a row from the list, for fetches from now on."""
        known = self.campaigns.known(occurrence)
        row = self._row(known, assignment)
        moved = {"occurrence": known.id, "assignment": assignment, "listed": False}
        self._keep("moved", moved)
        known.remove(row)

    def books(self, occurrence: str | int | None = None) -> Books:
        """Return the records of both services: of one execution, or of all."""
        known = None if occurrence is None else self.campaigns.known(occurrence)
        return books(self.campaigns, self.redemptions, self.platform.ledger, known)

    # --- Internals ----------------------------------------------------------------

    @property
    def _keep(self) -> Keep:
        return self.journal.keep if self.journal else forget

    def _row(self, occurrence: Occurrence, assignment: str) -> Row:
        row = occurrence.row(assignment)
        if row is None:
            msg = f"Execution {occurrence.id} has no assignment {assignment}."
            raise ValueError(msg)
        return row

    def _assign_once(
        self, trigger: Trigger, occurrence: Occurrence, customers: Sequence[Customer]
    ) -> None:
        before = len(occurrence.rows)
        occurrence.assign_once(customers, trigger.offers, trigger.mix)
        keep_rows(self._keep, occurrence, since=before)

    def _tenant(self, scenario: Scenario | None, mailing: Mailing) -> Tenant | None:
        if scenario is None:
            return None
        # ASSUMED: the campaign builder knows the promotions made in Promotions.
        codes = {one.code: one.name for one in scenario.promotions}
        self.external.promotions.update(codes)
        return Tenant(scenario, self.campaigns, self.notices, self.inside, mailing)

    def _side(self, request: Request) -> str:
        """Return the side that faults see: `inside` if Optimove calls itself."""
        return INSIDE if self.inside.comes_from(request) else request.side

    def _inside_gate(self, request: Request) -> Answer | None:
        return None if self.inside.comes_from(request) else reply("Not Found", 404)

    def _vendor_gate(self, request: Request) -> Answer | None:
        """Return a refusal or None. Internal calls need no key and have no limit."""
        if request.side == "optimove" and self.inside.comes_from(request):
            return None
        key = request.header("X-API-KEY")
        if not is_same(key, self.options.api_key):
            return reply("Unauthorized", 401)
        if not self.limit.grants(key, now=time.monotonic()):
            return reply(TOO_MANY, 429)
        exact = request.header("Content-Type") == "application/json"
        if request.method == "POST" and not exact:
            return reply("Unsupported Media Type", 415)
        return None

    def _seed(self, seed: int | None) -> int:
        return self.options.seed if seed is None else seed

    def _customers(self, trigger: Trigger, occurrence: Occurrence) -> list[Customer]:
        seed, customers = self._seed(trigger.seed), trigger.customers
        if isinstance(customers, int):
            after = len(occurrence.rows)
            return list(generated(customers, seed=seed, ids=trigger.ids, after=after))
        return [named(customer, seed=seed) for customer in customers]

    def _announce_each(
        self, trigger: Trigger, occurrence: Occurrence, customers: Sequence[Customer]
    ) -> None:
        codes = [promotion.code for promotion in trigger.offers]
        for number, customer in enumerate(customers):
            odd = trigger.casing == "alternate" and number % 2 == 1
            pascal = odd or trigger.casing == "pascal"
            self.notices.announce_triggered(
                occurrence, customer.id, codes, pascal=pascal
            )


class _Side(NamedTuple):
    gate: Callable[[Request], Answer | None]
    work: Handler
