"""The error class for each status of a response, as in the table of docs/vendor.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from promoportal.wire.errors import (
    Evidence,
    Malformed,
    Misconfigured,
    Rejected,
    Unanswered,
    Unavailable,
    WireError,
)

# 301, 307 and 308 mean that the configured address is wrong and the call had no effect.
# 302 and 303 are not listed: they can also mean that a change was made.
_MISCONFIGURED = frozenset({301, 307, 308, 401, 403, 405, 415})
_UNDECIDED = frozenset({408, 409})
LATER = frozenset({429, 503})
# Longest wait, in seconds, that is accepted from one response.
_MAX_RETRY_AFTER = 3600.0
_TEXT_SHOWN = 300


def meaning(
    status: int, *, changes: bool, safe_to_repeat: bool, later: frozenset[int]
) -> type[WireError]:
    """Return the error class for a status other than 2xx. Retry those in `later`."""
    if status in _MISCONFIGURED:
        return Misconfigured
    if status in later and (safe_to_repeat or status < 500):
        return Unavailable
    if status in _UNDECIDED or status >= 500:
        return Unanswered if changes else Unavailable
    # A status below 400 that is no result, such as 302, breaks the contract.
    return Rejected if status >= 400 else Malformed


def error(
    kind: type[WireError], name: str, evidence: Evidence, headers: Mapping[str, str]
) -> WireError:
    """Create the error for a response with this evidence and these headers."""
    text = evidence.answer[:_TEXT_SHOWN] or "no words"
    problem = f"{name} answered {evidence.status}: {text}"
    if issubclass(kind, Unavailable):
        return kind(problem, evidence, retry_after=retry_after(headers))
    return kind(problem, evidence)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, or None if `Retry-After` is missing or unreadable."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return min(float(value), _MAX_RETRY_AFTER)
    until = _date(value)
    if until is None:
        return None
    # Use the sender's clock, if the response has a `Date`: the clocks may differ.
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), _MAX_RETRY_AFTER)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
