"""What the books of both sides say, and where they differ."""

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
    """What the vendor listed, and what was reported back to it."""

    occurrences: int
    listed: int
    statuses: Mapping[str, int]
    accepted: int
    duplicates: int
    rejected: Mapping[str, int]  # of every occurrence: a bad report may not name one


@dataclass(frozen=True)
class Doubled:
    """An assignment that was credited more than once."""

    occurrence: str
    promotion: str
    customer: str
    credits: int


@dataclass(frozen=True)
class Total:
    """What was given of one type, in one currency or unit."""

    type: str
    measure: str
    value: str


@dataclass(frozen=True)
class PlatformBook:
    """What became real."""

    credits: int
    rewarded: int  # assignments with at least one credit
    most_per_assignment: int
    doubled_count: int
    doubled: tuple[Doubled, ...]  # the first hundred
    totals: tuple[Total, ...]


@dataclass
class Agreement:
    """Both books of one occurrence side by side; all zero but the first when they agree."""

    assigned: int = 0
    missing: int = 0  # assigned, not credited
    doubled: int = 0
    uncalled_for: int = 0  # credited, not assigned
    different: int = 0  # credited with another reward than was assigned
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
    """Everything at a glance; the agreement only where one occurrence is asked for."""

    vendor: VendorBook
    platform: PlatformBook
    agreement: Agreement | None


def books(
    campaigns: Campaigns,
    redemptions: Redemptions,
    ledger: Ledger,
    occurrence: Occurrence | None = None,
) -> Books:
    """Read both books, of one occurrence or of all."""
    if occurrence is None:
        vendor = _vendor(list(campaigns), redemptions, len(redemptions.accepted))
        return Books(vendor, _platform(ledger), None)
    accepted = sum(1 for row in occurrence.rows if row.reference)
    vendor = _vendor([occurrence], redemptions, accepted)
    theirs = Ledger()
    for credit in ledger.of(occurrence.id):
        theirs.add(credit)
    return Books(vendor, _platform(theirs), agreement(occurrence, theirs.credits))


def agreement(occurrence: Occurrence, given: Iterable[Credit]) -> Agreement:
    """Compare row by row."""
    found = Agreement()
    theirs: defaultdict[tuple[str | None, str | None], list[Credit]] = defaultdict(list)
    for credit in given:
        theirs[credit.promotion, credit.customer].append(credit)
    for row in occurrence.rows:
        _compare(row, theirs.pop((row.promotion, row.customer), []), found)
    for (_, customer), strays in theirs.items():
        for _ in strays:
            found.count("uncalled_for", customer)
    return found


def _compare(row: Row, given: list[Credit], found: Agreement) -> None:
    for kind in _differences(row, given):
        found.count(kind, row.customer)
    if row.status == ASSIGNED:
        found.assigned += 1


def _differences(row: Row, given: list[Credit]) -> Iterable[str]:
    if row.status != ASSIGNED:
        yield from ("uncalled_for" for _ in given)
        return
    if len(given) > 1:
        yield "doubled"
    if not given:
        yield "missing"
    if bool(given) != bool(row.reference):
        yield "unreported" if given else "premature"
    if any(not _same(row, credit) for credit in given):
        yield "different"


def _same(row: Row, credit: Credit) -> bool:
    reward = row.reward
    if reward is None:
        return bool(credit.unique_code)
    measure = "currency" if reward.get("category") == "Amount" else "unit"
    said = [str(reward.get(name)) for name in ("category", "type", "value", measure)]
    kept = [credit.category, credit.type, str(credit.value), credit.measure]
    return said == kept


def _vendor(
    occurrences: list[Occurrence], redemptions: Redemptions, accepted: int
) -> VendorBook:
    statuses: Counter[str] = Counter()
    for occurrence in occurrences:
        statuses.update(occurrence.statuses)
    return VendorBook(
        occurrences=len(occurrences),
        listed=statuses.total(),
        statuses=dict(+statuses),
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
        doubled=tuple(Doubled(*whose, count) for whose, count in first),
        totals=tuple(
            Total(*measured, str(value)) for measured, value in ledger.sums.items()
        ),
    )
