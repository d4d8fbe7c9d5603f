"""
Counts of rows by state, which triggers keep up to date.

If a statement changes rows, a trigger of PostgreSQL inserts the differences into this
table, in the same transaction. So the sums are always correct, and a page reads a few
rows instead of counting a million. The trigger updates no row, so no transaction waits
for another one's counts. Old rows are merged by minute, then by hour, then by day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, models
from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import Now, TruncHour


class CountKind(models.TextChoices):
    ASSIGNMENT = "ASSIGNMENT", "Assignments"
    REDEMPTION = "REDEMPTION", "Redemptions"


class Census(models.Model):
    """A change in the number of rows with these values, which happened at `at`."""

    kind = models.CharField(max_length=10, choices=CountKind)
    # No foreign key constraint: its check of each row would cost more than the count.
    execution = models.ForeignKey(
        "executions.Execution",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="census",
    )
    at = models.DateTimeField(db_default=Now())
    folded = models.PositiveIntegerField(
        db_default=0, help_text="Seconds that `at` stands for; 0: it is exact."
    )
    meaning = models.CharField(max_length=10, db_default="")
    state = models.CharField(max_length=20)
    reason = models.CharField(max_length=20, db_default="")
    unit = models.CharField(max_length=50, db_default="")
    count = models.BigIntegerField()
    value = models.DecimalField(max_digits=32, decimal_places=6, db_default=0)

    class Meta:
        indexes = [
            # The progress of one execution, or of a page of them.
            models.Index(fields=["execution"], name="census_by_execution"),
            # The overview: the numbers of today and of a week ago.
            models.Index(fields=["at"], name="census_by_time"),
            # The overview: rows in `HELD` of all executions.
            models.Index(
                fields=["kind", "reason"],
                name="census_held",
                include=["count"],
                condition=Q(state="HELD"),
            ),
            # For the scheduler: rows that are old enough to be merged.
            models.Index(
                fields=["folded", "at"],
                name="census_to_fold",
                condition=Q(folded__lt=86400),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.count:+} {self.state} of {self.execution_id}"


@dataclass(frozen=True)
class Counted:
    """The number of rows of one execution with these values."""

    kind: str
    meaning: str
    state: str
    reason: str
    count: int


@dataclass(frozen=True)
class Flow:
    """The numbers of rewards assigned, activated and reported in one hour."""

    hour: datetime
    assigned: int
    activated: int
    reported: int


def by_execution(*executions: int) -> dict[int, list[Counted]]:
    """Return the counts of each execution, by kind, meaning, state and reason."""
    found: dict[int, list[Counted]] = {pk: [] for pk in executions}
    rows = Census.objects.filter(execution__in=executions)
    names = ("execution_id", "kind", "meaning", "state", "reason")
    for pk, *values in _totals(rows, *names):
        found[pk].append(Counted(*values))
    return found


def held(kind: CountKind) -> dict[str, int]:
    """Return the number of rows in `HELD` for each reason."""
    return dict(_totals(Census.objects.filter(kind=kind, state="HELD"), "reason"))


def assignments(**narrowed: Any) -> Iterator[dict[str, Any]]:
    """
    Yield the counts of assignments, grouped by five fields and filtered by `narrowed`.

    `total` is the number of assignments of a group, `worth` the sum of their values.
    """
    names = ("execution__stop", "meaning", "state", "reason", "unit")
    yield from (
        Census.objects.filter(kind=CountKind.ASSIGNMENT, **narrowed)
        .values(*names)
        .annotate(total=Sum("count"), worth=Sum("value"))
        .exclude(total=0)
        .order_by(*names)
    )


_ACTIVATED = Q(kind=CountKind.ASSIGNMENT, state="ACTIVE")
_REPORTED = Q(kind=CountKind.REDEMPTION, state="REPORTED")


def flows(since: datetime, until: datetime) -> Iterator[Flow]:
    """Yield the numbers of each hour of this period that has changes."""
    hours = (
        _between(since, until)
        .annotate(hour=TruncHour("at"))
        .values("hour")
        .annotate(
            assigned=_sum(Q(kind=CountKind.ASSIGNMENT)),
            activated=_sum(_ACTIVATED),
            reported=_sum(_REPORTED),
        )
        .order_by("hour")
    )
    for row in hours.values_list("hour", "assigned", "activated", "reported"):
        yield Flow(*row)


def given(since: datetime, until: datetime) -> dict[str, Decimal]:
    """Return the total value activated in this period, by unit."""
    sums = (
        _between(since, until)
        .filter(_ACTIVATED)
        .exclude(unit="")
        .values_list("unit")
        .annotate(total=Sum("value"))
        .order_by("unit")
    )
    return {unit: total for unit, total in sums if total}


def activated_since(since: datetime) -> dict[int, int]:
    """Return the number of rewards activated since then, by execution."""
    # Exact for the last five minutes: older times are rounded down to the minute.
    rows = Census.objects.filter(_ACTIVATED, at__gte=since)
    return dict(_totals(rows, "execution_id"))


def _totals(rows: QuerySet[Census], *names: str) -> QuerySet[Any, Any]:
    """Return the count of each group of rows with the same values, unless it is 0."""
    totals = rows.values_list(*names).annotate(total=Sum("count"))
    return totals.exclude(total=0).order_by(*names)


def _between(since: datetime, until: datetime) -> QuerySet[Census]:
    return Census.objects.filter(at__gte=since, at__lt=until)


def _sum(where: Q) -> Sum:
    return Sum("count", filter=where, default=0)


# --- Folding ----------------------------------------------------------------------------

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


# The steps of merging: rows of this age move to the start of their minute, hour or day.
_FOLDS: Sequence[dict[str, Any]] = (
    {"before": 0, "into": _MINUTE, "age": timedelta(minutes=5), "start": "minute"},
    {"before": _MINUTE, "into": _HOUR, "age": timedelta(hours=2), "start": "hour"},
    {"before": _HOUR, "into": _DAY, "age": timedelta(days=30), "start": "day"},
)
# Maximum number of rows that a statement merges: the rest follows a second later.
_BATCH_SIZE = 10_000

_FOLD = """
    WITH gone AS (
        DELETE FROM promoportal_census WHERE id IN (
            SELECT id FROM promoportal_census
            WHERE folded = %(before)s AND at < statement_timestamp() - %(age)s
            ORDER BY at LIMIT %(most)s FOR UPDATE SKIP LOCKED
        ) RETURNING *
    )
    INSERT INTO promoportal_census
        (kind, execution_id, at, folded, meaning, state, reason, unit, count, value)
    SELECT kind, execution_id, date_trunc(%(start)s, at), %(into)s,
           meaning, state, reason, unit, sum(count), sum(value)
    FROM gone
    GROUP BY 1, 2, 3, 5, 6, 7, 8
    HAVING sum(count) <> 0 OR sum(value) <> 0
"""


def compact() -> None:
    """Merge old rows, so that the sums of a long period read few rows."""
    with connection.cursor() as cursor:
        for fold in _FOLDS:
            cursor.execute(_FOLD, {**fold, "most": _BATCH_SIZE})
