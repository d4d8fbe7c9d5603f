"""
Bulk retries: assignments are selected once, at the start, and then retried in parts.

Each part is one transaction, which retries the rewards, stores the results, updates the
counts and deletes the part. If the worker is killed, this transaction is rolled back,
and another worker repeats the part. So no part takes effect twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet

from promoportal.db import bulk
from promoportal.db.bulk_result import SkipReason
from promoportal.runtime.time_budget import TimeBudget
from rewards import decisions, signals
from rewards.confirmed_moment import ConfirmedMoment
from rewards.models import Assignment, Retrial, RetrialPart, RetrialState, Retried

# Rows per part.
PART = 500
# Seconds after which a job begins no further part, so that other jobs can run.
TURN = 8.0


@dataclass(frozen=True)
class Figures:
    """The confirmed moment, and the figures in words: confirmed, and at the start."""

    confirmed: ConfirmedMoment
    confirmed_as: str
    begun_as: str

    def columns(self) -> dict[str, Any]:
        return {
            "newest": self.confirmed.newest,
            "confirmed_at": self.confirmed.at,
            "confirmed_as": self.confirmed_as,
            "begun_as": self.begun_as,
        }


def begin(
    rows: QuerySet[Assignment],
    *,
    form: UUID,
    narrowed: str,
    by: Any,
    why: str,
    figures: Figures | None = None,
) -> Retrial:
    """
    Start a bulk retry of the rows that the query finds now; return the bulk retry.

    Rows that are newer than the confirmation in `figures`, or changed since, will be
    skipped. If the same form was sent before, return the bulk retry that it started.
    """
    with transaction.atomic():
        columns = {"narrowed": narrowed, "by": by, "why": why}
        columns |= figures.columns() if figures else {}
        retrial, is_new = Retrial.objects.get_or_create(form=form, defaults=columns)
        if is_new:
            retrial.total = _choose(rows, retrial)
            retrial.save(update_fields=["total"])
            signals.retrying.send(Retrial)
    return retrial


def follow() -> None:
    """Process parts of running bulk retries; begin no part after `TURN` seconds."""
    budget = TimeBudget(TURN)
    while not budget.is_spent() and _process_part():
        pass
    # If time is left, other jobs process the running bulk retries and queue new jobs.
    if budget.is_spent() and is_due():
        with transaction.atomic():
            signals.retrying.send(Retrial)


def is_due() -> bool:
    """Return whether a bulk retry is running."""
    return Retrial.objects.filter(state=RetrialState.RUNNING).exists()


def pause(retrial: Retrial, *, by: Any, why: str) -> None:
    """Pause a bulk retry; raise IllegalMove if it is not running."""
    retrial.move(RetrialState.PAUSED, by=by, why=why)


def resume(retrial: Retrial, *, by: Any, why: str) -> None:
    """Resume a bulk retry; raise IllegalMove if it is not paused."""
    with transaction.atomic():
        retrial.move(RetrialState.RUNNING, by=by, why=why)
        signals.retrying.send(Retrial)


def cancel(retrial: Retrial, *, by: Any, why: str) -> None:
    """
    Cancel the remaining parts of a bulk retry. Retried rewards stay as they are.

    :raises IllegalMove: if the bulk retry is complete or cancelled
    """
    retrial.move(RetrialState.CANCELLED, by=by, why=why)


def _choose(rows: QuerySet[Assignment], retrial: Retrial) -> int:
    """Insert the keys of the rows as parts, in one statement; return their number."""
    sql, params = rows.order_by().values_list("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {bulk.table(RetrialPart)} (retrial_id, number, assignments)"  # noqa: S608 - our own table
            " SELECT %s, place / %s, array_agg(id ORDER BY id) FROM ("
            " SELECT id, row_number() OVER (ORDER BY id) - 1 AS place"
            f" FROM ({sql}) AS chosen (id)) AS placed GROUP BY 2"
            " RETURNING cardinality(assignments)",
            [retrial.pk, PART, *params],
        )
        return sum(count for (count,) in cursor.fetchall())


def _process_part() -> bool:
    """Process a part of a running, unlocked bulk retry; return False if none exists."""
    with transaction.atomic():
        # A pause waits for this lock, and so for the end of the part.
        running = Retrial.objects.filter(state=RetrialState.RUNNING).order_by("?")
        retrial = running.select_for_update(skip_locked=True).first()
        if retrial is None:
            return False
        part = retrial.parts.order_by("number").first()
        if part is not None:
            rows = Assignment.objects.filter(pk__in=part.assignments)
            skipped = decisions.retry_together(
                rows, by=retrial.by, why=retrial.why, confirmed=_confirmed(retrial)
            )
            _conclude(retrial, part, skipped)
        if not retrial.parts.exists():
            retrial.move(RetrialState.DONE, why=f"{retrial.total:,} were looked at.")
        return True


def _confirmed(retrial: Retrial) -> ConfirmedMoment | None:
    """Return what was confirmed; None for bulk retries of the previous release."""
    if retrial.newest is None or retrial.confirmed_at is None:
        return None
    return ConfirmedMoment(retrial.newest, retrial.confirmed_at)


def _conclude(
    retrial: Retrial, part: RetrialPart, skipped: Mapping[int, SkipReason | None]
) -> None:
    """Store the result of each row, delete the part, and update the counts."""
    results = [
        {"assignment": row, "left_alone": str(skipped[row] or "")}
        for row in part.assignments
    ]
    bulk.bulk_insert(Retried, results, retrial=retrial)
    part.delete()
    done = sum(1 for reason in skipped.values() if reason is None)
    Retrial.objects.filter(pk=retrial.pk).update(
        done=F("done") + done, left_alone=F("left_alone") + len(results) - done
    )
