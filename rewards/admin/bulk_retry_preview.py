from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from executions.models import ExecutionStop
from promoportal.admin.alerts import PARAMETER
from promoportal.admin.keyset_pagination import NEWER, OLDER
from promoportal.db import state_counts
from promoportal.db.bulk_result import SkipReason
from rewards import decisions
from rewards.models import Assignment, AssignmentState

# Reasons for leaving rows alone that a preview tells apart.
MAX_REASONS = 12
# Of no more than these it is quick to look at each.
FEW = 1_000
# So many are looked at while somebody waits.
MAX_ROWS_EXAMINED = 10_000
_LOOKED_AT = (
    *("state", "reason", "doubtful", "meaning", "vendor_status", "unit"),
    "execution__stop",
)
# What the census knows of a list, by what narrows it.
_OF_CENSUS = {
    "execution": "execution",
    "state__exact": "state",
    "reason__exact": "reason",
}
# What it does not know.
_CERTAIN = {"doubtful": False, "vendor_status": "something else"}


Kind = Mapping[str, Any]


@dataclass
class Preview:
    """What trying them again would do, by the figures of now."""

    tried: int = 0
    values: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    left_alone: Counter[SkipReason] = field(default_factory=Counter)
    # What these figures do not tell, in a sentence.
    but: str = ""

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

    def add(self, kind: Kind, count: int, worth: Decimal) -> None:
        """So many of that kind; or so many fewer."""
        row = {name: kind[name] for name in _LOOKED_AT if "__" not in name}
        why_not = decisions.retry_skip_reason(
            Assignment(**row), ExecutionStop(kind["execution__stop"])
        )
        if why_not:
            self.left_alone[why_not] += count
        else:
            self.tried += count
            self.values[kind["unit"]] += worth


def preview(
    rows: QuerySet[Assignment],
    narrowed: Mapping[str, str],
    *,
    few: int = FEW,
    most: int = MAX_ROWS_EXAMINED,
) -> Preview:
    """
    Count them, each kind by itself.

    A few are looked at. Of more the census tells, which costs the same of a million, if
    it knows how the list is `narrowed`; or else the newest of them, and it is said so.
    """
    found, kinds, known = Preview(), list(_kinds(rows, few)), _known(narrowed)
    if _are_all(kinds, few):
        _add(found, kinds)
    elif known is not None:
        _add(found, _counted(known))
        _tell_doubtful_apart(found, rows, most)
    else:
        _add_newest(found, rows, most)
    return found


Counts = Iterable[tuple[Kind, int, Decimal]]


def _add(found: Preview, kinds: Counts) -> None:
    for kind, count, worth in kinds:
        found.add(kind, count, worth)


def _add_newest(found: Preview, rows: QuerySet[Assignment], most: int) -> None:
    kinds = list(_kinds(rows, most))
    _add(found, kinds)
    if not _are_all(kinds, most):
        found.but = (
            "More match than can be looked at while you wait. These are the figures of "
            f"the newest {most + 1:,} alone; all that match would be tried."
        )


def _are_all(kinds: Counts, most: int) -> bool:
    return sum(count for _, count, _ in kinds) <= most


def _kinds(
    rows: QuerySet[Assignment], most: int
) -> Iterator[tuple[Kind, int, Decimal]]:
    """How many of each kind are among the first of the list, and one row more."""
    first = rows.values_list(*_LOOKED_AT, "value")[: most + 1]
    sql, params = first.query.sql_with_params()
    names = ", ".join(f'"{name}"' for name in _LOOKED_AT)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {names}, count(*), coalesce(sum(value), 0)"  # noqa: S608 - our own columns
            f" FROM ({sql}) AS looked_at ({names}, value) GROUP BY {names}",
            params,
        )
        for *said, count, worth in cursor.fetchall():
            yield dict(zip(_LOOKED_AT, said, strict=True)), count, worth


def _known(narrowed: Mapping[str, str]) -> dict[str, str] | None:
    """How the census says the same; None if it does not know of something."""
    said = {k: v for k, v in narrowed.items() if k not in {OLDER, NEWER}}
    if said.get(PARAMETER) == "held":
        said["state__exact"] = AssignmentState.HELD
        del said[PARAMETER]
    if not said.keys() <= _OF_CENSUS.keys():
        return None
    return {_OF_CENSUS[name]: value for name, value in said.items()}


def _counted(known: Mapping[str, str]) -> Iterator[tuple[Kind, int, Decimal]]:
    """What the census counts, none of it in doubt."""
    for said in state_counts.assignments(**known):
        kind = {
            **_CERTAIN,
            "state": said.state,
            "reason": said.reason,
            "meaning": said.meaning,
            "unit": said.unit,
            "execution__stop": said.stop,
        }
        yield kind, said.count, said.value


def _tell_doubtful_apart(found: Preview, rows: QuerySet[Assignment], most: int) -> None:
    """Of what is in doubt the census does not know."""
    doubtful = list(
        _kinds(rows.filter(state=AssignmentState.HELD, doubtful=True), most)
    )
    for kind, count, worth in doubtful:
        found.add({**kind, **_CERTAIN}, -count, -worth)
        found.add(kind, count, worth)
    if not _are_all(doubtful, most):
        found.but = (
            "More are in doubt than can be counted while you wait: more would be left "
            "alone, and fewer tried again."
        )
