"""
What the vendor's campaigns gave to whom.

One execution of a campaign is an occurrence, and has one row for each customer and
promotion.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from promoportal.sandbox.optimove.assignment_rows import Assigned, Row, Rows
from promoportal.sandbox.optimove.assignment_table import Table, no_customer
from promoportal.sandbox.optimove.audience import Audience
from promoportal.sandbox.optimove.sample_customers import Customer
from promoportal.sandbox.optimove.weighted_outcomes import (
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
_EXACT = 16  # digits
_BEGINNING = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


@dataclass
class Occurrence:
    """One execution of a campaign, and its rows in the order they are listed."""

    id: str
    series: str
    channels: tuple[int, ...]
    triggered: bool = False
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cancelled: bool = False
    audience: Audience | None = None  # whom a scenario's campaign is for
    name: str = "Welcome back"
    statuses: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        who = self.audience.position if self.audience else no_customer
        self.rows = Rows(self.id, who)

    @property
    def number(self) -> str | int:
        return as_number(self.id)

    def add(self, row: Row) -> None:
        self.rows.add(row)
        self.statuses[row.status] += 1

    def install(self, table: Table) -> None:
        """List what was calculated, in one step."""
        self.rows.install(table)
        self.statuses.update(table.counts)

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
        return self.rows.find(assignment)

    def change(
        self, row: Row, *, status: str | None = None, reward: Reward | None = None
    ) -> None:
        self.statuses[row.status] -= 1
        row.change(status=status, reward=reward)
        self.statuses[row.status] += 1

    def remove(self, row: Row) -> Callable[[], None]:
        """List it no longer; gives what lists it again."""
        return self._gone(row, self.rows.remove(row))

    def hide(self, row: Row) -> Callable[[], None]:
        """List it no longer, and know it all the same; gives what lists it again."""
        return self._gone(row, self.rows.hide(row))

    def _gone(self, row: Row, put_back: Callable[[], None]) -> Callable[[], None]:
        self.statuses[row.status] -= 1

        def again() -> None:
            put_back()
            self.statuses[row.status] += 1

        return again

    def among(self, customers: Collection[str] | None) -> Sequence[Row]:
        """List the rows of these customers, or all."""
        if customers is None:
            return self.rows
        return [row for one in customers for row in self.rows.of(one)]

    def codes_of(self, customer: str) -> list[str]:
        """The codes of what a customer was assigned."""
        return [row.code for row in self.rows.of(customer) if row.status == ASSIGNED]

    def cancel(self, *, relist: bool) -> None:
        self.cancelled = True
        for row in self.rows if relist else ():
            if row.status == ASSIGNED:
                self.change(row, status=CANCELLED)

    def _assigned(
        self,
        customer: Customer,
        promotion: Promotion,
        status: str,
        tier: Tier | None,
        at: str,
    ) -> Assigned:
        assignment = self.rows.fresh_assignment(as_number=customer.id)
        code = f"U-{assignment}" if tier and promotion.unique_codes else None
        reward = tier.reward if tier else None
        return Assigned(assignment, customer.id, promotion, status, reward, code, at)


def as_number(name: str) -> str | int:
    """Return an id as Optimove says it: as a number, if every JSON reader keeps it."""
    return int(name) if name.isdecimal() and len(name) < _EXACT else name


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
        audience: Audience | None = None,
        name: str = "Welcome back",
    ) -> Occurrence:
        """Start an occurrence, or give back the one that has this id."""
        known = str(occurrence) if occurrence is not None else self._fresh()
        if known not in self._occurrences:
            self._occurrences[known] = Occurrence(
                known,
                self._plan(series),
                tuple(channels),
                triggered,
                audience=audience,
                name=name,
            )
        return self._occurrences[known]

    def get(self, occurrence: str) -> Occurrence | None:
        return self._occurrences.get(occurrence)

    def known(self, occurrence: str | int) -> Occurrence:
        """
        Get the one with this id.

        :raises ValueError: if there is none
        """
        found = self._occurrences.get(str(occurrence))
        if found is None:
            raise ValueError(f"There is no occurrence {occurrence}.")
        return found

    def _fresh(self) -> str:
        self._last = max(self._last + 1, int((time.time() - _BEGINNING) * 10))
        return str(self._last)

    def _plan(self, series: str | int | None) -> str:
        self._series += 1
        return str(self._series) if series is None else str(series)
