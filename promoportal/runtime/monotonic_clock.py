"""The clock for durations within this process; other clocks are not comparable."""

from __future__ import annotations

import time


def clock() -> float:
    """Return seconds that also pass while the machine sleeps, where it can tell."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)
