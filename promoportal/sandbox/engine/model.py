"""
Data classes for what an operator sets up in Optimove: promotions, tiers, limits.

These are values only; the modules beside this one apply them. CONFIRMED and ASSUMED
have the meaning of optimove.md, section 5.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple, Protocol

# None: the customer has no such attribute, or the event no such value.
Value = str | int | float | Decimal | date | bool | None
NOTHING: Mapping[str, Value] = MappingProxyType({})
# Prefix of the names in conditions and percentages that refer to a value of the event.
EVENT = "event."


class Population(Protocol):
    """Customers by position, with attributes in columns: a million fit in memory."""

    @property
    def ids(self) -> Sequence[str | int]:
        """The ID of each customer, by position."""

    @property
    def attributes(self) -> Sequence[str]:
        """The names of all attributes."""

    def column(self, attribute: str) -> Sequence[Value]:
        """
        Return the values of all customers, by position.

        :raises KeyError: if no customer has the attribute
        """

    def __len__(self) -> int: ...


# --- Conditions ---------------------------------------------------------------------------


class Comparison(enum.StrEnum):
    """A comparison of an attribute with a wanted value; false if one is missing."""

    IS = "is"
    IS_NOT = "is_not"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    ABOVE = "above"
    BELOW = "below"
    ONE_OF = "one_of"
    NONE_OF = "none_of"


@dataclass(frozen=True, slots=True)
class Test:
    """A leaf: one attribute (or `event.` value) compared with one or more values."""

    attribute: str
    comparison: Comparison
    wanted: Value | tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class All:
    """A condition that every branch must match; without branches everyone matches."""

    branches: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Any:
    """A condition that at least one branch must match; without branches no one does."""

    branches: tuple[Condition, ...] = ()


# CONFIRMED: a tree of branches. Optimove writes it as a list in which a branch's parent
# has a lower index; a nested value has the same meaning and cannot be circular.
Condition = Test | All | Any
EVERYONE = All()


# --- Rewards --------------------------------------------------------------------------------


class Category(enum.StrEnum):
    """The category of a reward: money, or a number of units. CONFIRMED."""

    AMOUNT = "Amount"
    UNITS = "Units"


@dataclass(frozen=True, slots=True)
class Fixed:
    """A size that is equal for all: money in its currency, or a number of units."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Percentage:
    """A percentage of an attribute (or `event.` value), within bounds. CONFIRMED."""

    percent: Decimal  # 10 means 10 %
    attribute: str
    minimum: Decimal | None = None
    maximum: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of a tier."""

    category: Category
    type: str  # "BonusCash", "FreeSpins"
    measure: str  # currency (ISO 4217) of an amount, or name of a unit
    size: Fixed | Percentage


@dataclass(frozen=True, slots=True)
class Tier:
    """One level of a promotion. CONFIRMED: the order of tiers is their priority."""

    id: str
    name: str
    reward: Reward | None = None  # None: the customer gets only a code
    condition: Condition = EVERYONE


# --- Limits ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Budget:
    """The total of one category and measure that a promotion may ever give."""

    category: Category
    measure: str
    total: Decimal


class Timeframe(enum.StrEnum):
    """The period over which a cap counts; a day is a UTC day. ASSUMED."""

    DAILY = "daily"
    LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True)
class Cap:
    """The maximum number of recipients of a promotion within a timeframe."""

    recipients: int
    timeframe: Timeframe = Timeframe.LIFETIME

    def used(self, account: Account) -> int:
        """Return the number of recipients counted so far in the timeframe."""
        is_daily = self.timeframe is Timeframe.DAILY
        return account.today if is_daily else account.recipients


class Direction(enum.StrEnum):
    """The end of the order that is served first."""

    HIGH_TO_LOW = "high to low"
    LOW_TO_HIGH = "low to high"


@dataclass(frozen=True, slots=True)
class Sorting:
    """The order of serving. Default: random (CONFIRMED), from a seed (ASSUMED)."""

    attribute: str
    direction: Direction = Direction.HIGH_TO_LOW


@dataclass(frozen=True, slots=True)
class UniqueCodes:
    """Codes for one recipient each, in this order, and the fallback after the last."""

    codes: Sequence[str]
    fallback: str | None = None


# --- Promotions -----------------------------------------------------------------------------


class State(enum.StrEnum):
    """A state. CONFIRMED: Draft -> Active <-> Deactivated -> Archived (final)."""

    DRAFT = "Draft"
    ACTIVE = "Active"
    DEACTIVATED = "Deactivated"
    ARCHIVED = "Archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A promotion with its tiers and limits."""

    id: str
    code: str  # shared code; campaigns refer to the promotion by it
    name: str
    tiers: tuple[Tier, ...]
    properties: Mapping[str, object] = field(default_factory=dict)
    budget: Budget | None = None
    cap: Cap | None = None
    sorting: Sorting | None = None
    unique_codes: UniqueCodes | None = None
    state: State = State.ACTIVE


# --- Results --------------------------------------------------------------------------------


class Status(enum.StrEnum):
    """The status of a targeted customer. ASSUMED names (optimove.md, section 4)."""

    ASSIGNED = "Assigned"
    NOT_ELIGIBLE = "NotEligible"
    BUDGET_EXCEEDED = "BudgetExceeded"
    AUDIENCE_CAP_REACHED = "AudienceCapReached"
    NO_CODE_AVAILABLE = "NoCodeAvailable"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Account:
    """The usage of a promotion so far; immutable, stored between allocations."""

    spent: Decimal = Decimal(0)
    recipients: int = 0  # in the promotion's lifetime
    today: int = 0  # on `day`
    day: date | None = None
    codes_used: int = 0


class Outcome(NamedTuple):
    """The result for a targeted customer; fields after the status only if Assigned."""

    position: int  # in the population
    status: Status
    tier: Tier | None = None
    value: Decimal | None = None
    unique_code: str | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """One outcome for each targeted customer, in the order they were targeted."""

    outcomes: Sequence[Outcome]
    account: Account  # after this allocation
