"""Customers by position, with their attributes in columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from promoportal.sandbox.engine import Value

# The attribute that every customer has; a file of customers needs no other.
ID = "customer_id"


class Customers:
    """A population in which customers are found by position or by ID."""

    def __init__(
        self,
        ids: Sequence[str],
        columns: Mapping[str, Sequence[Value]],
        find: Callable[[str], int | None] | None = None,
    ) -> None:
        self.ids = ids
        self._columns: dict[str, Sequence[Value]] = {ID: ids, **columns}
        self.attributes = tuple(self._columns)
        # Finds the position of a customer by ID; None if no customer has it.
        self.position = find or _lookup(ids)

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, attribute: str) -> Sequence[Value]:
        """
        Return the values of all customers, by position.

        :raises KeyError: if no customer has the attribute
        """
        return self._columns[attribute]


def _lookup(ids: Sequence[str]) -> Callable[[str], int | None]:
    positions = {customer: position for position, customer in enumerate(ids)}
    return positions.get
