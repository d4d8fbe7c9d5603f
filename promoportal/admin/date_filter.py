"""
Filter of a list by days, which can be combined with all other filters.

Keys are assigned nearly in the order of time, and every index of a list ends with the
key. So the filter translates days into ranges of keys, and needs no index of its own. A
page reads only the rows that it shows, and the rows within `SLACK` of midnight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar

from django.contrib.admin import ListFilter, ModelAdmin
from django.db import connection
from django.db.models import BooleanField, Case, Model, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.timezone import localdate, make_aware

from promoportal.admin.formatting import short
from promoportal.admin.keyset_order import order_of

_NAMES = DAYS, FROM, TO = "days", "from", "to"
# A higher key can have an earlier time, by at most this: no insert takes longer.
SLACK = timedelta(seconds=30)
_YEARS = range(2000, 2101)
_DAY = timedelta(days=1)
Span = tuple[date | None, date | None]
# The label of each period, and its first and last day.
_PERIODS: dict[str, tuple[str, Callable[[date], Span]]] = {
    "today": ("Today", lambda today: (today, None)),
    "yesterday": ("Yesterday", lambda today: (today - _DAY, today - _DAY)),
    "week": ("Past 7 days", lambda today: (today - 7 * _DAY, None)),
    "month": ("This month", lambda today: (today.replace(day=1), None)),
    "year": ("This year", lambda today: (today.replace(month=1, day=1), None)),
}


class Days(ListFilter):
    """A filter by a named period, or from one day to another."""

    title = "days"
    template = "admin/date_filter.html"
    field: ClassVar[str]

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[Model],
        model_admin: ModelAdmin[Any],
    ) -> None:
        super().__init__(request, params, model, model_admin)
        given = {name: params.pop(name, [""])[-1] for name in _NAMES}
        self.values = {name: value for name, value in given.items() if value}
        self.used_parameters = {**self.values}
        self.order = order_of(model_admin, request.GET.dict())
        self.begins, self.ends = self._span()

    @property
    def is_used(self) -> bool:
        return bool(self.values)

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [*_NAMES]

    def misread(self) -> Iterator[str]:
        """Yield a sentence for each value that is not a day or a period."""
        named = self.values.get(DAYS)
        if named and named not in _PERIODS:
            yield f"“{short(named)}” is nothing to choose for “{self.title}”."
        for name in (FROM, TO):
            text = self.values.get(name)
            if text and _day(text) is None:
                yield f"“{short(text)}” is no day: write one as {localdate():%Y-%m-%d}."
        if self.begins and self.ends and self.begins >= self.ends:
            yield "The days end before they begin."

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        params = changelist.params
        self.others = [(name, params[name]) for name in params if name not in _NAMES]
        yield {
            "selected": not self.is_used,
            "query_string": changelist.get_query_string(remove=[*_NAMES]),
            "display": "All",
        }
        for name, (label, _) in _PERIODS.items():
            yield {
                "selected": self.values == {DAYS: name},
                "query_string": changelist.get_query_string({DAYS: name}, [FROM, TO]),
                "display": label,
            }
        if FROM in self.values or TO in self.values:
            yield {
                "selected": True,
                "query_string": changelist.get_query_string(),
                "display": self._label(),
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (self.begins or self.ends):
            return queryset
        times: dict[str, datetime] = {}
        if self.begins:
            first = _first_key(queryset.model, self.field, self.begins - SLACK)
            queryset = self.order.newer(queryset, first - 1)
            times[f"{self.field}__gte"] = self.begins
        if self.ends:
            end = _first_key(queryset.model, self.field, self.ends + SLACK)
            queryset = self.order.older(queryset, end)
            times[f"{self.field}__lt"] = self.ends
        return queryset.filter(_exactly(times))

    def _span(self) -> tuple[datetime | None, datetime | None]:
        first, last = _named(self.values.get(DAYS, ""))
        first = _day(self.values.get(FROM, "")) or first
        last = _day(self.values.get(TO, "")) or last
        return _midnight(first), _midnight(last + _DAY if last else None)

    def _label(self) -> str:
        begin, end = (self.values.get(name) for name in (FROM, TO))
        words = f"from {short(begin)}" if begin else ""
        return f"{words} to {short(end)}".strip() if end else words


def days(field: str, title: str) -> type[Days]:
    """Return a filter by day for a time that is set when a row is inserted."""
    return type("DaysOf", (Days,), {"field": field, "title": title})


def _named(name: str) -> Span:
    return _PERIODS[name][1](localdate()) if name in _PERIODS else (None, None)


def _day(text: str) -> date | None:
    with suppress(ValueError):
        day = date.fromisoformat(text)
        return day if day.year in _YEARS else None
    return None


def _midnight(day: date | None) -> datetime | None:
    return make_aware(datetime.combine(day, time.min)) if day else None


def _exactly(times: dict[str, datetime]) -> Case:
    """
    Return the exact condition on the times, in a form that the planner cannot estimate.

    The conditions on keys already select the days, plus `SLACK` at each end. PostgreSQL
    would assume that a plain condition on times excludes many more rows. It would
    expect few rows, and sort them instead of reading the index in order.
    """
    matches = When(**times, then=Value(True))
    return Case(matches, default=Value(False), output_field=BooleanField())


# Binary search between the first and the last key, until one key is left.
_BINARY_SEARCH = """
    WITH RECURSIVE halved (low, high) AS (
        SELECT coalesce(min({key}), 0), coalesce(max({key}) + 1, 0) FROM {table}
        UNION ALL
        SELECT CASE WHEN met.at < %(at)s THEN met.key + 1 ELSE low END,
               CASE WHEN met.at < %(at)s THEN high ELSE (low + high) / 2 END
        FROM halved, LATERAL (
            SELECT {key} AS key, {field} AS at FROM {table}
            WHERE {key} >= (low + high) / 2 ORDER BY {key} LIMIT 1
        ) AS met
        WHERE low < high
    )
    SELECT low FROM halved WHERE low >= high
"""


def _first_key(model: type[Model], field: str, at: datetime) -> int:
    """Return the first key at or after a time, as if keys had the order of times."""
    quote, names = connection.ops.quote_name, model._meta
    statement = _BINARY_SEARCH.format(
        table=quote(names.db_table),
        key=quote(str(names.pk.column)),
        field=quote(str(names.get_field(field).column)),  # type: ignore[union-attr]
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, {"at": at})
        return int(cursor.fetchone()[0])
