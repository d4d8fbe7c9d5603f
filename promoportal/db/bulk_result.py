from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class BulkResult:
    """The number of rows changed, and the reasons why others were skipped."""

    done: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    unreached: int = 0

    def add(self, other: BulkResult) -> None:
        self.done += other.done
        self.skipped += other.skipped
