"""
The changes of rows after the outcome of a call, for rewards and redemptions.

The table `FOLLOWS` names one change for each outcome. Each app implements the changes
of its own rows: `rewards.activation.outcomes.ClaimedAssignments` and
`redemptions.report_outcomes.ClaimedRedemptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from django.db.models import F, QuerySet

from promoportal import wire
from promoportal.resilience.backoff import backoff_seconds

# Seconds until the next call after 1, 2, 3 ... failures. The last value also applies to
# more failures.
BACKOFF = (1, 5, 15, 60, 5 * 60, 15 * 60, 30 * 60, 60 * 60)
# Number of invalid responses after which a row needs review.
MAX_MALFORMED = 8


class ClaimedRows(Protocol):
    """The rows of one call, or of several calls with the same outcome."""

    @property
    def rows(self) -> QuerySet[Any]: ...  # rows with the claim's lease token
    @property
    def at_fault(self) -> QuerySet[Any]: ...  # those that the failure counts against
    def finish(self) -> None: ...  # the call had its effect
    def hand_back(self) -> None: ...  # nothing was sent, and nothing failed
    def retry(self) -> None: ...  # no effect: count a failure, and retry later
    def put_in_doubt(self) -> None: ...  # possible effect: resolve the outcome first
    def refuse(self) -> None: ...  # no effect, and a retry does not help: staff decide
    def hold_malformed(self, rows: QuerySet[Any]) -> None: ...  # staff decide


def _count_malformed(claimed: ClaimedRows) -> None:
    """Count an invalid response: hold rows at `MAX_MALFORMED`, doubt the rest."""
    claimed.hold_malformed(claimed.at_fault.filter(malformed__gte=MAX_MALFORMED - 1))
    claimed.at_fault.update(malformed=F("malformed") + 1)
    claimed.put_in_doubt()


# The keys are the outcomes that attempts and reports store. LOST and NOT_FOUND are
# missing, because no claimed row gets these outcomes: see `deadlines` and `in_doubt`.
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
    """Return the outcome for this class of error, or UNANSWERED if it has none."""
    names = (name for kind, name in _OUTCOMES.items() if isinstance(error, kind))
    return next(names, "UNANSWERED")


def delay_after(error: wire.WireError, failures: int) -> float:
    """Return the seconds to wait after this error and `failures` earlier ones."""
    return backoff_seconds(BACKOFF, failures + 1, error.retry_after)
