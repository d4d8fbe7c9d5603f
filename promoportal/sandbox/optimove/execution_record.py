"""The record of one execution of a scenario's campaign."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from promoportal.sandbox.engine import NOTHING, Value
from promoportal.sandbox.optimove.audience import Audience
from promoportal.sandbox.optimove.occurrences import Occurrence
from promoportal.sandbox.optimove.promotion_usage import Batch
from promoportal.sandbox.scenarios.scenario import Campaign


@dataclass
class Step:
    """One step of "How It Works" in Optimove's guide: its name, duration and result."""

    name: str
    at: float
    seconds: float = 0.0
    told: str = ""

    def log(self, result: str) -> None:
        self.told = result


@dataclass(frozen=True)
class TriggerEvent:
    """The event that triggered an execution, with the event's values per customer."""

    name: str
    values: Mapping[int, Mapping[str, Value]]  # by position, in the order of the events


@dataclass
class Mailed:
    """The number of emails of an execution."""

    sent: int = 0  # recipients with an address
    kept: int = 0  # written to a file, or sent to an SMTP server
    where: str = ""  # the folder or the server


@dataclass
class Execution:
    """The record of one execution of a scenario's campaign."""

    campaign: Campaign
    occurrence: Occurrence
    audience: Audience
    seeds: Mapping[str, int]  # for the serving order, by promotion ID
    trigger_event: TriggerEvent | None = None
    announce: bool = True
    day: date = field(default_factory=lambda: datetime.now(UTC).date())
    steps: list[Step] = field(default_factory=list)
    mailed: Mailed = field(default_factory=Mailed)
    problem: str = ""
    over: bool = False
    validated: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Record the `with` block as a step, with its duration."""
        step = Step(name, time.time())
        self.steps.append(step)
        began = time.perf_counter()
        try:
            yield step
        finally:
            step.seconds = round(time.perf_counter() - began, 3)

    @property
    def batches(self) -> Sequence[Batch]:
        """The batches to calculate: all customers, or one batch per event customer."""
        if self.trigger_event is None:
            return [Batch(self.audience.positions, NOTHING)]
        happened = self.trigger_event.values.items()
        return [Batch([position], values) for position, values in happened]

    def values(self, position: int) -> Mapping[str, Value]:
        return self.trigger_event.values[position] if self.trigger_event else NOTHING
