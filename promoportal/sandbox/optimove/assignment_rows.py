"""
The rows of Customer Assignment.

An execution can have a million calculated rows. So a table stores their values in
columns, and a row object is created only when a row is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import overload

from promoportal.sandbox import engine
from promoportal.sandbox.messages import identity
from promoportal.sandbox.optimove.assignment_table import (
    ROWS,
    CalculatedRow,
    Table,
    assignment_row,
    no_customer,
)
from promoportal.sandbox.optimove.weighted_outcomes import ASSIGNED, Promotion, Reward


@dataclass(slots=True)
class Assigned:
    """A row whose outcome was chosen by weight."""

    assignment_id: str | int
    customer_id: str | int
    offer: Promotion
    status: str
    reward: Reward | None
    unique_code: str | None
    assigned_at: str
    reference: str | None = None  # of the redemption that was reported

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
        is_assigned = self.status == ASSIGNED
        return {
            "assignmentId": self.assignment_id,
            "customerId": self.customer_id,
            "promotionId": self.offer.id,
            "promotionCode": self.offer.code,
            "status": self.status,
            "reward": self.reward if is_assigned else None,
            "uniqueCode": self.unique_code if is_assigned else None,
            "properties": self.offer.properties,
            "assignedAt": self.assigned_at,
        }


@dataclass(slots=True)
class Handmade:
    """A row written by hand, which may be any JSON value."""

    raw: object
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
        if isinstance(self.raw, dict):
            changes = {"status": status, "reward": reward}
            self.raw |= {name: new for name, new in changes.items() if new is not None}

    def listed(self) -> object:
        return self.raw

    def _get(self, name: str) -> object:
        return self.raw.get(name) if isinstance(self.raw, dict) else None

    def _id(self, name: str) -> str | None:
        return identity(self._get(name))


@dataclass(slots=True)
class Recalled(Handmade):
    """A row that is restored from the journal and was not written by hand."""

    raw: dict[str, object]

    def listed(self) -> dict[str, object]:
        is_assigned = self.status == ASSIGNED
        return self.raw | ({} if is_assigned else {"reward": None, "uniqueCode": None})


# One row of Customer Assignment.
Row = Assigned | Handmade | CalculatedRow
PositionOf = Callable[[str], int | None]  # position in the population


@dataclass
class Rows(Sequence[Row]):
    """The rows of one execution, in the order of Optimove's list."""

    occurrence: str
    position_of: PositionOf = no_customer
    made: int = 0
    _front: list[Row] = field(default_factory=list)
    _tables: list[Table] = field(default_factory=list)
    _single: list[Row] = field(default_factory=list)
    _by_assignment: dict[str, Row] = field(default_factory=dict)
    # Built at the first use. A fetch of a complete list does not use it.
    _by_customer: dict[str, list[Row]] | None = None

    def __len__(self) -> int:
        tables = sum(len(table) for table in self._tables)
        return len(self._front) + tables + len(self._single)

    def __iter__(self) -> Iterator[Row]:
        return chain(self._front, *self._tables, self._single)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            return list(self._part(start, stop))
        (row,) = self._part(range(len(self))[at], range(len(self))[at] + 1)
        return row

    def add(self, row: Row) -> None:
        self._single.append(row)
        if row.assignment is not None:
            self._by_assignment[row.assignment] = row
        if self._by_customer is not None:
            self._by_customer.setdefault(row.customer or "", []).append(row)

    def install(self, table: Table) -> None:
        table.first = self.made
        self.made += len(table)
        self._tables.append(table)

    def assigned(self) -> bytes:
        """Return one byte per targeted customer, by position: 1 if assigned, or 0."""
        tables = [table.assigned for table in self._tables]
        return bytes(map(max, *tables)) if len(tables) > 1 else b"".join(tables)

    def outcomes(
        self, position: int
    ) -> Iterator[tuple[engine.Promotion, engine.Outcome]]:
        """Yield each promotion and its calculated outcome for a customer."""
        for table in self._tables:
            outcome = table.outcome(position)
            if outcome is not None:
                yield table.promotion, outcome

    def find(self, assignment: str) -> Row | None:
        return self._by_assignment.get(assignment) or self._calculated(assignment)

    def of(self, customer: str) -> Iterator[Row]:
        yield from self._of_customers().get(customer, ())
        position = self.position_of(customer) if self._tables else None
        if position is None:
            return
        for table in self._tables:
            row = table.at(position)
            if row is not None:
                yield row

    def remove(self, row: Row) -> Callable[[], None]:
        """
        Remove a row, so that it is neither listed nor found by its ID.

        Return a function that puts the row back in its place.
        """
        if isinstance(row, CalculatedRow):
            table, index = row.table, row.index
            table.hide(index)
            return lambda: table.show(index)
        part = self._front if any(one is row for one in self._front) else self._single
        place = next(at for at, one in enumerate(part) if one is row)
        del part[place]
        self._by_assignment.pop(row.assignment or "", None)
        self._by_customer = None
        return lambda: self._put_back(part, place, row)

    def hide(self, row: Row) -> Callable[[], None]:
        """
        Remove a row from the list. It can still be found by its ID.

        Return a function that puts the row back in its place.
        """
        relist = self.remove(row)
        if row.assignment is not None:
            self._by_assignment[row.assignment] = row
        return relist

    def repeat(self, row: Row) -> Callable[[], None]:
        """List a row a second time, at the top. Return a function that undoes this."""
        self._front.insert(0, row)
        return lambda: self._front.remove(row)

    def fresh_assignment(self, *, as_number: object = "") -> str | int:
        """Return an ID: a number if the execution's ID and `as_number` are numbers."""
        self.made += 1
        return assignment_row(self.occurrence, self.made, as_number=as_number)

    def _part(self, start: int, stop: int) -> Iterator[Row]:
        parts: list[list[Row] | Table] = [self._front, *self._tables, self._single]
        for part in parts:
            if start < len(part) and stop > 0:
                yield from part[max(0, start) : stop]
            start -= len(part)
            stop -= len(part)

    def _calculated(self, assignment: str) -> Row | None:
        number = _number(self.occurrence, assignment)
        if number is None:
            return None
        for table in self._tables:
            row = table.numbered(number)
            if row is not None and row.assignment == assignment:
                return row
        return None

    def _of_customers(self) -> dict[str, list[Row]]:
        if self._by_customer is None:
            self._by_customer = {}
            for row in chain(self._front, self._single):
                self._by_customer.setdefault(row.customer or "", []).append(row)
        return self._by_customer

    def _put_back(self, part: list[Row], place: int, row: Row) -> None:
        part.insert(place, row)
        if row.assignment is not None:
            self._by_assignment[row.assignment] = row
        self._by_customer = None


def _number(occurrence: str, assignment: str) -> int | None:
    """Return the number in an assignment ID, or None if the ID has another form."""
    name, _, text = assignment.rpartition("-")
    try:
        if name:
            return int(text, 16) if name == occurrence else None
        return int(text) % ROWS
    except ValueError:
        return None
