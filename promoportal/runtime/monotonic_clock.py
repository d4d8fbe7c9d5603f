"""The clock by which this process measures its own time; it is compared with no other."""

from __future__ import annotations

import time


def clock() -> float:
    """Seconds that also pass while the machine sleeps, where it can tell."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)
