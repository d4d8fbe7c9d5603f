from __future__ import annotations

from dataclasses import dataclass, field

from promoportal.runtime import shutdown
from promoportal.runtime.monotonic_clock import awake


@dataclass(frozen=True)
class TimeBudget:
    """The time in which a job may start work; it ends early if the process stops."""

    seconds: float
    begun: float = field(default_factory=awake)

    def is_spent(self) -> bool:
        return shutdown.is_requested() or awake() - self.begun >= self.seconds
