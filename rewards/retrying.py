"""
Trying again all that match a list: chosen once, then done in parts, each of them whole.

A part is one transaction: the rewards are owed again, what became of each is written
down, and the figures go on, or nothing of it. So a killed worker loses at most one part,
which the next one does, and nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet

from promoportal import sets
from promoportal.leases import Budget
from rewards import deciding, signals
from rewards.models import Assignment, Retrial, Retried, Trying

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
    budget = Budget(TURN)
    while not budget.is_spent() and _some():
        pass
    if is_due():
        with transaction.atomic():
            signals.retrying.send(Retrial)


def is_due() -> bool:
    """Whether any is under way."""
    return Retrial.objects.filter(state=Trying.RUNNING).exists()


def pause(retrial: Retrial, *, by: Any, why: str) -> None:
    """:raises IllegalMove: if it is not under way"""
    retrial.move(Trying.PAUSED, by=by, why=why)


def resume(retrial: Retrial, *, by: Any, why: str) -> None:
    """:raises IllegalMove: if it is not paused"""
    with transaction.atomic():
        retrial.move(Trying.RUNNING, by=by, why=why)
        signals.retrying.send(Retrial)


def cancel(retrial: Retrial, *, by: Any, why: str) -> None:
    """
    Leave the rest as it is; what was done stays done.

    :raises IllegalMove: if it is over
    """
    retrial.move(Trying.CANCELLED, by=by, why=why)


def _choose(rows: QuerySet[Assignment], retrial: Retrial) -> int:
    """In one statement, whatever their number; ordered, as they are done later."""
    sql, params = rows.order_by("pk").values_list("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {sets.table(Retried)}"  # noqa: S608 - our own table
            " (retrial_id, assignment_id, is_over, left_alone)"
            f" SELECT %s, chosen.id, false, '' FROM ({sql}) AS chosen (id)",
            [retrial.pk, *params],
        )
        return int(cursor.rowcount)


def _some() -> bool:
    """Do a part of one that nobody else is at; whether there was any."""
    with transaction.atomic():
        # Held until the part is done, so that a pause waits for it and counts.
        running = Retrial.objects.filter(state=Trying.RUNNING).order_by("?")
        retrial = running.select_for_update(skip_locked=True).first()
        if retrial is None:
            return False
        rows = Retried.objects.filter(retrial=retrial, is_over=False).order_by("pk")
        part = dict(rows.values_list("assignment_id", "pk")[:PART])
        if part:
            _conclude(retrial, part, _retry(part, retrial))
        if len(part) < PART:
            why = f"{retrial.total:,} were looked at."
            retrial.move(Trying.DONE, why=why)
        return True


def _retry(part: Mapping[int, int], retrial: Retrial) -> Mapping[int, str]:
    rows = Assignment.objects.filter(pk__in=part)
    return deciding.retry_together(rows, by=retrial.by, why=retrial.why)


def _conclude(
    retrial: Retrial, part: Mapping[int, int], left_alone: Mapping[int, str]
) -> None:
    """Write down what became of each, beside the figures of all."""
    said = {pk: {"left_alone": left_alone[row]} for row, pk in part.items()}
    sets.set_each(Retried, said, is_over=True)
    done = sum(1 for why_not in left_alone.values() if not why_not)
    Retrial.objects.filter(pk=retrial.pk).update(
        done=F("done") + done, left_alone=F("left_alone") + len(part) - done
    )
