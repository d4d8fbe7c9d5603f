"""A table with the calculated rows of one promotion, stored in columns."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from promoportal.sandbox import engine
from promoportal.sandbox.optimove.audience import found
from promoportal.sandbox.optimove.weighted_outcomes import ASSIGNED, Reward

# Keeps IDs well below 2**53, where a JSON reader may begin to round.
ROWS = 10_000_000


class Table:
    """The outcomes of one promotion for the customers of one execution."""

    def __init__(
        self,
        occurrence: str,
        promotion: engine.Promotion,
        population: engine.Population,
        outcomes: Sequence[engine.Outcome],
    ) -> None:
        """Store the outcomes, which must be sorted by position."""
        self.promotion = promotion
        self.first = 0  # number of the occurrence's rows before this table
        self.references: dict[int, str] = {}
        self.occurrence = occurrence
        self.population = population
        self.assigned_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self.positions = array("I", (one.position for one in outcomes))
        self.statuses = bytes(_STATUSES.index(one.status) for one in outcomes)
        self.tiers = bytes(_tiers(promotion, outcomes))
        self.values = _texts(outcomes)
        self._codes = _codes(outcomes)
        self.changes: dict[int, tuple[str | None, Reward | None]] = {}
        self._hidden: set[int] = set()
        self._shown: Sequence[int] = range(len(self.positions))

    def __len__(self) -> int:
        return len(self._shown)

    def __iter__(self) -> Iterator[CalculatedRow]:
        return (CalculatedRow(self, index) for index in self._shown)

    def __getitem__(self, part: slice) -> list[CalculatedRow]:
        return [CalculatedRow(self, index) for index in self._shown[part]]

    @property
    def counts(self) -> Counter[str]:
        """The number of rows with each calculated status, without later changes."""
        counts = Counter(self.statuses)
        return Counter({str(_STATUSES[key]): count for key, count in counts.items()})

    def numbered(self, number: int) -> CalculatedRow | None:
        """Return the row with an assignment number, or None if it is not listed."""
        index = number - self.first - 1
        is_listed = 0 <= index < len(self.positions) and index not in self._hidden
        return CalculatedRow(self, index) if is_listed else None

    def at(self, position: int) -> CalculatedRow | None:
        """Return the row of the customer at a position, or None if it is not listed."""
        index = found(self.positions, position)
        if index is None or index in self._hidden:
            return None
        return CalculatedRow(self, index)

    def outcome(self, position: int) -> engine.Outcome | None:
        """Return a customer's calculated outcome, without later changes, or None."""
        index = found(self.positions, position)
        if index is None:
            return None
        tier, value = self.tiers[index], self.values[index]
        return engine.Outcome(
            position,
            _STATUSES[self.statuses[index]],
            self.promotion.tiers[tier - 1] if tier else None,
            Decimal(value) if value else None,
            self.code(index),
        )

    @property
    def assigned(self) -> bytes:
        """One byte for each calculated row: 1 if its status was Assigned, or 0."""
        return self.statuses.translate(_IS_ASSIGNED)

    def hide(self, index: int) -> None:
        self._hidden.add(index)
        self._show()

    def show(self, index: int) -> None:
        self._hidden.discard(index)
        self._show()

    def code(self, index: int) -> str | None:
        return self._codes[index] if self._codes else None

    def _show(self) -> None:
        every = range(len(self.positions))
        shown = (index for index in every if index not in self._hidden)
        self._shown = array("I", shown) if self._hidden else every


_STATUSES = tuple(engine.Status)
_IS_ASSIGNED = bytes(
    number == _STATUSES.index(engine.Status.ASSIGNED) for number in range(256)
)


def _tiers(
    promotion: engine.Promotion, outcomes: Iterable[engine.Outcome]
) -> Iterator[int]:
    """Yield the number of each outcome's tier, from 1, or 0 if it has no tier."""
    numbers = {tier.id: number for number, tier in enumerate(promotion.tiers, start=1)}
    for outcome in outcomes:
        yield numbers[outcome.tier.id] if outcome.tier else 0


def _texts(outcomes: Iterable[engine.Outcome]) -> list[str | None]:
    """Return the values as texts. Equal texts are one object, which saves memory."""
    known: dict[str, str] = {}
    texts: list[str | None] = []
    for outcome in outcomes:
        text = None if outcome.value is None else format(outcome.value, "f")
        texts.append(known.setdefault(text, text) if text else None)
    return texts


def _codes(outcomes: Iterable[engine.Outcome]) -> list[str | None] | None:
    codes = [outcome.unique_code for outcome in outcomes]
    return codes if any(codes) else None


def _reward(tier: engine.Tier, value: str | None) -> Reward | None:
    reward = tier.reward
    if reward is None:
        return None
    money = reward.category is engine.Category.AMOUNT
    return {
        "tierId": tier.id,
        "tierName": tier.name,
        "category": str(reward.category),
        "type": reward.type,
        "value": value,
        "currency" if money else "unit": reward.measure,
    }


@dataclass(slots=True)
class CalculatedRow:
    """A row of a table. Its values are read from the table's columns."""

    table: Table
    index: int

    @property
    def assignment(self) -> str:
        return str(self._assignment_id())

    @property
    def customer(self) -> str:
        return str(self._customer_id())

    @property
    def promotion(self) -> str:
        return self.table.promotion.id

    @property
    def code(self) -> str:
        return self.table.promotion.code

    @property
    def status(self) -> str:
        status = _STATUSES[self.table.statuses[self.index]]
        return self._changes[0] or str(status)

    @property
    def reward(self) -> Reward | None:
        changed, tier = self._changes[1], self.table.tiers[self.index]
        if changed is not None or not tier:
            return changed
        return _reward(
            self.table.promotion.tiers[tier - 1], self.table.values[self.index]
        )

    @property
    def reference(self) -> str | None:
        return self.table.references.get(self.index)

    @reference.setter
    def reference(self, reference: str | None) -> None:
        if reference is not None:
            self.table.references[self.index] = reference

    def change(self, *, status: str | None, reward: Reward | None) -> None:
        earlier, assigned = self._changes
        changed = status or earlier, assigned if reward is None else reward
        self.table.changes[self.index] = changed

    def listed(self) -> dict[str, object]:
        status, promotion = self.status, self.table.promotion
        assigned = status == ASSIGNED
        return {
            "assignmentId": self._assignment_id(),
            "customerId": self._customer_id(),
            "promotionId": promotion.id,
            "promotionCode": promotion.code,
            "status": status,
            "reward": self.reward if assigned else None,
            "uniqueCode": self.table.code(self.index) if assigned else None,
            "properties": promotion.properties,
            "assignedAt": self.table.assigned_at,
        }

    @property
    def _changes(self) -> tuple[str | None, Reward | None]:
        return self.table.changes.get(self.index, (None, None))

    def _assignment_id(self) -> str | int:
        number = self.table.first + self.index + 1
        customer = self._customer_id()
        return assignment_row(self.table.occurrence, number, as_number=customer)

    def _customer_id(self) -> str | int:
        return self.table.population.ids[self.table.positions[self.index]]


def no_customer(_: str) -> None:
    return None


def assignment_row(occurrence: str, number: int, *, as_number: object) -> str | int:
    if isinstance(as_number, int) and occurrence.isdecimal():
        return int(occurrence) * ROWS + number
    return f"{occurrence}-{number:x}"
