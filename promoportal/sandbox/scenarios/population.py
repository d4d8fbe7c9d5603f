"""Customers by position, with their attributes in columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from promoportal.sandbox.engine import Value

# The attribute of the customer's ID. A file of customers needs no other attribute.
ID = "customer_id"


class Customers:
    """A population in which a customer can be found by position or by ID."""

    def __init__(
        self,
        ids: Sequence[str],
        columns: Mapping[str, Sequence[Value]],
        find: Callable[[str], int | None] | None = None,
    ) -> None:
        self.ids = ids
        self._columns: dict[str, Sequence[Value]] = {ID: ids, **columns}
        self.attributes = tuple(self._columns)
        # A function that takes an ID and returns the position, or None.
        self.position = find or _lookup(ids)

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, attribute: str) -> Sequence[Value]:
        return self._columns[attribute]


def _lookup(ids: Sequence[str]) -> Callable[[str], int | None]:
    positions = {customer: position for position, customer in enumerate(ids)}
    return positions.get
