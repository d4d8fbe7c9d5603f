"""
What the vendor's campaigns gave to whom.

One execution of a campaign is an occurrence, and has one row for each customer and
promotion, kept as small as can be: a large campaign has a million.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from promoportal.sandbox._customers import Customer
from promoportal.sandbox._messages import identity
from promoportal.sandbox._outcomes import (
    ASSIGNED,
    CANCELLED,
    Mix,
    Promotion,
    Reward,
    Tier,
    decide,
)

# Occurrence ids are tenths of seconds since then: they fit 32 bits, and no later run
# of the sandbox meets the ids of an earlier one, which the portal's database remembers.
_BEGINNING = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
# Well below 2**53, where a JSON reader may begin to round.
_ROWS = 10_000_000


class Row(Protocol):
    """One entry of Customer Assignment."""

    @property
    def assignment(self) -> str | None: ...
    @property
    def customer(self) -> str | None: ...
    @property
    def promotion(self) -> str | None: ...
    @property
    def code(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def reward(self) -> Reward | None: ...

    reference: str | None  # of the redemption that was reported

    def listed(self) -> object:
        """Say it as Customer Assignment does."""

    def change(self, *, status: str | None, reward: Reward | None) -> None:
        """Be another status, another reward, from now on."""


@dataclass(slots=True)
class Assigned:
    """A row the engine made."""

    assignment_id: str | int
    customer_id: str | int
    offer: Promotion
    status: str
    reward: Reward | None
    unique_code: str | None
    assigned_at: str
    reference: str | None = None

    @property
    def assignment(self) -> str:
        return str(self.assignment_id)

    @property
    def customer(self) -> str:
        return str(self.customer_id)

    @property
    def promotion(self) -> str:
        return self.offer.id

    @property
    def code(self) -> str:
        return self.offer.code

    def change(self, *, status: str | None, reward: Reward | None) -> None:
        self.status = status or self.status
        self.reward = reward if reward is not None else self.reward

    def listed(self) -> dict[str, object]:
        given = self.status == ASSIGNED
        return {
            "assignmentId": self.assignment_id,
            "customerId": self.customer_id,
            "promotionId": self.offer.id,
            "promotionCode": self.offer.code,
            "status": self.status,
            "reward": self.reward if given else None,
            "uniqueCode": self.unique_code if given else None,
            "properties": self.offer.properties,
            "assignedAt": self.assigned_at,
        }


@dataclass(slots=True)
class Handmade:
    """A row made by hand, which may be any JSON at all."""

    said: object
    reference: str | None = None

    @property
    def assignment(self) -> str | None:
        return self._id("assignmentId")

    @property
    def customer(self) -> str | None:
        return self._id("customerId")

    @property
    def promotion(self) -> str | None:
        return self._id("promotionId")

    @property
    def code(self) -> str:
        return self._id("promotionCode") or ""

    @property
    def status(self) -> str:
        return self._id("status") or "unreadable"

    @property
    def reward(self) -> Reward | None:
        reward = self._get("reward")
        return reward if isinstance(reward, dict) else None

    def change(self, *, status: str | None, reward: Reward | None) -> None:
        if isinstance(self.said, dict):
            changes = {"status": status, "reward": reward}
            self.said |= {name: new for name, new in changes.items() if new is not None}

    def listed(self) -> object:
        return self.said

    def _get(self, name: str) -> object:
        return self.said.get(name) if isinstance(self.said, dict) else None

    def _id(self, name: str) -> str | None:
        return identity(self._get(name))


@dataclass
class Occurrence:
    """One execution of a campaign, and its rows in the order they are listed."""

    id: str
    series: str
    channels: tuple[int, ...]
    triggered: bool = False
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cancelled: bool = False
    rows: list[Row] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    _made: int = 0
    _by_assignment: dict[str, Row] = field(default_factory=dict)
    # Made when first asked for: a large campaign is listed whole and never needs it.
    _by_customer: dict[str, list[Row]] | None = None

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.statuses[row.status] += 1
        if row.assignment is not None:
            self._by_assignment[row.assignment] = row
        if self._by_customer is not None:
            self._by_customer.setdefault(row.customer or "", []).append(row)

    def give(
        self, customers: Iterable[Customer], promotions: Sequence[Promotion], mix: Mix
    ) -> None:
        """Let each promotion decide about each customer."""
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        for customer in customers:
            for promotion in promotions:
                status, tier = decide(customer, promotion, mix)
                self.add(self._assigned(customer, promotion, status, tier, at))

    def give_once(
        self, customers: Iterable[Customer], promotions: Sequence[Promotion], mix: Mix
    ) -> None:
        """The same, but for customers who have something from it already."""
        for customer in customers:
            if not self.among([str(customer.id)]):
                self.give([customer], promotions, mix)

    def row(self, assignment: str) -> Row | None:
        return self._by_assignment.get(assignment)

    def change(
        self, row: Row, *, status: str | None = None, reward: Reward | None = None
    ) -> None:
        self.statuses[row.status] -= 1
        row.change(status=status, reward=reward)
        self.statuses[row.status] += 1

    def remove(self, row: Row) -> None:
        """List it no longer."""
        self.rows = [other for other in self.rows if other is not row]
        self.statuses[row.status] -= 1
        self._by_assignment.pop(row.assignment or "", None)
        self._by_customer = None

    def among(self, customers: Collection[str] | None) -> Sequence[Row]:
        """List the rows of these customers, or all."""
        if customers is None:
            return self.rows
        return [row for one in customers for row in self._of_customers().get(one, ())]

    def cancel(self, *, relist: bool) -> None:
        self.cancelled = True
        for row in self.rows if relist else ():
            if row.status == ASSIGNED:
                self.change(row, status=CANCELLED)

    def fresh_assignment(self, *, number: bool = False) -> str | int:
        """Make an assignment id, as text or as a number."""
        self._made += 1
        if number:
            return int(self.id) * _ROWS + self._made
        return f"{self.id}-{self._made:x}"

    def _assigned(
        self,
        customer: Customer,
        promotion: Promotion,
        status: str,
        tier: Tier | None,
        at: str,
    ) -> Assigned:
        number = isinstance(customer.id, int) and self.id.isdecimal()
        assignment = self.fresh_assignment(number=number)
        code = f"U-{assignment}" if tier and promotion.unique_codes else None
        reward = tier.reward if tier else None
        return Assigned(assignment, customer.id, promotion, status, reward, code, at)

    def _of_customers(self) -> Mapping[str, list[Row]]:
        if self._by_customer is None:
            self._by_customer = {}
            for row in self.rows:
                self._by_customer.setdefault(row.customer or "", []).append(row)
        return self._by_customer


@dataclass
class Campaigns:
    """Every occurrence there was, by its id."""

    _occurrences: dict[str, Occurrence] = field(default_factory=dict)
    _last: int = 0
    _series: int = 119

    def __iter__(self) -> Iterator[Occurrence]:
        return iter(self._occurrences.values())

    def open(
        self,
        occurrence: str | int | None = None,
        *,
        channels: Sequence[int] = (505,),
        series: str | int | None = None,
        triggered: bool = False,
    ) -> Occurrence:
        """Start an occurrence, or give back the one that has this id."""
        name = str(occurrence) if occurrence is not None else self._fresh()
        if name not in self._occurrences:
            self._occurrences[name] = Occurrence(
                name, self._plan(series), tuple(channels), triggered
            )
        return self._occurrences[name]

    def get(self, occurrence: str) -> Occurrence | None:
        return self._occurrences.get(occurrence)

    def known(self, occurrence: str | int) -> Occurrence:
        """
        Get the one with this id.

        :raises ValueError: if there is none
        """
        found = self._occurrences.get(str(occurrence))
        if found is None:
            msg = f"There is no occurrence {occurrence}."
            raise ValueError(msg)
        return found

    def _fresh(self) -> str:
        self._last = max(self._last + 1, int((time.time() - _BEGINNING) * 10))
        return str(self._last)

    def _plan(self, series: str | int | None) -> str:
        self._series += 1
        return str(self._series) if series is None else str(series)
