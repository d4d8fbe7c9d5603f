from __future__ import annotations

import random
from collections.abc import Sequence


def backoff_seconds(
    waits: Sequence[float], failures: int, retry_after: float | None = None
) -> float:
    """
    Seconds to wait after that many failures: the table's, its last for ever after.

    Jitter keeps rows that failed together from coming back together; a far side's own
    `Retry-After` is never undercut.
    """
    planned = waits[max(min(failures, len(waits)), 1) - 1]
    return max(planned * random.uniform(0.8, 1.2), retry_after or 0)  # noqa: S311
