"""Data classes of what an operator configures in Optimove."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple, Protocol

# None: the customer does not have the attribute, or the event does not have the value.
Value = str | int | float | Decimal | date | bool | None
NOTHING: Mapping[str, Value] = MappingProxyType({})
# ASSUMED: in conditions and percentages, a name with this prefix is an event value.
EVENT = "event."


class Population(Protocol):
    """Customers by position. Their attributes are in columns, to save memory."""

    @property
    def ids(self) -> Sequence[str | int]:
        """The IDs of all customers, by position."""

    @property
    def attributes(self) -> Sequence[str]:
        """The names of all attributes."""

    def column(self, attribute: str) -> Sequence[Value]:
        """Return all values, or raise KeyError if no customer has the attribute."""

    def __len__(self) -> int: ...


# --- Conditions ---------------------------------------------------------------------------


class Comparison(enum.StrEnum):
    """
    A comparison of an attribute with a wanted value.

    If the customer's value or the wanted value is missing, every comparison is false,
    also IS_NOT and NONE_OF.
    """

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
    """A comparison of one attribute, or one `event.` value, with one or more values."""

    attribute: str
    comparison: Comparison
    wanted: Value | tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class All:
    """A condition that is true if all branches are true, or if it has no branches."""

    branches: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Any:
    """A condition that is true if at least one branch is true."""

    branches: tuple[Condition, ...] = ()


# CONFIRMED: a tree of branches. Optimove stores the tree as a list, in which a parent
# has a lower index than its branches. Nested objects mean the same and have no cycles.
Condition = Test | All | Any
EVERYONE = All()


# --- Rewards --------------------------------------------------------------------------------


class Category(enum.StrEnum):
    """The category of a reward: money, or a number of units. CONFIRMED."""

    AMOUNT = "Amount"
    UNITS = "Units"


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same value for all customers: an amount of money, or a number of units."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Percentage:
    """CONFIRMED: a percentage of an attribute or an `event.` value, within bounds."""

    percent: Decimal  # 10 means 10 %
    attribute: str
    minimum: Decimal | None = None
    maximum: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of a tier: its category, type, currency or unit, and value."""

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
    """The maximum total value of a promotion's rewards, in one currency or unit."""

    category: Category
    measure: str
    total: Decimal


class Timeframe(enum.StrEnum):
    """The period in which a cap counts recipients. ASSUMED: a day is a UTC day."""

    DAILY = "daily"
    LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True)
class Cap:
    """The maximum number of recipients of a promotion within a timeframe."""

    recipients: int
    timeframe: Timeframe = Timeframe.LIFETIME

    def used(self, account: Account) -> int:
        """Return the number of recipients in the current timeframe so far."""
        is_daily = self.timeframe is Timeframe.DAILY
        return account.today if is_daily else account.recipients


class Direction(enum.StrEnum):
    """The direction in which customers are sorted by an attribute."""

    HIGH_TO_LOW = "high to low"
    LOW_TO_HIGH = "low to high"


@dataclass(frozen=True, slots=True)
class Sorting:
    """The attribute that sets the order in which customers are served."""

    attribute: str
    direction: Direction = Direction.HIGH_TO_LOW


@dataclass(frozen=True, slots=True)
class UniqueCodes:
    """Codes, of which each recipient gets the next, and a fallback after the last."""

    codes: Sequence[str]
    fallback: str | None = None


# --- Promotions -----------------------------------------------------------------------------


class State(enum.StrEnum):
    """The state of a promotion. `promotion_states` has the transitions."""

    DRAFT = "Draft"
    ACTIVE = "Active"
    DEACTIVATED = "Deactivated"
    ARCHIVED = "Archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A promotion with its tiers and limits."""

    id: str
    code: str  # the shared code, by which campaigns refer to the promotion
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
    """The status of a customer. ASSUMED: the names (optimove.md, section 4)."""

    ASSIGNED = "Assigned"
    NOT_ELIGIBLE = "NotEligible"
    BUDGET_EXCEEDED = "BudgetExceeded"
    AUDIENCE_CAP_REACHED = "AudienceCapReached"
    NO_CODE_AVAILABLE = "NoCodeAvailable"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Account:
    """The usage of a promotion so far, which one allocation passes to the next."""

    spent: Decimal = Decimal(0)
    recipients: int = 0  # in the promotion's lifetime
    today: int = 0  # on `day`
    day: date | None = None
    codes_used: int = 0


class Outcome(NamedTuple):
    """
    The result for a targeted customer.

    If the status is not Assigned, all fields after `status` are None.
    """

    position: int  # in the population
    status: Status
    tier: Tier | None = None
    value: Decimal | None = None
    unique_code: str | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """The outcomes in the order of the targeted customers, and the new account."""

    outcomes: Sequence[Outcome]
    account: Account  # after this allocation
