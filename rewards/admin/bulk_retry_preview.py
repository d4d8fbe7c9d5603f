"""The preview of a bulk retry: how many rewards it would retry or skip."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from executions.models import ExecutionStop
from promoportal.admin.alerts import PARAMETER
from promoportal.admin.keyset_pagination import NEWER, OLDER
from promoportal.db import state_counts
from promoportal.db.bulk_result import SkipReason
from rewards import limits, obstacles
from rewards.models import Assignment, AssignmentState

# Most reasons for skipping that a preview lists.
MAX_REASONS = 12
# Up to this number of rows, all rows are examined, which is fast enough.
FEW = 1_000
# Most rows to examine while staff wait.
MAX_ROWS_EXAMINED = 10_000
_EXAMINED = (
    *("state", "reason", "doubtful", "difference", "meaning", "vendor_status", "unit"),
    "execution__stop",
)
# The filters of the list that the state counts support, too.
_OF_CENSUS = {"execution", "state__exact", "reason__exact"}
# Assumed values of the fields that the state counts do not contain.
_UNKNOWN = {"doubtful": False, "difference": "", "vendor_status": "something else"}
# Rows that a retry skips because of the real values of these fields.
_MISCOUNTED = (Q(doubtful=True), Q(doubtful=False) & ~Q(difference=""))

# The rows are counted in groups, which do not show the value of a single reward.
_LIMITED = "A reward over the limit for one reward is not tried: it needs an approval."

Group = Mapping[str, Any]
"""Fields that some rows share, with the rows' number `total` and value `worth`."""


@dataclass
class Preview:
    """The numbers of rows that a bulk retry would retry or skip if it began now."""

    tried: int = 0
    values: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    left_alone: Counter[SkipReason] = field(default_factory=Counter)
    # A sentence about rows that these numbers do not include, or "".
    but: str = ""

    @property
    def figures(self) -> str:
        """Return the figures in words, to compare them with those of another time."""
        worth = f", worth {self.worth}" if self.worth else ""
        return f"{self.count} to try again{worth}; {self.left or 0} to leave alone"

    @property
    def count(self) -> str:
        return f"{self.tried:,}"

    @property
    def worth(self) -> str:
        sums = sorted(self.values.items())
        return ", ".join(f"{value:,.2f} {unit}" for unit, value in sums if unit)

    @property
    def reasons(self) -> list[tuple[str, str]]:
        most = self.left_alone.most_common(MAX_REASONS)
        return [(str(why), f"{count:,}") for why, count in most if count]

    @property
    def left(self) -> str:
        return f"{total:,}" if (total := self.left_alone.total()) else ""

    def add(self, groups: Iterable[Group], *, sign: int = 1) -> None:
        """Add the numbers of groups of rows; with the sign -1, subtract them."""
        for group in groups:
            row = {name: group[name] for name in _EXAMINED if "__" not in name}
            why_not = obstacles.to_retry(
                Assignment(**row), ExecutionStop(group["execution__stop"])
            )
            if why_not:
                self.left_alone[why_not] += sign * group["total"]
            else:
                self.tried += sign * group["total"]
                self.values[group["unit"]] += sign * group["worth"]


def preview(
    rows: QuerySet[Assignment],
    narrowed: Mapping[str, str],
    *,
    few: int = FEW,
    most: int = MAX_ROWS_EXAMINED,
) -> Preview:
    """
    Count the rows that a bulk retry would retry or skip.

    If at most `few` rows match, all rows are examined. For more rows, the state counts
    are used if they support the filters in `narrowed`: the counts are quick to read.
    Otherwise only the newest rows are examined. If others match, `but` says so.
    """
    found, groups, counts = Preview(), _examine(rows, few), _census_filters(narrowed)
    if _are_all(groups, few):
        found.add(groups)
    elif counts is not None:
        found.add(_UNKNOWN | group for group in state_counts.assignments(**counts))
        _correct(found, rows, most)
    else:
        found.add(groups := _examine(rows, most))
        if not _are_all(groups, most):
            found.but = (
                "More match than can be looked at while you wait. These are the "
                f"figures of the newest {most + 1:,} alone; all that match would be "
                "tried."
            )
    if found.tried and limits.current().reward:
        found.but = f"{found.but} {_LIMITED}".strip()
    return found


def _are_all(groups: Iterable[Group], most: int) -> bool:
    return bool(sum(group["total"] for group in groups) <= most)


def _examine(rows: QuerySet[Assignment], most: int) -> list[Group]:
    """Return the first `most` rows of the list, and one more row, in groups."""
    first = rows.values_list(*_EXAMINED, "value")[: most + 1]
    sql, params = first.query.sql_with_params()
    names = ", ".join(f'"{name}"' for name in _EXAMINED)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {names}, count(*), coalesce(sum(value), 0)"  # noqa: S608 - our own columns
            f" FROM ({sql}) AS looked_at ({names}, value) GROUP BY {names}",
            params,
        )
        columns = (*_EXAMINED, "total", "worth")
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _census_filters(narrowed: Mapping[str, str]) -> dict[str, str] | None:
    """Return the filters for the state counts; None if one of them is unsupported."""
    filters = {k: v for k, v in narrowed.items() if k not in {OLDER, NEWER}}
    if filters.get(PARAMETER) == "held":
        filters["state__exact"] = AssignmentState.HELD
        del filters[PARAMETER]
    return filters if filters.keys() <= _OF_CENSUS else None


def _correct(found: Preview, rows: QuerySet[Assignment], most: int) -> None:
    """Count possibly activated and changed rows as skipped, and not as retried."""
    for kind in _MISCOUNTED:
        groups = _examine(rows.filter(kind, state=AssignmentState.HELD), most)
        found.add(({**group, **_UNKNOWN} for group in groups), sign=-1)
        found.add(groups)
        if not _are_all(groups, most):
            found.but = (
                "More are in doubt than can be counted while you wait: more would be "
                "left alone, and fewer tried again."
            )
