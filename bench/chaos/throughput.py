"""Credits per second, and the time until the rate has recovered after an outage."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

# Seconds over which a rate is measured after an outage.
WINDOW = 3.0
# The rate has recovered when it is at least this share of the rate before.
SHARE = 0.9
_STEP = 0.1


def rate(times: Sequence[float], begin: float, end: float) -> float:
    """Return the number of credits per second between two times."""
    ordered = sorted(times)
    count = bisect_right(ordered, end) - bisect_left(ordered, begin)
    return count / (end - begin) if end > begin else 0.0


def recovery(
    times: Sequence[float], since: float, until: float, before: float
) -> float | None:
    """
    Return the seconds from `since` until the rate is back at `SHARE` of `before`.

    The rate is that of the `WINDOW` seconds that end then, all of them after `since`.
    Return None if the rate is lower until the time `until`.
    """
    ordered = sorted(times)
    needed = before * SHARE * WINDOW
    steps = int((until - since - WINDOW) / _STEP) + 1
    for step in range(max(0, steps)):
        end = since + WINDOW + step * _STEP
        found = bisect_right(ordered, end) - bisect_left(ordered, end - WINDOW)
        if found >= needed:
            return round(end - since, 1)
    return None
