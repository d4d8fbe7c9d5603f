"""
The change that follows from the outcome of a call, for rewards and redemptions.

One table decides which change follows. Each app says how its own rows change, and keeps
its exceptions in methods with a name: `rewards.activation.outcomes.ClaimedAssignments`
and `redemptions.report_outcomes.ClaimedRedemptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from django.db.models import F, QuerySet

from promoportal import wire
from promoportal.resilience.backoff import backoff_seconds

# Seconds until the next call, by the number of failures; the last applies to all further.
BACKOFF = (1, 5, 15, 60, 5 * 60, 15 * 60, 30 * 60, 60 * 60)
# Malformed responses after which a row needs review.
MAX_MALFORMED = 8


class ClaimedRows(Protocol):
    """The rows of one call, or of several calls with the same outcome."""

    @property
    def rows(self) -> QuerySet[Any]: ...  # those that still have the token of the claim
    def finish(self) -> None: ...  # it happened
    def hand_back(self) -> None: ...  # nothing was sent, and nothing failed
    def retry(self) -> None: ...  # it did not happen: count a failure, and wait
    def put_in_doubt(self) -> None: ...  # it may have happened: resolve it first
    def refuse(self) -> None: ...  # it will not happen: staff decide
    def hold_malformed(self, rows: QuerySet[Any]) -> None: ...  # staff decide


def _count_malformed(claimed: ClaimedRows) -> None:
    """Hold rows with too many malformed responses; the others may have happened."""
    claimed.hold_malformed(claimed.rows.filter(malformed__gte=MAX_MALFORMED - 1))
    claimed.rows.update(malformed=F("malformed") + 1)
    claimed.put_in_doubt()


# The outcomes as attempts and reports store them. LOST and NOT_FOUND are missing because
# no claimed row ends with them: see `deadlines` and `in_doubt`.
FOLLOWS: Mapping[str, Callable[[ClaimedRows], None]] = {
    "GIVEN": lambda claimed: claimed.finish(),
    "ACCEPTED": lambda claimed: claimed.finish(),
    "PARTLY": lambda claimed: claimed.finish(),
    "NOT_SENT": lambda claimed: claimed.hand_back(),
    "UNAVAILABLE": lambda claimed: claimed.retry(),
    "MISCONFIGURED": lambda claimed: claimed.retry(),
    "UNANSWERED": lambda claimed: claimed.put_in_doubt(),
    "MALFORMED": _count_malformed,
    "REFUSED": lambda claimed: claimed.refuse(),
}

_OUTCOMES: Mapping[type[wire.WireError], str] = {
    wire.Unavailable: "UNAVAILABLE",
    wire.Unanswered: "UNANSWERED",
    wire.Rejected: "REFUSED",
    wire.Malformed: "MALFORMED",
    wire.Misconfigured: "MISCONFIGURED",
}


def outcome_of(error: wire.WireError) -> str:
    """Return the outcome of a call with this error; by default UNANSWERED."""
    names = (name for kind, name in _OUTCOMES.items() if isinstance(error, kind))
    return next(names, "UNANSWERED")


def delay_after(error: wire.WireError, failures: int) -> float:
    """Return the seconds to wait after this error; `failures` happened before it."""
    return backoff_seconds(BACKOFF, failures + 1, error.retry_after)
