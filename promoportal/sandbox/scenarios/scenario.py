"""Data classes of a scenario: target groups, promotions, campaigns, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from decimal import Decimal
from pathlib import Path

from promoportal.sandbox.engine import (
    EVERYONE,
    NOTHING,
    Condition,
    Population,
    Promotion,
    Value,
)
from promoportal.sandbox.mails import Email


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """The audience of a campaign, defined by a condition or by a list of IDs."""

    id: int
    name: str
    condition: Condition = EVERYONE
    members: Sequence[str] | None = None  # IDs; None: all customers who match


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign. Each execution of it is an occurrence."""

    plan: int  # "Plan ID", seriesId
    name: str
    target_group: TargetGroup
    promotions: tuple[str, ...]  # their IDs
    channels: tuple[int, ...]
    event: str | None = None  # name of the event that triggers the campaign, if any
    at: time | None = None  # scheduled time in UTC; None: executed on request
    email: Email | None = None

    @property
    def is_triggered(self) -> bool:
        return self.event is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of customers in a scenario, for example `deposit` with an `amount`."""

    name: str
    customers: Sequence[str] | int  # IDs, or a number of random customers
    values: Mapping[str, Value | tuple[Decimal, Decimal]] = field(
        default_factory=lambda: NOTHING
    )  # fixed, or a range (lowest, highest) from which a value is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The contents of one scenario file, and of the files that it names."""

    path: Path
    title: str
    about: str
    seed: int
    population: Population
    groups: tuple[TargetGroup, ...]
    promotions: tuple[Promotion, ...]
    campaigns: tuple[Campaign, ...]
    events: tuple[Event, ...] = ()
