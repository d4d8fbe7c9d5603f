"""Storage of a page of Optimove's list: new rows, and rows that were listed before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Min

from executions import lifecycle
from executions.locks import lock_exclusive, lock_shared
from executions.models import Delivery, Execution
from promoportal.db import bulk, database_identity
from promoportal.db.bulk import Columns
from promoportal.db.database_identity import Gap
from promoportal.db.state_machine import LostRace
from promoportal.optimove import Meaning, Page
from rewards import limits, signals
from rewards.collection import changes, evaluation
from rewards.collection.evaluation import Listed, Terms
from rewards.models import Assignment, AssignmentState, Collection


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
    stored = Assignment.objects.select_related("promotion", "execution").filter(
        execution=terms.execution, reference__in=list(rows)
    )
    known = {assignment.reference: assignment for assignment in stored}
    new = [row for reference, row in rows.items() if reference not in known]
    inserted = _insert(new, terms, collection)
    earlier = [row.pk for row in known.values() if row.listed_pass < collection.number]
    seen_again = Assignment.objects.filter(pk__in=earlier)
    fresh = len(inserted) + seen_again.update(listed_pass=collection.number)
    again = [(known[ref], row) for ref, row in rows.items() if ref in known]
    _admit(terms.execution, inserted, changes.apply_changes(again))
    return Stored(fresh, frozenset(listed.row.customer for listed in rows.values()))


def _insert(
    rows: Sequence[Listed], terms: Terms, collection: Collection
) -> Sequence[Columns]:
    taken, gaps = _taken(terms.execution, rows), list(Gap.objects.all())
    unlisted_at = _unlisted_at(collection) if gaps else None
    new: list[Columns] = []
    for listed in rows:
        owner = (listed.promotion, listed.row.customer)
        columns = listed.as_new(repeated=owner in taken)
        # A reward that was listed before a gap ended may have been sent in the gap.
        before = _latest(unlisted_at, _less_zones(listed.row.assigned_at))
        sent_at = database_identity.doubtful_since(before, gaps)
        doubt = {"doubtful": sent_at is not None, "first_sent_at": sent_at}
        new.append({**columns, **doubt})
        taken.add(owner)
    bulk.bulk_insert(
        Assignment,
        new,
        execution=terms.execution,
        listed_pass=collection.number,
        cleared=not terms.limits.bound_executions(),
    )
    return new


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
    return _latest(collection.whole_before, _less_zones(announced))


def _less_zones(at: datetime | None) -> datetime | None:
    return at and at - database_identity.ZONES


def _latest(*times: datetime | None) -> datetime | None:
    return max((at for at in times if at), default=None)


def _taken(execution: Execution, rows: Iterable[Listed]) -> set[tuple[int | None, str]]:
    """Return the pairs of promotion and customer that already have an assignment."""
    customers = [listed.row.customer for listed in rows if listed.row.customer]
    found = Assignment.objects.filter(
        execution=execution, customer__in=customers, repeated=False
    )
    return set(found.values_list("promotion_id", "customer"))


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
