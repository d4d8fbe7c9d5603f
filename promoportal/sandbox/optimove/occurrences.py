"""Occurrences: executions of campaigns, and the rows of their assignments."""

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
    decide,
)

# Occurrence IDs are tenths of seconds since `_BEGINNING`. So they fit into 32 bits, and
# a later run of the sandbox does not reuse an ID that the portal's database contains.
_EXACT = 16  # digits
_BEGINNING = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


@dataclass
class Occurrence:
    """One execution of a campaign, and its rows in the order of Optimove's list."""

    id: str
    series: str
    channels: tuple[int, ...]
    triggered: bool = False
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cancelled: bool = False
    audience: Audience | None = None  # the targeted customers of a scenario's campaign
    name: str = "Welcome back"
    statuses: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        position_of = self.audience.position if self.audience else no_customer
        self.rows = Rows(self.id, position_of)

    @property
    def number(self) -> str | int:
        """The ID as a number if `as_number` can convert it, otherwise as text."""
        return as_number(self.id)

    def add(self, row: Row) -> None:
        self.rows.add(row)
        self.statuses[row.status] += 1

    def install(self, table: Table) -> None:
        """List all rows of a table of calculated outcomes."""
        self.rows.install(table)
        self.statuses.update(table.counts)

    def assign(
        self, customers: Iterable[Customer], promotions: Sequence[Promotion], mix: Mix
    ) -> None:
        """Add a row per customer and promotion, with an outcome chosen by weight."""
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        for customer in customers:
            for promotion in promotions:
                status, tier = decide(customer, promotion, mix)
                assignment = self.rows.fresh_assignment(as_number=customer.id)
                code = f"U-{assignment}" if tier and promotion.unique_codes else None
                reward = tier.reward if tier else None
                outcome = status, reward, code
                self.add(Assigned(assignment, customer.id, promotion, *outcome, at))

    def assign_once(
        self, customers: Iterable[Customer], promotions: Sequence[Promotion], mix: Mix
    ) -> None:
        """Add the rows of `assign` for customers without a row in this execution."""
        for customer in customers:
            if not self.among([str(customer.id)]):
                self.assign([customer], promotions, mix)

    def row(self, assignment: str) -> Row | None:
        return self.rows.find(assignment)

    def change(
        self, row: Row, *, status: str | None = None, reward: Reward | None = None
    ) -> None:
        self.statuses[row.status] -= 1
        row.change(status=status, reward=reward)
        self.statuses[row.status] += 1

    def remove(self, row: Row) -> Callable[[], None]:
        """Remove a row with `Rows.remove`, and update the number of its status."""
        return self._unlisted(row, self.rows.remove(row))

    def hide(self, row: Row) -> Callable[[], None]:
        """Remove a row with `Rows.hide`, and update the number of its status."""
        return self._unlisted(row, self.rows.hide(row))

    def _unlisted(self, row: Row, put_back: Callable[[], None]) -> Callable[[], None]:
        self.statuses[row.status] -= 1

        def relist_row() -> None:
            put_back()
            self.statuses[row.status] += 1

        return relist_row

    def among(self, customers: Collection[str] | None) -> Sequence[Row]:
        """Return the rows of the customers with these IDs, or all rows for None."""
        if customers is None:
            return self.rows
        return [row for customer in customers for row in self.rows.of(customer)]

    def codes_of(self, customer: str) -> list[str]:
        """Return the promotion codes of the rows that are assigned to a customer."""
        return [row.code for row in self.rows.of(customer) if row.status == ASSIGNED]

    def cancel(self, *, relist: bool) -> None:
        self.cancelled = True
        for row in self.rows if relist else ():
            if row.status == ASSIGNED:
                self.change(row, status=CANCELLED)


def as_number(name: str) -> str | int:
    """
    Return an ID as a number, or as text if it is not a number below 10^15.

    Some JSON readers round larger numbers.
    """
    return int(name) if name.isdecimal() and len(name) < _EXACT else name


@dataclass
class Campaigns:
    """All executions by ID."""

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
        """Return the execution with this ID. If there is none, start it first."""
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
        """Return the execution with this ID, or raise ValueError."""
        found = self._occurrences.get(str(occurrence))
        if found is None:
            raise ValueError(f"There is no execution {occurrence}.")
        return found

    def _fresh(self) -> str:
        self._last = max(self._last + 1, int((time.time() - _BEGINNING) * 10))
        return str(self._last)

    def _plan(self, series: str | int | None) -> str:
        self._series += 1
        return str(self._series) if series is None else str(series)
