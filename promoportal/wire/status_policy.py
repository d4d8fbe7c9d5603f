"""What a call's outcome means: the table of docs/vendor.md, in one place."""

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

# 301, 307 and 308 say that our address is wrong, and that nothing was done there. (302
# and 303 may well say "done, now look there": after a change they are no such promise.)
_OUR_MISTAKE = frozenset({301, 307, 308, 401, 403, 405, 415})
_UNDECIDED = frozenset({408, 409})
LATER = frozenset({429, 503})
# No far side may put us off for longer with one answer.
_MAX_RETRY_AFTER = 3600.0
_WORDS_SHOWN = 300


def meaning(
    status: int, *, changes: bool, safe_to_repeat: bool, later: frozenset[int]
) -> type[WireError]:
    """Say what an answer other than 2xx means for a question, or for a change."""
    if status in _OUR_MISTAKE:
        return Misconfigured
    if status in later and (safe_to_repeat or status < 500):
        return Unavailable
    if status in _UNDECIDED or status >= 500:
        return Unanswered if changes else Unavailable
    # What is neither a refusal nor an answer, such as 302, keeps no contract.
    return Rejected if status >= 400 else Malformed


def error(
    kind: type[WireError], name: str, evidence: Evidence, headers: Mapping[str, str]
) -> WireError:
    """Make the error that this answer amounts to."""
    words = evidence.answer[:_WORDS_SHOWN] or "no words"
    problem = f"{name} answered {evidence.status}: {words}"
    if issubclass(kind, Unavailable):
        return kind(problem, evidence, retry_after=retry_after(headers))
    return kind(problem, evidence)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, if the far side says so in a way that can be read."""
    told = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", told):
        return min(float(told), _MAX_RETRY_AFTER)
    until = _date(told)
    if until is None:
        return None
    # By the far side's own clock, so that a difference between the two does not matter.
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), _MAX_RETRY_AFTER)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
