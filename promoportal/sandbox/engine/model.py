"""
What an operator sets up in Optimove: promotions, their tiers, their limits.

Values only; what they mean is in the modules beside this one. CONFIRMED and ASSUMED as
in optimove.md, section 5.
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
# Names in conditions and percentages that mean a value of the event begin with this.
EVENT = "event."


class Population(Protocol):
    """Customers by position, their attributes by column: a million fit."""

    @property
    def ids(self) -> Sequence[str | int]:
        """One for each customer, by position."""

    @property
    def attributes(self) -> Sequence[str]:
        """The names there are."""

    def column(self, attribute: str) -> Sequence[Value]:
        """
        The values of all customers, by position.

        :raises KeyError: if no customer has such an attribute
        """

    def __len__(self) -> int: ...


# --- Conditions ---------------------------------------------------------------------------


class Comparison(enum.StrEnum):
    """How a value is compared with what is asked for; a missing one never matches."""

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
    """Every branch must hold; none at all: everyone matches."""

    branches: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Any:
    """At least one branch must hold; none at all: no one matches."""

    branches: tuple[Condition, ...] = ()


# CONFIRMED: a tree of branches. The vendor writes it as a list in which a branch's parent
# has a lower index; a nested value says the same and cannot be circular.
Condition = Test | All | Any
EVERYONE = All()


# --- Rewards --------------------------------------------------------------------------------


class Category(enum.StrEnum):
    """CONFIRMED: money, or a number of things."""

    AMOUNT = "Amount"
    UNITS = "Units"


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same for everyone: money in its currency, or a number of units."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Percentage:
    """A part of an attribute (or `event.` value), within bounds. CONFIRMED."""

    percent: Decimal  # 10 is a tenth
    attribute: str
    minimum: Decimal | None = None
    maximum: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reward:
    """What a tier gives."""

    category: Category
    type: str  # "BonusCash", "FreeSpins"
    measure: str  # the currency (ISO 4217) of an amount, the name of a unit
    size: Fixed | Percentage


@dataclass(frozen=True, slots=True)
class Tier:
    """One level of a promotion. CONFIRMED: the order of tiers is their priority."""

    id: str
    name: str
    reward: Reward | None = None  # None: the code is all that is given
    condition: Condition = EVERYONE


# --- Limits ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of one category and measure a promotion may give in its whole life."""

    category: Category
    measure: str
    total: Decimal


class Timeframe(enum.StrEnum):
    """What a cap counts over; a day is one of UTC. ASSUMED."""

    DAILY = "daily"
    LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True)
class Cap:
    """How many recipients a promotion may have within a timeframe."""

    recipients: int
    timeframe: Timeframe = Timeframe.LIFETIME

    def used(self, account: Account) -> int:
        """How many of them there are already, in the timeframe that counts."""
        is_daily = self.timeframe is Timeframe.DAILY
        return account.today if is_daily else account.recipients


class Direction(enum.StrEnum):
    """Which end of the order is served first."""

    HIGH_TO_LOW = "high to low"
    LOW_TO_HIGH = "low to high"


@dataclass(frozen=True, slots=True)
class Sorting:
    """Who comes first. Without one the choice is random (CONFIRMED), but seeded (ASSUMED)."""

    attribute: str
    direction: Direction = Direction.HIGH_TO_LOW


@dataclass(frozen=True, slots=True)
class UniqueCodes:
    """One code for each recipient, in this order, and what comes after the last."""

    codes: Sequence[str]
    fallback: str | None = None


# --- Promotions -----------------------------------------------------------------------------


class State(enum.StrEnum):
    """CONFIRMED: Draft -> Active <-> Deactivated -> Archived, which is final."""

    DRAFT = "Draft"
    ACTIVE = "Active"
    DEACTIVATED = "Deactivated"
    ARCHIVED = "Archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What is offered, to whom, and within which limits."""

    id: str
    code: str  # the shared code, which campaigns know it by
    name: str
    tiers: tuple[Tier, ...]
    properties: Mapping[str, object] = field(default_factory=dict)
    budget: Budget | None = None
    cap: Cap | None = None
    sorting: Sorting | None = None
    unique_codes: UniqueCodes | None = None
    state: State = State.ACTIVE
    frozen: bool = False  # its tiers were active once, and stay as they are


# --- What comes of it ------------------------------------------------------------------------


class Status(enum.StrEnum):
    """Exactly one for each targeted customer. ASSUMED names (optimove.md, section 4)."""

    ASSIGNED = "Assigned"
    NOT_ELIGIBLE = "NotEligible"
    BUDGET_EXCEEDED = "BudgetExceeded"
    AUDIENCE_CAP_REACHED = "AudienceCapReached"
    NO_CODE_AVAILABLE = "NoCodeAvailable"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Account:
    """What a promotion has used up so far: kept between allocations, never edited."""

    spent: Decimal = Decimal(0)
    recipients: int = 0  # in its whole life
    today: int = 0  # on `day`
    day: date | None = None
    codes_used: int = 0


class Outcome(NamedTuple):
    """What became of one targeted customer; all but the status empty unless Assigned."""

    position: int  # in the population
    status: Status
    tier: Tier | None = None
    value: Decimal | None = None
    unique_code: str | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """One outcome for each targeted customer, in the order they were targeted."""

    outcomes: Sequence[Outcome]
    account: Account  # from now on
