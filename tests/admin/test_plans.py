"""
How the database finds what pages show: each by an index, and no more than is shown.

A page is asked for as staff ask for it, and what it asked of the database is asked
again with an account of the rows that were touched. The tables hold more than lists
count to, and what is rare is among the oldest rows, so that whatever is looked for row
by row touches more than it may.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import localdate

from bench import filling
from executions.models import Delivery, Execution, Listener, Trigger
from promoportal.admin import sheets
from promoportal.admin.narrowing import NarrowedTo
from promoportal.admin.paging import MOST_COUNTED
from promoportal.admin.showing import list_of, page_of
from promoportal.ledgers import MOST_COMPARED
from redemptions.models import Redemption, Report
from rewards import retrying
from rewards.models import Assignment, Retried
from tests.admin.desk import Desk

# What a test changes is not there for the next.
pytestmark = pytest.mark.django_db
ROWS = 24_000
# Rows of one table that a question may touch where it counts nothing.
MOST_TOUCHED = 1_500
LARGEST = filling.LARGEST
_QUESTION = re.compile(r"^\(SELECT|WITH RECURSIVE|SELECT")


@pytest.fixture(scope="module")
def desk(django_db_setup: None, django_db_blocker: Any) -> Iterator[Desk]:
    """A superuser's, over large tables."""
    with django_db_blocker.unblock(), transaction.atomic():
        user = User.objects.create_superuser("root")
        filling.fill(ROWS, user)
        with connection.cursor() as cursor:
            cursor.execute(
                "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
            )
            # These tables are small enough to be read as a whole, those are not.
            cursor.execute("SET LOCAL enable_seqscan = off")
        yield Desk(user)
        transaction.set_rollback(True)


# --- What a question costs ------------------------------------------------------------


class Step(NamedTuple):
    """One step of a plan: what it does, to which table, and how many rows it touched."""

    kind: str
    table: str
    touched: int


def steps(sql: str) -> Iterator[Step]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {sql}")
        (found,) = cursor.fetchone()
    plans = json.loads(found) if isinstance(found, str) else found
    yield from _steps(plans[0]["Plan"])


def _steps(plan: dict[str, Any]) -> Iterator[Step]:
    below: list[dict[str, Any]] = plan.get("Plans", [])
    rows = below[0]["Actual Rows"] if "Sort" in plan["Node Type"] else _read(plan)
    loops = max(1, plan["Actual Loops"])
    yield Step(plan["Node Type"], plan.get("Relation Name", ""), rows * loops)
    for each in below:
        yield from _steps(each)


def _read(plan: dict[str, Any]) -> int:
    """The rows it gave, and those that it found and threw away."""
    thrown = (value for name, value in plan.items() if name.startswith("Rows Removed"))
    return int(plan["Actual Rows"] + sum(thrown))


@cache
def large() -> frozenset[str]:
    """The tables with so many rows that they are not to be read as a whole."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > %s",
            [MOST_TOUCHED],
        )
        return frozenset(name for (name,) in cursor.fetchall())


def wrong(sql: str, at_most: int = MOST_TOUCHED) -> Iterator[str]:
    """What a question does that it should not."""
    if not any(f'"{table}"' in sql for table in large()):
        return
    if "OFFSET" in sql:
        yield "skips rows"
    # Of few more than are counted to, all may be sorted: it is cheaper.
    counts = f"LIMIT {MOST_COUNTED + 1}" in sql
    most = MOST_COUNTED * 5 // 4 if counts else at_most
    for step in steps(sql):
        if step.kind == "Seq Scan" and step.table in large():
            yield f"reads all of {step.table}"
        if step.touched > most and (step.table in large() or "Sort" in step.kind):
            yield f"touches {step.touched} rows: {step.kind} {step.table}"


def asked(ask: Callable[[], Any]) -> list[str]:
    """What was asked of the database meanwhile, without what it was told."""
    with CaptureQueriesContext(connection) as captured:
        ask()
    # An estimate is asked for by having the question explained, and not answered.
    said = [query["sql"] for query in captured if "EXPLAIN" not in query["sql"]]
    # What is chosen to be kept is asked for in the same statement.
    found = [(sql, _QUESTION.search(sql)) for sql in said]
    return [sql[question.start() :] for sql, question in found if question]


def faults(
    desk: Desk,
    address: str,
    ask: Callable[[str], Any] | None = None,
    at_most: int = MOST_TOUCHED,
) -> list[str]:
    """What is wrong with all that one page asks."""
    answers: list[Any] = []
    questions = asked(lambda: answers.append((ask or desk.get)(address)))
    assert answers[0].status_code == 200, address
    return [
        f"{address} {why}: {sql}" for sql in questions for why in wrong(sql, at_most)
    ]


# --- What is noticed ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "narrowed"),
    [
        ("assignment_of_execution", {"execution": LARGEST}),
        ("assignment_of_execution", {"campaign": 1}),
        ("assignment_of_execution_tier", {"execution": LARGEST, "tier": "Diamond"}),
        ("assignment_of_promotion", {"promotion": 1}),
        ("assignment_in_state", {"state__exact": "ACTIVE"}),
        ("assignment_by_customer", {"q": "C0000007"}),
    ],
)
def test_a_list_without_its_index_is_noticed(
    desk: Desk, index: str, narrowed: dict[str, Any]
) -> None:
    here = list_of(Assignment, **narrowed)
    assert not faults(desk, here)

    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {index}")

    assert faults(desk, here)


@pytest.mark.parametrize(
    "rows",
    [
        Assignment.objects.filter(receipt="R7").order_by("-pk")[:101],
        Assignment.objects.filter(problem="Rare.").order_by("-pk")[:101],
        Assignment.objects.order_by("-value", "-pk")[:101],
        Assignment.objects.order_by("-pk")[20_000:20_100],
        Redemption.objects.filter(malformed=7).order_by("-pk")[:101],
    ],
)
def test_what_no_index_holds_is_noticed(desk: Desk, rows: QuerySet[Model]) -> None:
    assert [why for sql in asked(lambda: list(rows.all())) for why in wrong(sql)]


def test_counting_all_is_noticed(desk: Desk) -> None:
    assert [why for sql in asked(Assignment.objects.count) for why in wrong(sql)]


# --- Lists ----------------------------------------------------------------------------

# Of the largest execution's, and some older ones.
SOME_DAYS = {
    "from": f"{localdate() - timedelta(days=33):%Y-%m-%d}",
    "to": f"{localdate() - timedelta(days=29):%Y-%m-%d}",
}
# As pages link to them, and as staff then go on.
LISTS: list[tuple[type[Model], dict[str, Any]]] = [
    (Assignment, {}),
    (Assignment, {"execution": LARGEST}),
    (Assignment, {"execution": LARGEST, "tier": "Gold"}),
    (Assignment, {"execution": LARGEST, "tier": "Diamond"}),
    (Assignment, {"execution": LARGEST, **SOME_DAYS}),
    (Assignment, {"campaign": 1}),
    (Assignment, {"campaign": 1, "tier": "Diamond"}),
    (Assignment, {"campaign": 1, **SOME_DAYS}),
    (Assignment, {"promotion": 1}),
    (Assignment, SOME_DAYS),
    (Assignment, {"days": "week"}),
    (Assignment, {"state__exact": "HELD"}),
    (Assignment, {"state__exact": "HELD", **SOME_DAYS}),
    (Assignment, {"needs": "held", **SOME_DAYS}),
    (Assignment, {"state__exact": "VOID"}),
    (Assignment, {"q": "C0000007"}),
    (Redemption, {}),
    (Redemption, {"execution": LARGEST}),
    (Redemption, {"campaign": 1}),
    (Redemption, {"report": 7}),
    (Redemption, SOME_DAYS),
    (Redemption, {"state__exact": "HELD"}),
    (Redemption, {"reported": "no"}),
    (Redemption, {"q": "C0000007"}),
    (Delivery, {}),
    (Delivery, SOME_DAYS),
    (Delivery, {"execution": filling.TRIGGERED}),
    (Delivery, {"listener": 1}),
    (Delivery, {"q": 1005}),
    (Trigger, {}),
    (Trigger, {"execution": filling.TRIGGERED}),
    (Trigger, {"q": "T77"}),
    (Report, {}),
    (Report, SOME_DAYS),
    (Retried, {"retrial": 1}),
    (LogEntry, {}),
    (LogEntry, {"q": 77}),
    (LogEntry, {"kind": 11}),
    (LogEntry, {"kind": 15}),
    (LogEntry, SOME_DAYS),
    (Execution, {}),
]
every_list = pytest.mark.parametrize(
    ("model", "narrowed"),
    [
        pytest.param(model, narrowed, id=f"{model.__name__}-{narrowed or 'all'}")
        for model, narrowed in LISTS
    ],
)


@every_list
def test_a_list_and_each_of_its_filters(
    desk: Desk, model: type[Model], narrowed: dict[str, Any]
) -> None:
    here = list_of(model, **narrowed)
    filters = desk.get(here).context["cl"]

    found = [why for each in _chosen(filters, here) for why in faults(desk, each)]

    assert not found, "\n".join(found)


@every_list
def test_the_way_to_older_rows_and_back(
    desk: Desk, model: type[Model], narrowed: dict[str, Any]
) -> None:
    here = list_of(model, **narrowed)
    older = {**narrowed, "older": 500}
    newer = {**narrowed, "newer": 3}

    asked = [here, list_of(model, **older), list_of(model, **newer)]
    found = [why for each in asked for why in faults(desk, each)]

    assert not found, "\n".join(found)


# No index holds both. What is read is all of an execution, at most.
UNSERVED = ({"promotion", "execution"}, {"promotion", "campaign"})


def _chosen(changes: Any, here: str) -> Iterator[str]:
    """Where each filter of a list leads, but for the pairs that no index serves."""
    yield here
    for spec in changes.filter_specs:
        choices = [*spec.choices(changes)]
        # Of those that are all alike, the newest and the oldest.
        is_one_of_many = isinstance(spec, NarrowedTo) and len(choices) > 3
        for choice in [*choices[:2], choices[-1]] if is_one_of_many else choices:
            names = {*QueryDict(choice["query_string"][1:])}
            if not any(pair <= names for pair in UNSERVED):
                yield here.partition("?")[0] + choice["query_string"]


def test_no_list_is_sorted_by_what_somebody_writes_into_an_address(desk: Desk) -> None:
    for model in {model for model, _ in LISTS}:
        here = f"{list_of(model)}?o=1.-2"
        keys = [row.pk for row in desk.get(here).context["cl"].result_list]

        assert keys == sorted(keys, reverse=True)
        assert not faults(desk, here)


# --- Pages ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "/admin/",
        "/admin/customers/?q=C00",
        "/admin/customers/?q=nobody",
        "/admin/customers/C0000007/",
        "/admin/customers/C0000007/?older=9000",
        page_of(Assignment(pk=ROWS // 2 + 18)),
        page_of(Assignment(pk=8)),
        page_of(Redemption(pk=ROWS // 2 + 18)),
        page_of(Delivery(pk=77)),
        page_of(Trigger(pk=77)),
        page_of(Report(pk=7)),
        "/admin/executions/campaign/1/change/",
        "/admin/executions/listener/2/change/",
        "/admin/rewards/promotion/1/change/",
        "/admin/rewards/retrial/1/change/",
        "/admin/rewards/collection/1/change/",
        "/admin/rewards/assignment/8/history/",
    ],
)
def test_a_page(desk: Desk, address: str) -> None:
    found = faults(desk, address)

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("execution", "at_most"),
    [
        (1, MOST_TOUCHED),
        (filling.EXECUTIONS, MOST_TOUCHED),
        # It has few enough to be compared one by one.
        (LARGEST, MOST_COMPARED),
    ],
)
def test_the_page_of_an_execution(desk: Desk, execution: int, at_most: int) -> None:
    found = faults(desk, page_of(Execution(pk=execution)), at_most=at_most)

    assert not found, "\n".join(found)


# --- What is sent ---------------------------------------------------------------------


@pytest.mark.parametrize("model", [Assignment, Redemption])
@pytest.mark.parametrize(
    "narrowed", [{}, {"execution": LARGEST}, {"state__exact": "HELD"}]
)
def test_a_list_taken_along_is_read_in_parts(
    desk: Desk, model: type[Model], narrowed: dict[str, Any]
) -> None:
    def take(address: str) -> Any:
        answer: Any = desk.client.post(address, {"export": "csv"})
        for _ in answer.streaming_content:
            pass
        return answer

    found = faults(desk, list_of(model, **narrowed), take, 3 * sheets.AT_A_TIME)

    # What is joined to so large a part of so small tables may be read as a whole.
    own = [
        why for why in found if f"Scan {model._meta.db_table}" in why or "skip" in why
    ]
    assert not own, "\n".join(own)


def test_what_reading_again_would_do_is_found_without_counting(desk: Desk) -> None:
    about = Execution.objects.get(pk=LARGEST).reference
    said = f'{{"CampaignID": {about}}}'.encode()
    cancelling = Listener.objects.create(event_type=4, secret_digest="c")
    Delivery.objects.filter(pk=7).update(body=said, listener=cancelling)

    def ask(address: str) -> Any:
        said = {"action": "read_again", "why": "To be sure.", "_selected_action": [7]}
        return desk.client.post(address, said)

    found = faults(desk, list_of(Delivery), ask)

    assert not found, "\n".join(found)


HELD = list_of(Assignment, execution=1, state__exact="HELD")


def test_trying_all_again_looks_at_those_that_match(desk: Desk) -> None:
    def ask(address: str) -> Any:
        return desk.client.post(address, {"retry_all": "ask"})

    assert not faults(desk, HELD, ask)


def test_trying_all_again_chooses_and_does_those_that_match(desk: Desk) -> None:
    said = {"retry_all": "yes", "why": "Mended.", "form": str(uuid4())}

    begun = asked(lambda: desk.client.post(HELD, said))
    done = asked(retrying.follow)

    assert Retried.objects.filter(retrial__total__gt=1, is_over=True).count() > 5
    assert not [why for sql in [*begun, *done] for why in wrong(sql)]
