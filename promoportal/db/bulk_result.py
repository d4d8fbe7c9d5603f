from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class BulkResult:
    """How many rows were moved, and why others were left alone."""

    done: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    unreached: int = 0

    def add(self, other: BulkResult) -> None:
        self.done += other.done
        self.skipped += other.skipped
