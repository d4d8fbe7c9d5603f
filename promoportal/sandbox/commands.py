"""Commands to the simulated Optimove. They check their values, but not their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from promoportal.sandbox.engine import Value
from promoportal.sandbox.faults import MAX_SECONDS
from promoportal.sandbox.optimove.sample_customers import Ids
from promoportal.sandbox.optimove.sample_promotions import chosen
from promoportal.sandbox.optimove.webhook_sender import Casing
from promoportal.sandbox.optimove.weighted_outcomes import UNLUCKY, Mix, Promotion

MAX_CUSTOMERS = 5_000_000


@dataclass(frozen=True, kw_only=True)
class _Order:
    """The common fields of commands that execute a campaign outside a scenario."""

    promotions: Sequence[str | Promotion] = ("promo-17",)
    eligible: float = 0.8
    statuses: Mapping[str, float] = field(default_factory=lambda: UNLUCKY)
    channels: Sequence[int] = (505,)
    ids: Ids = "strings"
    seed: int | None = None
    series: str | int | None = None
    announce: bool = True

    def __post_init__(self) -> None:
        chosen(self.promotions)
        _require(0 <= self.eligible <= 1, "eligible must be from 0 to 1")
        weights = self.statuses.values()
        are_numbers = all(isinstance(weight, int | float) for weight in weights)
        _require(weights and are_numbers, "each of statuses must have a number")
        _require(min(self.channels, default=0) >= 0, "channels must not be negative")

    @property
    def offers(self) -> tuple[Promotion, ...]:
        return chosen(self.promotions)

    @property
    def mix(self) -> Mix:
        return Mix(self.eligible, self.statuses)


@dataclass(frozen=True, kw_only=True)
class Launch(_Order):
    """A command to execute a scheduled campaign for generated customers."""

    customers: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        is_valid = 0 <= self.customers <= MAX_CUSTOMERS
        _require(is_valid, f"customers must be from 0 to {MAX_CUSTOMERS:,}")


@dataclass(frozen=True, kw_only=True)
class Trigger(_Order):
    """A command to execute a triggered campaign."""

    customers: int | Sequence[str | int] = 1  # how many to generate, or IDs
    occurrence: str | int | None = None  # None: a new execution
    eligible: float = 1.0
    casing: Casing = "alternate"
    listed_after: float = 0.0  # seconds until the rows are listed

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(_are_customers(self.customers), _WHO)
        is_valid = 0 <= self.listed_after <= MAX_SECONDS
        _require(is_valid, f"listed_after must be from 0 to {MAX_SECONDS:,} seconds")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A command to execute a scenario's campaign: now, or at the time in `at`."""

    plan: int
    at: str | None = None
    announce: bool = True

    def __post_init__(self) -> None:
        _require(self.plan >= 0, "plan must be the ID of a campaign")
        _require(self.due is None or self.due.tzinfo is not None, _AT)

    @property
    def due(self) -> datetime | None:
        try:
            return datetime.fromisoformat(self.at) if self.at is not None else None
        except ValueError as error:
            raise ValueError(f"{_AT}.") from error


@dataclass(frozen=True, kw_only=True)
class Event:
    """A command to trigger an event for customers of the scenario."""

    name: str
    # A number of random customers, or IDs; None: as in the scenario.
    customers: int | Sequence[str | int] | None = None
    # Fixed, or a range of two numbers; None: as in the scenario.
    values: Mapping[str, object] | None = None
    announce: bool = True

    def __post_init__(self) -> None:
        _require(_are_customers(self.customers), _WHO)
        values = (self.values or {}).values()
        _require(all(_is_value(one) for one in values), _VALUES)

    @property
    def drawn(self) -> dict[str, Value | tuple[Decimal, Decimal]] | None:
        if self.values is None:
            return None
        return {name: _value(given) for name, given in self.values.items()}


@dataclass(frozen=True, kw_only=True)
class Life:
    """A command to activate, deactivate or archive a promotion of the scenario."""

    id: str
    do: str


_AT = "at must be a time with a time zone"
_WHO = "customers must be a number or a list of customer IDs"
_VALUES = "each value must be a string, a number, a boolean or a range of two numbers"


def _is_value(given: object) -> bool:
    if isinstance(given, list | tuple):
        return len(given) == 2 and all(_is_number(one) for one in given)
    return isinstance(given, str | int | float)


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _value(given: Any) -> Value | tuple[Decimal, Decimal]:
    """Return a value with decimals instead of floats, so that money is exact."""
    if isinstance(given, list | tuple):
        return Decimal(str(given[0])), Decimal(str(given[1]))
    return Decimal(str(given)) if isinstance(given, float) else given


def _are_customers(given: int | Sequence[str | int] | None) -> bool:
    return not isinstance(given, int) or given >= 0


def _require(fine: object, sentence: str) -> None:
    if not fine:
        raise ValueError(f"{sentence}.")
