"""
Trying again all that match a list: chosen once, then done in parts, each of them whole.

A part is one transaction: the rewards are owed again, what became of each is written
down, the figures go on, and the part is gone, or nothing of it. So a killed worker loses
at most one part, which the next one does, and nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet

from promoportal.db import bulk
from promoportal.db.bulk_result import SkipReason
from promoportal.runtime.time_budget import TimeBudget
from rewards import decisions, signals
from rewards.models import Assignment, Retrial, RetrialPart, RetrialState, Retried

# Rows of one part.
PART = 500
# Seconds a job goes on, so that others get their turn.
TURN = 8.0


def begin(
    rows: QuerySet[Assignment], *, form: UUID, narrowed: str, by: Any, why: str
) -> Retrial:
    """
    Choose all rows there are now, and have them tried again.

    The same form, sent twice, gives back what it began the first time.
    """
    with transaction.atomic():
        said = {"narrowed": narrowed, "by": by, "why": why}
        retrial, is_new = Retrial.objects.get_or_create(form=form, defaults=said)
        if is_new:
            retrial.total = _choose(rows, retrial)
            retrial.save(update_fields=["total"])
            signals.retrying.send(Retrial)
    return retrial


def follow() -> None:
    """Do some of each that is under way, for one turn."""
    budget = TimeBudget(TURN)
    while not budget.is_spent() and _some():
        pass
    # Whoever is at what is left wakes the next one; who found nothing to do does not.
    if budget.is_spent() and is_due():
        with transaction.atomic():
            signals.retrying.send(Retrial)


def is_due() -> bool:
    """Whether any is under way."""
    return Retrial.objects.filter(state=RetrialState.RUNNING).exists()


def pause(retrial: Retrial, *, by: Any, why: str) -> None:
    """:raises IllegalMove: if it is not under way"""
    retrial.move(RetrialState.PAUSED, by=by, why=why)


def resume(retrial: Retrial, *, by: Any, why: str) -> None:
    """:raises IllegalMove: if it is not paused"""
    with transaction.atomic():
        retrial.move(RetrialState.RUNNING, by=by, why=why)
        signals.retrying.send(Retrial)


def cancel(retrial: Retrial, *, by: Any, why: str) -> None:
    """
    Leave the rest as it is; what was done stays done.

    :raises IllegalMove: if it is over
    """
    retrial.move(RetrialState.CANCELLED, by=by, why=why)


def _choose(rows: QuerySet[Assignment], retrial: Retrial) -> int:
    """In one statement, whatever their number, part by part; gives their number."""
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


def _some() -> bool:
    """Do a part of one that nobody else is at; whether there was any."""
    with transaction.atomic():
        # Held until the part is done, so that a pause waits for it and counts.
        running = Retrial.objects.filter(state=RetrialState.RUNNING).order_by("?")
        retrial = running.select_for_update(skip_locked=True).first()
        if retrial is None:
            return False
        part = retrial.parts.order_by("number").first()
        if part is not None:
            rows = Assignment.objects.filter(pk__in=part.assignments)
            skipped = decisions.retry_together(rows, by=retrial.by, why=retrial.why)
            _conclude(retrial, part, skipped)
        if not retrial.parts.exists():
            retrial.move(RetrialState.DONE, why=f"{retrial.total:,} were looked at.")
        return True


def _conclude(
    retrial: Retrial, part: RetrialPart, skipped: Mapping[int, SkipReason | None]
) -> None:
    """Store the result of each row, and add the part to the figures of the whole."""
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
