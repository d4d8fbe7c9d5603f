from __future__ import annotations

import random
from collections.abc import Sequence


def backoff_seconds(
    waits: Sequence[float], failures: int, retry_after: float | None = None
) -> float:
    """
    Return the seconds to wait after that many failures: `waits`, then its last value.

    Random jitter spreads rows that failed together. The result is never less than the
    `Retry-After` of the response.
    """
    planned = waits[max(min(failures, len(waits)), 1) - 1]
    return max(planned * random.uniform(0.8, 1.2), retry_after or 0)  # noqa: S311
