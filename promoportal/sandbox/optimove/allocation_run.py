"""The part of an execution that Optimove's Promotions does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from promoportal.sandbox.engine import Population
from promoportal.sandbox.gc_pause import gc_paused
from promoportal.sandbox.optimove.execution_record import Execution
from promoportal.sandbox.optimove.internal_calls import Inside, InternalCallFailed
from promoportal.sandbox.optimove.promotion_usage import Offers

# CONFIRMED: the most customers in one call.
MAX_UPDATED = 10_000
UPDATE = "/optimove/Integrations/UpdateCustomerPromotionStatus"


@dataclass
class Validation:
    """The work of Promotions for all executions of a tenant."""

    offers: Offers
    population: Population
    inside: Inside
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, execution: Execution) -> None:
        """Start a task, which sets `validated` at its end, also after an error."""
        task = asyncio.create_task(self._validate(execution))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    async def _validate(self, execution: Execution) -> None:
        try:
            with gc_paused(len(execution.audience)):
                await self._allocate(execution)
            await self._update(execution)
        # After any error, the campaign must continue and not wait forever.
        except Exception as error:  # noqa: BLE001
            execution.problem = f"Promotions failed: {error}"
        finally:
            execution.validated.set()

    async def _allocate(self, execution: Execution) -> None:
        with execution.step("Calculate and allocate") as step:
            for name in execution.campaign.promotions:
                await self.offers.known(name).allocate(
                    execution.occurrence,
                    self.population,
                    execution.batches,
                    day=execution.day,
                    seed=execution.seeds[name],
                )
            statuses = sorted(execution.occurrence.statuses.items())
            step.log(", ".join(f"{count} {name}" for name, count in statuses))

    async def _update(self, execution: Execution) -> None:
        """Report which customers remain. ASSUMED: all with an assigned promotion."""
        with execution.step("Update customer status") as step:
            calls = failed = 0
            for body in _updates(execution):
                calls += 1
                try:
                    await self.inside.tell(UPDATE, body)
                except InternalCallFailed as error:
                    # CONFIRMED: a customer who is not reported counts as false.
                    # ASSUMED: a failed call is not retried.
                    failed += 1
                    execution.problem = f"Customer status: {error}"
            step.log(f"{calls} calls, {failed} of them failed")


def _updates(execution: Execution) -> Iterator[dict[str, object]]:
    """Yield the body of each call. ASSUMED: unassigned customers are sent as false."""
    ids, positions = execution.audience.population.ids, execution.audience.positions
    flags = execution.occurrence.rows.assigned()
    for start in range(0, len(flags), MAX_UPDATED):
        part = slice(start, start + MAX_UPDATED)
        yield {
            "TimeStamp": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
            "CampaignID": execution.occurrence.number,
            "PromosUpdated": [
                {"CustomerID": str(ids[position]), "Status": bool(status)}
                for position, status in zip(positions[part], flags[part], strict=True)
            ],
        }
