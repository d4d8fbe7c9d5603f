from __future__ import annotations

import time
from dataclasses import dataclass, field

from promoportal.runtime import shutdown


@dataclass(frozen=True)
class TimeBudget:
    """The time in which a job may start work; it ends early if the process stops."""

    seconds: float
    begun: float = field(default_factory=time.monotonic)

    def is_spent(self) -> bool:
        return shutdown.is_requested() or time.monotonic() - self.begun >= self.seconds
