from __future__ import annotations

import random
from collections.abc import Sequence


def backoff_seconds(
    waits: Sequence[float], failures: int, retry_after: float | None = None
) -> float:
    """
    Return the seconds to wait after this number of failures, from the table `waits`.

    The last value also applies to larger numbers. Random jitter spreads rows that
    failed together. The result is never less than `retry_after`.
    """
    planned = waits[max(min(failures, len(waits)), 1) - 1]
    return max(planned * random.uniform(0.8, 1.2), retry_after or 0)  # noqa: S311
