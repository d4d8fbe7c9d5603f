"""Optimove's rate limit: a number of calls in any window of time, for each key."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class _Seen:
    granted: deque[float] = field(default_factory=deque)
    every: deque[float] = field(default_factory=deque)


@dataclass
class SlidingWindow:
    """
    At most `calls` granted in any `seconds`, both ends included.

    CONFIRMED: 50 in 10 s, sliding, one budget for each key. ASSUMED: a refused call
    does not count; a call exactly `seconds` ago still counts.
    """

    calls: int = 50
    seconds: float = 10.0
    total: int = 0
    refused: int = 0
    most: int = 0  # the highest number in any window, refused calls included
    _keys: dict[str, _Seen] = field(default_factory=dict)

    def grants(self, key: str, *, now: float) -> bool:
        """Count one call, and return whether it is granted."""
        seen = self._keys.setdefault(key, _Seen())
        self._count(seen.every, now)
        self._forget(seen.granted, now)
        if len(seen.granted) >= self.calls:
            self.refused += 1
            return False
        seen.granted.append(now)
        return True

    def _count(self, every: deque[float], now: float) -> None:
        self._forget(every, now)
        every.append(now)
        self.total += 1
        self.most = max(self.most, len(every))

    def _forget(self, times: deque[float], now: float) -> None:
        while times and now - times[0] > self.seconds:
            times.popleft()
