"""The records of Optimove and of the platform, and their differences."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from promoportal.sandbox.operator_platform import Credit, Ledger
from promoportal.sandbox.optimove.accepted_redemptions import Redemptions
from promoportal.sandbox.optimove.assignment_rows import Row
from promoportal.sandbox.optimove.occurrences import Campaigns, Occurrence
from promoportal.sandbox.optimove.weighted_outcomes import ASSIGNED

_EXAMPLES = 100


@dataclass(frozen=True)
class VendorBook:
    """Optimove's record: the listed rows, and the reported redemptions."""

    occurrences: int
    listed: int
    statuses: Mapping[str, int]
    accepted: int
    duplicates: int
    # Over all executions, because an invalid report may have no execution ID.
    rejected: Mapping[str, int]


@dataclass(frozen=True)
class Doubled:
    """An assignment that was credited more than once."""

    occurrence: str
    promotion: str
    customer: str
    credits: int


@dataclass(frozen=True)
class Total:
    """The total value of one reward type in one currency or unit."""

    type: str
    measure: str
    value: str


@dataclass(frozen=True)
class PlatformBook:
    """The platform's record: the credits."""

    credits: int
    rewarded: int  # assignments with at least one credit
    most_per_assignment: int
    doubled_count: int
    doubled: tuple[Doubled, ...]  # the first hundred
    totals: tuple[Total, ...]


@dataclass
class Agreement:
    """
    The differences between Optimove's and the platform's record of one execution.

    If the two records agree, every number except `assigned` is 0.
    """

    assigned: int = 0
    missing: int = 0  # assigned, not credited
    doubled: int = 0
    uncalled_for: int = 0  # credited, not assigned
    different: int = 0  # credited, but not the reward that was assigned
    unreported: int = 0  # credited, not redeemed
    premature: int = 0  # redeemed, not credited
    # The first hundred customers of each kind.
    examples: dict[str, list[str]] = field(default_factory=dict)

    def count(self, kind: str, customer: str | None) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        some = self.examples.setdefault(kind, [])
        if len(some) < _EXAMPLES:
            some.append(customer or "")


@dataclass(frozen=True)
class Books:
    """The records of both services."""

    vendor: VendorBook
    platform: PlatformBook
    agreement: Agreement | None  # None for all executions


def books(
    campaigns: Campaigns,
    redemptions: Redemptions,
    ledger: Ledger,
    occurrence: Occurrence | None = None,
) -> Books:
    """Return the records of one execution, or of all executions."""
    if occurrence is None:
        vendor = _vendor(list(campaigns), redemptions, len(redemptions.accepted))
        return Books(vendor, _platform(ledger), None)
    accepted = sum(1 for row in occurrence.rows if row.reference)
    vendor = _vendor([occurrence], redemptions, accepted)
    selected = Ledger()
    for credit in ledger.credits:
        if credit.occurrence == occurrence.id:
            selected.add(credit)
    return Books(vendor, _platform(selected), agreement(occurrence, selected.credits))


def agreement(occurrence: Occurrence, credited: Iterable[Credit]) -> Agreement:
    """Return the differences between the rows of an execution and its credits."""
    found = Agreement()
    by_row: defaultdict[tuple[str | None, str | None], list[Credit]] = defaultdict(list)
    for credit in credited:
        by_row[credit.promotion, credit.customer].append(credit)
    for row in occurrence.rows:
        found.assigned += row.status == ASSIGNED
        for kind in _differences(row, by_row.pop((row.promotion, row.customer), [])):
            found.count(kind, row.customer)
    for (_, customer), strays in by_row.items():
        for _ in strays:
            found.count("uncalled_for", customer)
    return found


def _differences(row: Row, credited: list[Credit]) -> Iterable[str]:
    if row.status != ASSIGNED:
        yield from ("uncalled_for" for _ in credited)
        return
    if len(credited) > 1:
        yield "doubled"
    if not credited:
        yield "missing"
    if bool(credited) != bool(row.reference):
        yield "unreported" if credited else "premature"
    if any(not _same(row, credit) for credit in credited):
        yield "different"


def _same(row: Row, credit: Credit) -> bool:
    reward = row.reward
    if reward is None:
        return bool(credit.unique_code)
    measure = "currency" if reward.get("category") == "Amount" else "unit"
    listed = [str(reward.get(name)) for name in ("category", "type", "value", measure)]
    received = [credit.category, credit.type, str(credit.value), credit.measure]
    return listed == received


def _vendor(
    occurrences: list[Occurrence], redemptions: Redemptions, accepted: int
) -> VendorBook:
    statuses = sum((one.statuses for one in occurrences), Counter[str]())
    return VendorBook(
        occurrences=len(occurrences),
        listed=statuses.total(),
        statuses=dict(statuses),
        accepted=accepted,
        duplicates=sum(redemptions.duplicates[one.id] for one in occurrences),
        rejected=dict(redemptions.rejected),
    )


def _platform(ledger: Ledger) -> PlatformBook:
    first = islice(ledger.doubled.items(), _EXAMPLES)
    return PlatformBook(
        credits=len(ledger.credits),
        rewarded=ledger.rewarded,
        most_per_assignment=ledger.most,
        doubled_count=len(ledger.doubled),
        doubled=tuple(Doubled(*key, count) for key, count in first),
        totals=tuple(
            Total(*measured, str(value)) for measured, value in ledger.sums.items()
        ),
    )
