"""What a scenario sets up: customers, target groups, promotions, campaigns, events."""

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
    """The audience of a campaign: by conditions, or from a one-column CSV of ids."""

    id: int
    name: str
    condition: Condition = EVERYONE
    members: Sequence[str] | None = None  # None: whoever the condition matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign plan; each time it is executed there is an occurrence of it."""

    plan: int  # "Plan ID", seriesId
    name: str
    target_group: TargetGroup
    promotions: tuple[str, ...]  # their ids
    channels: tuple[int, ...]
    event: str | None = None  # its name, where the campaign is triggered by one
    at: time | None = None  # in UTC, where it is scheduled; None: when told to
    email: Email | None = None

    @property
    def is_triggered(self) -> bool:
        return self.event is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something customers do while the scenario runs: `deposit`, with an `amount`."""

    name: str
    customers: Sequence[str] | int  # these, or so many of the population
    values: Mapping[str, Value | tuple[Decimal, Decimal]] = field(
        default_factory=lambda: NOTHING
    )  # as they are, or anywhere from the one to the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A whole desk: one file, and the files it names."""

    path: Path
    title: str
    about: str
    seed: int
    population: Population
    groups: tuple[TargetGroup, ...]
    promotions: tuple[Promotion, ...]
    campaigns: tuple[Campaign, ...]
    events: tuple[Event, ...] = ()
