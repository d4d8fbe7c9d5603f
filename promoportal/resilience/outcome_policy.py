from __future__ import annotations

# Seconds to wait after a failure; the last for ever after.
BACKOFF = (1, 5, 15, 60, 5 * 60, 15 * 60, 30 * 60, 60 * 60)
MAX_MALFORMED = 8
