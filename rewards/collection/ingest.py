"""Keeping what the vendor lists: what is new, what changed, and what it makes owed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from executions.models import Execution, ExecutionStop
from promoportal.db import bulk, database_identity
from promoportal.db.bulk import Columns
from promoportal.db.database_identity import Gap
from promoportal.optimove import Meaning, Row
from rewards import limits, signals
from rewards.collection import changes
from rewards.collection.evaluation import (
    evaluate_in_execution,
    key_of,
    known_promotions,
    reward_payload,
    vendor_columns,
)
from rewards.models import Assignment, AssignmentState


@dataclass(frozen=True)
class Listed:
    """What a page brought: rows this pass had not seen, and the customers on it."""

    fresh: int
    customers: frozenset[str]


def store(
    execution: Execution, page: Sequence[Row], *, listed_pass: int, stop: ExecutionStop
) -> Listed:
    """
    Insert what is new and follow what changed. Storing a page again changes nothing.

    Runs in the transaction that saves the page's cursor, under the collection's lock,
    so that nobody else stores rows of this execution meanwhile.
    """
    rows = _by_reference(page)
    promotions = known_promotions(rows.values())
    known = _known(execution, rows)
    new = [row for row in rows.values() if row.reference not in known]
    inserted = _insert(execution, new, promotions, listed_pass, stop)
    seen_again = _mark_listed(known.values(), listed_pass)
    again = [(known[ref], row) for ref, row in rows.items() if ref in known]
    changes.apply_changes(execution, again, stop=stop)
    _tell(execution, inserted)
    return Listed(
        fresh=len(inserted) + seen_again,
        customers=frozenset(row.customer for row in rows.values()),
    )


def _by_reference(page: Iterable[Row]) -> dict[str, Row]:
    """The rows of a page, one for each reference, and none lost."""
    rows: dict[str, Row] = {}
    for row in page:
        first = rows.setdefault(row.reference, row)
        if _says(first) != _says(row):
            contrary = _contrary(row)
            rows.setdefault(contrary.reference, contrary)
    return rows


def _says(row: Row) -> tuple[Any, ...]:
    reward = reward_payload(row.reward) if row.reward else None
    return row.customer, row.promotion, row.status, reward, row.unique_code


def _contrary(row: Row) -> Row:
    """A row that says otherwise than another of the same reference: a person decides."""
    digest = hashlib.sha256(repr(_says(row)).encode()).hexdigest()[:16]
    problem = "Optimove lists this assignment id twice, and not the same both times."
    reference = f"{row.reference[:180]}#{digest}"
    return replace(row, reference=reference, problem=row.problem or problem)


def _known(execution: Execution, rows: Iterable[str]) -> dict[str, Assignment]:
    found = Assignment.objects.select_related("promotion", "execution").filter(
        execution=execution, reference__in=list(rows)
    )
    return {assignment.reference: assignment for assignment in found}


def _insert(
    execution: Execution,
    rows: Sequence[Row],
    promotions: Mapping[str, int],
    listed_pass: int,
    stop: ExecutionStop,
) -> list[Columns]:
    taken, gaps = _taken(execution, rows), list(Gap.objects.all())
    new: list[Columns] = []
    for row in rows:
        three = (promotions.get(row.promotion), row.customer)
        columns = _new(execution, row, three, repeated=three in taken, stop=stop)
        new.append({**columns, **_doubt(row, gaps)})
        taken.add(three)
    bulk.bulk_insert(
        Assignment,
        new,
        execution=execution,
        listed_pass=listed_pass,
        cleared=limits.is_execution_unlimited(),
    )
    return new


def _taken(execution: Execution, rows: Sequence[Row]) -> set[tuple[int | None, str]]:
    """Which promotions these customers were assigned already in this execution."""
    customers = [row.customer for row in rows if row.customer]
    found = Assignment.objects.filter(
        execution=execution, customer__in=customers, repeated=False
    )
    return set(found.values_list("promotion_id", "customer"))


def _new(
    execution: Execution,
    row: Row,
    three: tuple[int | None, str],
    *,
    repeated: bool,
    stop: ExecutionStop,
) -> Columns:
    repeated = repeated and bool(row.customer) and three[0] is not None
    state, reason, problem = evaluate_in_execution(row, repeated=repeated, stop=stop)
    return {
        "promotion": three[0],
        "reference": row.reference,
        "customer": row.customer,
        "state": state,
        "reason": reason,
        "problem": problem,
        "repeated": repeated,
        "key": None if row.problem else key_of(execution, row, repeated=repeated),
        **vendor_columns(row),
    }


def _doubt(row: Row, gaps: Iterable[Gap]) -> Columns:
    """What was assigned in a gap of our rows may have been sent in it."""
    since = database_identity.doubtful_since(row.assigned_at, gaps)
    return {"doubtful": since is not None, "first_sent_at": since}


def _mark_listed(known: Iterable[Assignment], listed_pass: int) -> int:
    """How many of them this pass had not seen yet."""
    earlier = [row.pk for row in known if row.listed_pass < listed_pass]
    return Assignment.objects.filter(pk__in=earlier).update(listed_pass=listed_pass)


def _tell(execution: Execution, inserted: Iterable[Columns]) -> None:
    wanted = [row for row in inserted if row["meaning"] == Meaning.ACTIVATE]
    limits.admit(execution, [(row["unit"], row["value"]) for row in wanted])
    # Those that wait for the limits are told of once they passed them.
    if any(row["state"] == AssignmentState.OWED for row in wanted):
        signals.owed.send(Execution)
