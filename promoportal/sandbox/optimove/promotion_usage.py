"""The promotions of a tenant, each with its state and its account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import NamedTuple

from promoportal.sandbox.engine import (
    Account,
    Allocation,
    Outcome,
    Population,
    Promotion,
    State,
    Value,
    calculate,
    moved,
)
from promoportal.sandbox.optimove.assignment_table import Table
from promoportal.sandbox.optimove.occurrences import Occurrence

_TRANSITIONS: Mapping[str, State] = {
    "activate": State.ACTIVE,
    "deactivate": State.DEACTIVATED,
    "archive": State.ARCHIVED,
}


class Batch(NamedTuple):
    """Customers who are calculated together, and the values of their event."""

    positions: Sequence[int]
    event: Mapping[str, Value]


@dataclass
class Offer:
    """
    A promotion and its account.

    Its allocations run one after the other, even if several executions run at once.
    """

    promotion: Promotion
    account: Account = field(default_factory=Account)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def allocate(
        self,
        occurrence: Occurrence,
        population: Population,
        batches: Sequence[Batch],
        *,
        day: date,
        seed: int,
    ) -> None:
        """Allocate the promotion to an execution's customers, and list the rows."""
        async with self._turn:
            promotion, account = self.promotion, self.account
            calculated = partial(calculate, promotion, population, day=day, seed=seed)

            def work() -> tuple[Account, Table]:
                outcomes, after = _in_turn(calculated, batches, account)
                return after, Table(occurrence.id, promotion, population, outcomes)

            # No `await` separates the two changes, so no other task sees only one.
            self.account, table = await asyncio.to_thread(work)
            occurrence.install(table)


def _in_turn(
    calculated: Callable[..., Allocation], batches: Iterable[Batch], account: Account
) -> tuple[Sequence[Outcome], Account]:
    """Return the outcomes of all batches, sorted by position, and the new account."""
    outcomes: list[Outcome] = []
    for positions, event in batches:
        allocation = calculated(positions, account=account, event=event)
        outcomes.extend(allocation.outcomes)
        account = allocation.account
    outcomes.sort(key=lambda outcome: outcome.position)
    return outcomes, account


class Offers:
    """The promotions of a tenant."""

    def __init__(self, promotions: Iterable[Promotion]) -> None:
        self._known = {promotion.id: Offer(promotion) for promotion in promotions}

    def __iter__(self) -> Iterator[Offer]:
        return iter(self._known.values())

    def known(self, promotion: str) -> Offer:
        """Return the promotion with this ID, or raise ValueError."""
        if promotion not in self._known:
            msg = (
                f"There is no promotion {promotion!r}. Known: {', '.join(self._known)}."
            )
            raise ValueError(msg)
        return self._known[promotion]

    def move(self, promotion: str, do: str) -> Offer:
        """
        Activate, deactivate or archive a promotion, and return it.

        A calculation that is running is not affected.
        """
        offer = self.known(promotion)
        if do not in _TRANSITIONS:
            raise ValueError(f"do must be one of {', '.join(_TRANSITIONS)}.")
        offer.promotion = moved(offer.promotion, _TRANSITIONS[do])
        return offer
