"""One execution of a scenario's campaign, and how far it has come."""

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
from promoportal.sandbox.optimove.promotion_usage import Asking
from promoportal.sandbox.scenarios.scenario import Campaign


@dataclass
class Step:
    """One step of "How It Works", as it went."""

    name: str
    at: float
    seconds: float = 0.0
    told: str = ""

    def say(self, told: str) -> None:
        self.told = told


@dataclass(frozen=True)
class TriggerEvent:
    """What customers did that set it off, and with which values each."""

    name: str
    values: Mapping[int, Mapping[str, Value]]  # by position, as it happened


@dataclass
class Mailed:
    """How many mails went out, and how many of them can be looked at."""

    sent: int = 0
    kept: int = 0
    where: str = ""


@dataclass
class Execution:
    """From the campaign webhook to the notices."""

    campaign: Campaign
    occurrence: Occurrence
    audience: Audience
    seeds: Mapping[str, int]  # by which each of its promotions draws lots
    happening: TriggerEvent | None = None
    announce: bool = True
    day: date = field(default_factory=lambda: datetime.now(UTC).date())
    steps: list[Step] = field(default_factory=list)
    mailed: Mailed = field(default_factory=Mailed)
    problem: str = ""
    over: bool = False
    validated: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Keep how long a step takes, and what came of it."""
        step = Step(name, time.time())
        self.steps.append(step)
        began = time.perf_counter()
        try:
            yield step
        finally:
            step.seconds = round(time.perf_counter() - began, 3)

    @property
    def asked(self) -> Sequence[Asking]:
        """The customers to calculate: together, or one by one as it happened."""
        if self.happening is None:
            return [Asking(self.audience.positions, NOTHING)]
        happened = self.happening.values.items()
        return [Asking([position], values) for position, values in happened]

    def values(self, position: int) -> Mapping[str, Value]:
        return self.happening.values[position] if self.happening else NOTHING
