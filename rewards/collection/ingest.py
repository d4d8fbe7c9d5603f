"""Storage of a page of Optimove's list: new rows, and rows that were listed before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Min

from executions import lifecycle
from executions.locks import lock_exclusive, lock_shared
from executions.models import Delivery, Execution
from promoportal.db import bulk, database_identity, state_machine
from promoportal.db.bulk import Columns
from promoportal.db.database_identity import Gap
from promoportal.db.state_machine import LostRace
from promoportal.optimove import Meaning, Page
from rewards import limits, signals
from rewards.collection import changes, evaluation, identification
from rewards.collection.evaluation import Listed, Terms, Verdict
from rewards.collection.identification import Identified, Owner
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Collection,
    CollectionState,
)

_UNSENT = (AssignmentState.OWED, AssignmentState.UNCERTAIN)


@dataclass(frozen=True)
class Stored:
    """The number of rows that are new to the run, and the customers on the page."""

    fresh: int
    customers: frozenset[str]


Conclude = Callable[[Collection, Page, Stored], bool]
"""A function that records a stored page and returns whether to check the limits."""


def store(collection: Collection, page: Page, conclude: Conclude) -> None:
    """
    Store a page and record its result in one transaction.

    Locks the execution first, then its `Collection`, then rows in order of their keys. A page
    that is stored again changes no assignment.

    :raises LostRace: if another worker has the lease or advanced the cursor
    """
    current = limits.current()
    with transaction.atomic():
        database_identity.lock_gaps(shared=True)
        # Exclusive if the check of the limits may stop the execution. If two workers
        # with the shared lock both changed the execution, they would deadlock.
        may_hold = current.bound_executions() and not page.next_cursor
        lock = lock_exclusive if may_hold else lock_shared
        stop = lock(collection.execution_id)
        locked = _lock(collection)
        lifecycle.name_campaign(locked.execution, page.series)
        stored = _store_rows(locked, page, Terms(locked.execution, stop, current))
        if conclude(locked, page, stored):
            limits.check_run(locked)


def _lock(collection: Collection) -> Collection:
    """Lock and return the `Collection`; raise LostRace if it changed since the read."""
    rows = Collection.objects.select_for_update(of=["self"]).select_related("execution")
    locked = rows.filter(
        pk=collection.pk,
        token=collection.token,
        number=collection.number,
        cursor=collection.cursor,
    ).first()
    if locked is None:
        raise LostRace(f"{collection} has moved on, or is held by someone else.")
    return locked


def _store_rows(collection: Collection, page: Page, terms: Terms) -> Stored:
    rows = evaluation.evaluate_page(page.rows, terms)
    found = identification.identify(terms.execution, rows)
    inserted = _insert(found, terms, collection)
    earlier = [row.pk for row, _ in found.again if row.listed_pass < collection.number]
    seen_again = Assignment.objects.filter(pk__in=earlier)
    fresh = len(inserted) + seen_again.update(listed_pass=collection.number)
    taken = [each for each in found.taken if not _is_seen(collection, each[0])]
    changed = changes.apply_changes(found.again, taken)
    _admit(terms.execution, inserted, changed)
    return Stored(fresh, frozenset(listed.row.customer for listed in rows))


def _is_seen(collection: Collection, row: Assignment) -> bool:
    """Return whether the run in progress listed the row on an earlier page."""
    is_running = collection.state == CollectionState.COLLECTING
    return is_running and row.listed_pass == collection.number


def _insert(
    found: Identified, terms: Terms, collection: Collection
) -> Sequence[Columns]:
    if not found.new:
        return []
    gaps = list(Gap.objects.all())
    unlisted_at = _unlisted_at(collection) if gaps else None
    new = _New(found.siblings, terms, gaps, unlisted_at)
    for listed in found.new:
        new.add(listed)
    bulk.bulk_insert(
        Assignment,
        new.rows,
        execution=terms.execution,
        listed_pass=collection.number,
    )
    return new.rows


@dataclass
class _New:
    """The columns of new rows. Of each owner, the first row is not `repeated`."""

    siblings: Mapping[Owner, Sequence[Assignment]]
    terms: Terms
    gaps: Sequence[Gap]
    unlisted_at: datetime | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    first: dict[Owner, dict[str, Any]] = field(default_factory=dict)

    def add(self, listed: Listed) -> None:
        # A reward that was listed before a gap ended may have been sent in the gap.
        assigned_at = database_identity.less_zones(listed.row.assigned_at)
        before_it = _latest(self.unlisted_at, assigned_at)
        sent_at = database_identity.doubtful_since(before_it, self.gaps)
        stored = self.siblings.get(listed.owner, ())
        before = next((row for row in stored if not row.repeated), None)
        repeated = bool(before) or listed.owner in self.first
        unproven = self._why_unproven(listed, before, sent_at) if repeated else ""
        columns = {
            **listed.as_new(repeated=repeated, unproven=unproven),
            "doubtful": sent_at is not None,
            "first_sent_at": sent_at,
            # A worker may still send it: "not found" must wait for this request.
            "lease_until": sent_at and database_identity.calls_end(self.gaps),
            # Further rows of the owner may follow. Their order is not proven, so the
            # first row must not be sent before the whole list is stored.
            "cleared": sent_at is None and not self.terms.limits.bound_executions(),
        }
        self.rows.append(columns)
        self.first.setdefault(listed.owner, columns)

    def _why_unproven(
        self, listed: Listed, before: Assignment | None, sent_at: datetime | None
    ) -> str:
        """Return why staff must decide about a further row of an owner, or ""."""
        if why := evaluation.is_key_unproven(sent_at, before):
            self._hold_first(listed.owner, before, why)
            return why
        stored = self.siblings.get(listed.owner, ())
        is_unclear = any(identification.lacks_proof(row) for row in stored)
        return identification.OWN_ID_UNKNOWN if is_unclear else ""

    def _hold_first(self, owner: Owner, before: Assignment | None, why: str) -> None:
        """Hold the owner's first row, too, unless it was sent since it is stored."""
        reason = AssignmentReason.REPEATED
        if before is not None:
            unsent = Assignment.objects.filter(
                pk=before.pk, order__isnull=True, state__in=_UNSENT
            )
            held = AssignmentState.HELD
            state_machine.move_all(unsent, held, why=why, reason=reason, problem=why)
        elif self.first[owner]["state"] == AssignmentState.OWED:
            verdict = Verdict(AssignmentState.HELD, reason, why)
            self.first[owner].update(verdict._asdict())


def _unlisted_at(collection: Collection) -> datetime | None:
    """
    Return a time at which Optimove did not list any row that is new now, or None.

    Two things prove it by the portal's own record, in this database. First, two complete
    runs did not contain the row: Optimove may leave a row out once. Second, a webhook
    opened the execution. Webhooks of other channels may have arrived up to a day before,
    in a gap. An execution that staff opened may have been announced in a gap.
    """
    execution = collection.execution
    announced = Delivery.objects.filter(
        execution=execution, received_at__lte=execution.opened_at
    ).aggregate(first=Min("received_at"))["first"]
    return _latest(collection.whole_before, database_identity.less_zones(announced))


def _latest(*times: datetime | None) -> datetime | None:
    return max((at for at in times if at), default=None)


def _admit(
    execution: Execution, inserted: Iterable[Columns], changed: changes.Counted
) -> None:
    """Add assigned rewards to the tallies of the limits."""
    assigned = [row for row in inserted if row["meaning"] == Meaning.ACTIVATE]
    limits.admit(
        execution,
        [*assigned, *changed.rows],
        instead_of=changed.instead_of,
        again=changed.again,
    )
    # For rows that wait for the check of the limits, this signal is sent again later.
    if any(row["state"] == AssignmentState.OWED for row in assigned):
        signals.owed.send(Execution)
