"""The redemptions that were reported to Optimove, and the checks of each report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from promoportal.sandbox.journal import Keep, forget
from promoportal.sandbox.messages import identity
from promoportal.sandbox.optimove.assignment_rows import Row
from promoportal.sandbox.optimove.occurrences import Campaigns
from promoportal.sandbox.optimove.weighted_outcomes import ASSIGNED


class Redeemed(NamedTuple):
    """One accepted redemption."""

    occurrence: str
    promotion: str
    customer: str
    assignment: str
    redeemed_at: str
    reference: str


class Refusal(Exception):
    """The reason why a redemption is rejected: a code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Redemptions:
    """The reported redemptions: those accepted, and the number of all others."""

    campaigns: Campaigns
    accepted: dict[str, Redeemed] = field(default_factory=dict)  # by reference
    duplicates: Counter[str] = field(default_factory=Counter)  # by occurrence
    rejected: Counter[str] = field(default_factory=Counter)
    by_promotion: Counter[str] = field(default_factory=Counter)  # accepted ones
    keep: Keep = forget

    def take(self, item: object) -> str:
        """Accept a redemption, or return "Duplicate" if it was accepted before."""
        redeemed = _read(item)
        if self._known(redeemed):
            self.duplicates[redeemed.occurrence] += 1
            return "Duplicate"
        row = self._row(redeemed)
        self.keep("redeemed", redeemed._asdict())
        self._accept(row, redeemed)
        return "Accepted"

    def restore(self, redeemed: Redeemed) -> None:
        """Restore a redemption that an earlier process accepted, without checks."""
        occurrence = self.campaigns.known(redeemed.occurrence)
        self._accept(occurrence.row(redeemed.assignment), redeemed)

    def _accept(self, row: Row | None, redeemed: Redeemed) -> None:
        self.accepted[redeemed.reference] = redeemed
        self.by_promotion[redeemed.promotion] += 1
        if row is not None:
            row.reference = redeemed.reference

    def refuse(self, refusal: Refusal) -> dict[str, object]:
        self.rejected[refusal.code] += 1
        return {"code": refusal.code, "message": str(refusal)}

    def _known(self, redeemed: Redeemed) -> bool:
        earlier = self.accepted.get(redeemed.reference)
        # The time is not compared, because a repeated report may have another time.
        if earlier and earlier[:4] != redeemed[:4]:
            raise Refusal("ReferenceReused", "The reference was of another redemption.")
        return earlier is not None

    def _row(self, redeemed: Redeemed) -> Row:
        occurrence = self.campaigns.get(redeemed.occurrence)
        row = occurrence and occurrence.row(redeemed.assignment)
        reported = redeemed.customer, redeemed.promotion
        if not row or (row.customer, row.promotion) != reported:
            raise Refusal("UnknownAssignment", "There is no such assignment.")
        # This check and the next are ASSUMED: Optimove has no reason to count a reward
        # that it did not assign.
        if row.status != ASSIGNED:
            raise Refusal("NotAssigned", f"The assignment is {row.status}.")
        if row.reference:
            raise Refusal("AlreadyRedeemed", "It was redeemed under another reference.")
        return row


def _read(item: object) -> Redeemed:
    if not isinstance(item, dict):
        raise Refusal("Invalid", "A redemption must be an object.")
    at = item.get("redeemedAt")
    if not isinstance(at, str) or not _is_time(at):
        raise Refusal("Invalid", "redeemedAt must be a time with its zone.")
    return Redeemed(
        _required(item, "occurrenceId"),
        _required(item, "promotionId"),
        _required(item, "customerId"),
        _required(item, "assignmentId"),
        at,
        _required(item, "reference"),
    )


def _required(item: Mapping[str, object], name: str) -> str:
    value = identity(item.get(name))
    if value is None:
        raise Refusal("Invalid", f"{name} is missing.")
    return value


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
