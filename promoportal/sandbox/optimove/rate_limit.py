"""Optimove's rate limit: a maximum number of calls per key in any window of time."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

Times = defaultdict[str, deque[float]]  # of calls, by key


@dataclass
class SlidingWindow:
    """
    A rate limit that grants at most `calls` in any `seconds`, for each key.

    CONFIRMED: 50 calls in a sliding window of 10 seconds, separately for each key.
    ASSUMED: a refused call does not count. A call exactly `seconds` ago still counts.
    """

    calls: int = 50
    seconds: float = 10.0
    total: int = 0
    refused: int = 0
    most: int = 0  # the highest number in any window, refused calls included
    _every: Times = field(default_factory=lambda: defaultdict(deque))
    _granted: Times = field(default_factory=lambda: defaultdict(deque))

    def grants(self, key: str, *, now: float) -> bool:
        """Record one call at the time `now`, and return whether it is granted."""
        every, granted = self._every[key], self._granted[key]
        for times in (every, granted):
            while times and now - times[0] > self.seconds:
                times.popleft()
        every.append(now)
        self.total += 1
        self.most = max(self.most, len(every))
        if len(granted) >= self.calls:
            self.refused += 1
            return False
        granted.append(now)
        return True
