"""
The query plans of a page, with the rows that each step touches.

Each query is first run with EXPLAIN ANALYZE, and then run itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from django.db import connection
from django.http import HttpRequest, HttpResponse

from promoportal.admin.keyset_pagination import MAX_ROWS_COUNTED
from tests.staff_client import StaffClient

# Rows of one table that a query without a count may touch.
MAX_TOUCHED = 1_500
# The header with which a client turns DrawnOnce on.
_DRAWN_ONCE = {"Rows-Drawn": "once"}


class Step(NamedTuple):
    """One step of a plan: its kind, its table, and the number of touched rows."""

    kind: str
    table: str
    touched: int


def _steps(plan: dict[str, Any]) -> Iterator[Step]:
    below: list[dict[str, Any]] = plan.get("Plans", [])
    rows = below[0]["Actual Rows"] if "Sort" in plan["Node Type"] else _read(plan)
    loops = max(1, plan["Actual Loops"])
    yield Step(plan["Node Type"], plan.get("Relation Name", ""), rows * loops)
    for each in below:
        yield from _steps(each)


def _read(plan: dict[str, Any]) -> int:
    """Return the number of rows that the step returned or filtered out."""
    thrown = (value for name, value in plan.items() if name.startswith("Rows Removed"))
    return int(plan["Actual Rows"] + sum(thrown))


@cache
def large() -> frozenset[str]:
    """Return the tables with too many rows for a sequential scan."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > %s",
            [MAX_TOUCHED],
        )
        return frozenset(name for (name,) in cursor.fetchall())


def wrong(sql: str, plan: dict[str, Any], at_most: int) -> Iterator[str]:
    """Yield the faults of a query."""
    if "OFFSET" in sql:
        yield "skips rows"
    # A set slightly larger than the count limit may be sorted: that is cheaper.
    counts = f"LIMIT {MAX_ROWS_COUNTED + 1}" in sql
    most = MAX_ROWS_COUNTED * 5 // 4 if counts else at_most
    for step in _steps(plan):
        if step.kind == "Seq Scan" and step.table in large():
            yield f"reads all of {step.table}"
        if step.touched > most and (step.table in large() or "Sort" in step.kind):
            yield f"touches {step.touched} rows: {step.kind} {step.table}"


@dataclass
class Examiner:
    """
    Examines the plan of each query before it runs.

    :param known: queries whose plans were examined before, over the same rows
    """

    at_most: int
    known: set[tuple[str, str]] = field(default_factory=set)
    found: list[str] = field(default_factory=list)

    def __call__(
        self, ask: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if _is_relevant(sql) and (sql, repr(params)) not in self.known:
            self.known.add((sql, repr(params)))
            plan = self._plan(ask, sql, params, many, context)
            self.found += [f"{why}: {sql}" for why in wrong(sql, plan, self.at_most)]
        return ask(sql, params, many, context)

    def _plan(self, ask: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        changes = not sql.lstrip("(").startswith("SELECT")
        if changes:  # and must run only once
            ask("SAVEPOINT before", None, False, context)
        plan = _explained(ask, "ANALYZE, TIMING OFF", sql, params, many, context)
        if changes:
            ask("ROLLBACK TO SAVEPOINT before", None, False, context)
        return plan


def _explained(
    ask: Any, options: str, sql: str, params: Any, many: bool, context: Any
) -> Any:
    ask(f"EXPLAIN (FORMAT JSON, {options}) {sql}", params, many, context)
    (plans,) = context["cursor"].fetchone()
    return (json.loads(plans) if isinstance(plans, str) else plans)[0]["Plan"]


def _asks(sql: str) -> bool:
    """Return whether a statement reads or changes rows."""
    first = sql.lstrip("(").split(None, 1)[0]
    return first in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}


def _is_relevant(sql: str) -> bool:
    """Return whether a statement uses large tables."""
    return _asks(sql) and any(table in sql for table in large())


def asked(ask: Callable[[], Any], at_most: int = MAX_TOUCHED) -> list[str]:
    """Return the faults of all queries during a call."""
    return _examined(ask, Examiner(at_most))


def _examined(ask: Callable[[], Any], examiner: Examiner) -> list[str]:
    large()  # cached before the queries are examined
    with connection.execute_wrapper(examiner):
        ask()
    return examiner.found


def indexes_used(ask: Callable[[], Any]) -> set[str]:
    """Return the indexes that the queries of a call read."""
    indexes = _Indexes()
    with connection.execute_wrapper(indexes):
        ask()
    return indexes.used


@dataclass
class _Indexes:
    """Collects the indexes in the plans of queries."""

    used: set[str] = field(default_factory=set)

    def __call__(
        self, ask: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if _asks(sql):
            plan = _explained(ask, "COSTS OFF", sql, params, many, context)
            self.used.update(_indexes(plan))
        return ask(sql, params, many, context)


def _indexes(plan: dict[str, Any]) -> Iterator[str]:
    if "Index Name" in plan:
        yield plan["Index Name"]
    for below in plan.get("Plans", []):
        yield from _indexes(below)


def faults(
    staff: StaffClient,
    address: str,
    ask: Callable[[str], Any] | None = None,
    at_most: int = MAX_TOUCHED,
) -> list[str]:
    """Return the faults of all queries of a page."""
    answers: list[Any] = []
    found = asked(lambda: answers.append((ask or staff.get)(address)), at_most)
    assert answers[0].status_code == 200, address
    return [f"{address} {why}" for why in found]


# --- Many lists of the same rows ------------------------------------------------------


class DrawnOnce:
    """
    A middleware that renders each row only in the first list that contains it.

    A view has queried all rows of its list, and the data of their columns, before they
    are rendered. So no query is left out.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._drawn: set[tuple[str, Any]] = set()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        changes = response.context_data.get("cl")
        if changes and request.headers.items() >= _DRAWN_ONCE.items():
            new = [row for row in changes.result_list if self._is_new(request, row)]
            # An empty list is rendered differently, perhaps with fewer queries.
            changes.result_list = new or changes.result_list[:1]
        return response

    def _is_new(self, request: HttpRequest, row: Any) -> bool:
        drawn = (request.path, row.pk)
        is_new = drawn not in self._drawn
        self._drawn.add(drawn)
        return is_new


@dataclass(frozen=True)
class Lists:
    """Lists of rows that do not change; each list and each query is examined once."""

    staff: StaffClient
    _found: dict[str, list[str]] = field(default_factory=dict)
    _filters: dict[str, Any] = field(default_factory=dict)
    _known: set[tuple[str, str]] = field(default_factory=set)

    def faults(self, address: str) -> list[str]:
        """Return the faults of the queries of a list that no list ran before."""
        if address not in self._found:
            examiner = Examiner(MAX_TOUCHED, self._known)
            found = _examined(lambda: self._get(address), examiner)
            self._found[address] = [f"{address} {why}" for why in found]
        return self._found[address]

    def changes(self, address: str) -> Any:
        """Return Django's change list, with its filters."""
        self.faults(address)
        return self._filters[address]

    def _get(self, address: str) -> None:
        answer: Any = self.staff.client.get(address, headers=_DRAWN_ONCE)
        assert answer.status_code == 200, address
        self._filters[address] = answer.context["cl"]
