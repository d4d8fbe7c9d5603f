"""The promotions of a tenant, each with its state and its account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from promoportal.sandbox.engine import (
    Account,
    Outcome,
    Population,
    Promotion,
    State,
    Value,
    calculate,
    moved,
)

_TRANSITIONS: Mapping[str, State] = {
    "activate": State.ACTIVE,
    "deactivate": State.DEACTIVATED,
    "archive": State.ARCHIVED,
}


class Batch(NamedTuple):
    """Customers who are calculated together, and the triggering event, if any."""

    positions: Sequence[int]
    event: Mapping[str, Value]


@dataclass
class Offer:
    """
    A promotion and its account.

    Allocations of one promotion run one after the other, also for simultaneous events:
    each starts with the account that the one before returned.
    """

    promotion: Promotion
    account: Account = field(default_factory=Account)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def allocate(
        self,
        population: Population,
        batches: Sequence[Batch],
        *,
        day: date,
        seed: int,
        install: Callable[[Promotion, Sequence[Outcome]], Callable[[], None]],
    ) -> None:
        """
        Calculate in a thread; then change account and rows in one step.

        `install` makes rows in the thread, and returns a function that lists them.
        """
        async with self._turn:
            promotion, account = self.promotion, self.account

            def work() -> tuple[Account, Callable[[], None]]:
                outcomes, after = _calculated(
                    promotion, population, batches, account, day, seed
                )
                return after, install(promotion, outcomes)

            after, list_them = await asyncio.to_thread(work)
            self.account = after
            list_them()


def _calculated(
    promotion: Promotion,
    population: Population,
    batches: Iterable[Batch],
    account: Account,
    day: date,
    seed: int,
) -> tuple[Sequence[Outcome], Account]:
    outcomes: list[Outcome] = []
    for positions, event in batches:
        allocation = calculate(
            promotion,
            population,
            positions,
            account=account,
            day=day,
            seed=seed,
            event=event,
        )
        outcomes.extend(allocation.outcomes)
        account = allocation.account
    outcomes.sort(key=lambda outcome: outcome.position)
    return outcomes, account


class Offers:
    """All promotions by ID."""

    def __init__(self, promotions: Iterable[Promotion]) -> None:
        self._known = {promotion.id: Offer(promotion) for promotion in promotions}

    def __iter__(self) -> Iterator[Offer]:
        return iter(self._known.values())

    def known(self, promotion: str) -> Offer:
        """
        Return the promotion with this ID.

        :raises ValueError: if there is none
        """
        if promotion not in self._known:
            msg = f"There is no promotion {promotion!r}; there is {', '.join(self._known)}."
            raise ValueError(msg)
        return self._known[promotion]

    def move(self, promotion: str, do: str) -> Offer:
        """
        Activate, deactivate or archive one; running calculations are not affected.

        :raises ValueError: if its state does not allow this
        """
        offer = self.known(promotion)
        if do not in _TRANSITIONS:
            raise ValueError(f"do must be one of {', '.join(_TRANSITIONS)}.")
        offer.promotion = moved(offer.promotion, _TRANSITIONS[do])
        return offer
