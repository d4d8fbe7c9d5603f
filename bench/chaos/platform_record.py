"""The platform's credits, as the sandbox writes them to its journal."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple


class Credited(NamedTuple):
    at: float  # by the clock of this machine
    occurrence: str
    promotion: str
    customer: str
    value: Decimal
    measure: str  # the currency, or the unit


class PlatformRecord:
    """The credits so far. Each call reads only what was added since the last one."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._position = 0
        self._credits: list[Credited] = []
        self._rewarded: set[tuple[str, str, str]] = set()

    def credits(self) -> list[Credited]:
        self._read()
        return self._credits

    def times(self) -> list[float]:
        return [each.at for each in self.credits()]

    def has(self, occurrence: str, promotion: str, customer: str) -> bool:
        """Return whether the platform has credited this assignment."""
        self._read()
        return (occurrence, promotion, customer) in self._rewarded

    def totals(self, occurrence: str) -> tuple[int, Mapping[str, Decimal]]:
        """Return the number of credits of an execution, and their value per unit."""
        own = [each for each in self.credits() if each.occurrence == occurrence]
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for each in own:
            sums[each.measure.casefold()] += each.value
        return len(own), sums

    def per_occurrence(self) -> Mapping[str, int]:
        return Counter(each.occurrence for each in self.credits())

    def _read(self) -> None:
        if not self._journal.exists():
            return
        with self._journal.open("rb") as lines:
            lines.seek(self._position)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                self._add(*json.loads(line))

    def _add(self, kind: str, fact: dict[str, object]) -> None:
        if kind != "credited":
            return
        names = ("occurrence", "promotion", "customer")
        occurrence, promotion, customer = (str(fact[name]) for name in names)
        value = Decimal(str(fact["value"]))
        at = float(str(fact["at"]))
        measure = str(fact["measure"])
        self._credits.append(
            Credited(at, occurrence, promotion, customer, value, measure)
        )
        self._rewarded.add((occurrence, promotion, customer))
