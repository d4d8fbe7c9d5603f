"""Customers by position, their attributes by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from promoportal.sandbox.engine import Value

# What each customer has, and all that a file of customers must say.
ID = "customer_id"


class Customers:
    """A population that is found by position, or by id."""

    def __init__(
        self,
        ids: Sequence[str],
        columns: Mapping[str, Sequence[Value]],
        find: Callable[[str], int | None] | None = None,
    ) -> None:
        self.ids = ids
        self._columns: dict[str, Sequence[Value]] = {ID: ids, **columns}
        self.attributes = tuple(self._columns)
        # Finds the position of a customer by id; None: there is no such one.
        self.position = find or _found_in(ids)

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, attribute: str) -> Sequence[Value]:
        """
        Give the values of all customers, by position.

        :raises KeyError: if no customer has such an attribute
        """
        return self._columns[attribute]


def _found_in(ids: Sequence[str]) -> Callable[[str], int | None]:
    positions = {customer: position for position, customer in enumerate(ids)}
    return positions.get
