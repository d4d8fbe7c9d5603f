"""
The query plans of all pages: each query uses an index and touches few rows.

A page is requested as staff request it, and each of its queries also runs with EXPLAIN
ANALYZE, which counts the touched rows. The tables have more rows than lists count, and
rare values are among the oldest rows, so that a sequential search touches too many.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Model, QuerySet
from django.http import QueryDict
from django.test import override_settings
from django.utils.timezone import localdate
from django_q.models import Failure

from bench import filling
from executions.models import Campaign, Delivery, Execution, Listener, Trigger
from promoportal.admin import csv_export
from promoportal.admin.keyset_order import Order
from promoportal.admin.links import list_of, page_of
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.related_filters import RelatedRowFilter
from promoportal.dashboard.execution_funnel import MAX_ROWS_COMPARED
from promoportal.optimove.rate_limiter import Allowance
from promoportal.resilience.circuit_breaker import Breaker
from redemptions.models import Redemption, Report
from rewards import bulk_retry
from rewards.admin import bulk_retry_preview
from rewards.models import (
    Activation,
    Assignment,
    Collection,
    Promotion,
    Retrial,
    Retried,
)
from tests.promoportal.admin.index_queries import SERVES, preview_cancellation
from tests.promoportal.admin.query_plans import (
    MAX_TOUCHED,
    DrawnOnce,
    Lists,
    asked,
    faults,
    indexes_used,
)
from tests.staff_client import StaffClient, preview_form

# Changes of a test are rolled back.
pytestmark = pytest.mark.django_db
ROWS = 24_000
LARGEST = filling.LARGEST
# Tables that never have more than a few rows, or the last jobs of django-q2.
BOUNDED = {Breaker, Allowance, Failure}


@pytest.fixture(scope="module")
def staff(django_db_setup: None, django_db_blocker: Any) -> Iterator[StaffClient]:
    """Yield the client of a superuser, with large tables."""
    with django_db_blocker.unblock(), transaction.atomic():
        user = User.objects.create_superuser("root")
        filling.fill(ROWS, user)
        with connection.cursor() as cursor:
            cursor.execute(
                "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
            )
            # These tables are small enough for sequential scans; real tables are not.
            cursor.execute("SET LOCAL enable_seqscan = off")
        yield StaffClient(user)
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def lists(staff: StaffClient) -> Iterator[Lists]:
    """Yield all lists, as the same user sees them."""
    name = f"{DrawnOnce.__module__}.{DrawnOnce.__qualname__}"
    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, name]):
        yield Lists(StaffClient(staff.user))


# --- Detected faults ------------------------------------------------------------------


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
def test_a_list_without_its_index_is_detected(
    staff: StaffClient, index: str, narrowed: dict[str, Any]
) -> None:
    here = list_of(Assignment, **narrowed)
    assert not faults(staff, here)

    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {index}")

    assert faults(staff, here)


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
def test_a_query_without_an_index_is_detected(
    staff: StaffClient, rows: QuerySet[Model]
) -> None:
    assert asked(lambda: list(rows.all()))


def test_a_count_of_all_rows_is_detected(staff: StaffClient) -> None:
    assert asked(Assignment.objects.count)


def test_an_update_of_many_rows_is_detected_and_done_once(staff: StaffClient) -> None:
    rows = Assignment.objects.filter(pk__lte=2 * MAX_TOUCHED)

    assert asked(lambda: rows.update(listed_pass=F("listed_pass") + 1))

    assert set(rows.values_list("listed_pass", flat=True)) == {2}


# --- Lists ----------------------------------------------------------------------------

# Days of the largest execution, and of some older ones.
SOME_DAYS = {
    "from": f"{localdate() - timedelta(days=33):%Y-%m-%d}",
    "to": f"{localdate() - timedelta(days=29):%Y-%m-%d}",
}
# Filters as in the links of pages, and further ones that staff add.
LISTS: list[tuple[type[Model], dict[str, Any]]] = [
    (Assignment, {}),
    (Assignment, {"execution": LARGEST}),
    (Assignment, {"execution": LARGEST, "meaning__exact": "activate"}),
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
    (Activation, {}),
    (Activation, SOME_DAYS),
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
    (Execution, {"q": 1005}),
    (Campaign, {}),
    (Campaign, {"q": "plan-1"}),
    (Listener, {}),
    (Promotion, {}),
    (Campaign, {"q": "spring 2"}),
    (Promotion, {"q": "CODE1"}),
    (Promotion, {"q": "gift"}),
    (Collection, {}),
    (Collection, {"q": 1005}),
    (Retrial, {}),
]
every_list = pytest.mark.parametrize(
    ("model", "narrowed"),
    [
        pytest.param(model, narrowed, id=f"{model.__name__}-{narrowed or 'all'}")
        for model, narrowed in LISTS
    ],
)


def ours() -> dict[type[Model], PortalAdmin]:
    """Return the lists that grow with the work of the portal."""
    return {
        model: each
        for model, each in admin.site._registry.items()
        if isinstance(each, PortalAdmin) and model not in BOUNDED
    }


def test_every_list_and_every_search_is_tested() -> None:
    searched = {model for model, narrowed in LISTS if "q" in narrowed}

    assert {model for model, _ in LISTS} == set(ours())
    assert searched == {m for m, each in ours().items() if each.search.exact}


@pytest.mark.parametrize("name", ["00000000-0000-4000-8000-000000000007", "7"])
def test_a_search_for_any_kind_of_term_uses_indexes(
    staff: StaffClient, name: str
) -> None:
    for model in {model for model, narrowed in LISTS if "q" in narrowed}:
        assert not faults(staff, list_of(model, q=name))


@every_list
def test_a_list_and_each_of_its_filters_use_indexes(
    lists: Lists, model: type[Model], narrowed: dict[str, Any]
) -> None:
    here = list_of(model, **narrowed)

    chosen = _chosen(lists.changes(here), here)
    found = [why for each in chosen for why in lists.faults(each)]

    assert not found, "\n".join(found)


@every_list
def test_older_and_newer_pages_use_indexes(
    lists: Lists, model: type[Model], narrowed: dict[str, Any]
) -> None:
    here = list_of(model, **narrowed)
    older = {**narrowed, "older": 500}
    newer = {**narrowed, "newer": 3}

    asked = [here, list_of(model, **older), list_of(model, **newer)]
    found = [why for each in asked for why in lists.faults(each)]

    assert not found, "\n".join(found)


# No index has both. At most all rows of an execution are read.
UNSERVED = (
    *({"promotion", "execution"}, {"promotion", "campaign"}),
    *({"q", "days"}, {"q", "from"}),
)


def _chosen(changes: Any, here: str) -> Iterator[str]:
    """Yield the address of each filter choice, except pairs without an index."""
    yield here
    for spec in changes.filter_specs:
        choices = [*spec.choices(changes)]
        # Of many similar choices, the newest and the oldest.
        is_one_of_many = isinstance(spec, RelatedRowFilter) and len(choices) > 3
        for choice in [*choices[:2], choices[-1]] if is_one_of_many else choices:
            names = {*QueryDict(choice["query_string"][1:])}
            if not any(pair <= names for pair in UNSERVED):
                yield here.partition("?")[0] + choice["query_string"]


def test_an_ordering_in_the_address_is_ignored(
    staff: StaffClient,
) -> None:
    for model in {model for model, _ in LISTS}:
        here = f"{list_of(model)}?o=1.-2"
        keys = [row.pk for row in staff.get(here).context["cl"].result_list]

        assert keys == sorted(keys, reverse=True)
        assert not faults(staff, here)


# --- Indexes --------------------------------------------------------------------------


def _declared() -> set[str]:
    ours = {"executions", "rewards", "redemptions", "promoportal"}
    models = [model for model in apps.get_models() if model._meta.app_label in ours]
    return {index.name for model in models for index in model._meta.indexes}


def test_every_index_names_its_query() -> None:
    assert SERVES.keys() == _declared()


@pytest.mark.parametrize("index", SERVES)
def test_an_index_serves_its_query(staff: StaffClient, index: str) -> None:
    query = SERVES[index]
    ask = partial(staff.get, query) if isinstance(query, str) else partial(query, staff)

    assert index in indexes_used(ask)


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
def test_a_page_uses_indexes(staff: StaffClient, address: str) -> None:
    found = faults(staff, address)

    assert not found, "\n".join(found)


def test_the_oldest_and_the_newest_page_of_each_kind_use_indexes(
    staff: StaffClient,
) -> None:
    for model in ours():
        for order in ("pk", "-pk"):
            row = model._base_manager.order_by(order).first()
            assert row is not None, model
            at_most = MAX_ROWS_COMPARED if model is Execution else MAX_TOUCHED
            assert not faults(staff, page_of(row), at_most=at_most)


@pytest.mark.parametrize(
    ("execution", "at_most"),
    [
        (1, MAX_TOUCHED),
        (filling.EXECUTIONS, MAX_TOUCHED),
        # It has few enough rows to be compared one by one.
        (LARGEST, MAX_ROWS_COMPARED),
    ],
)
def test_the_page_of_an_execution_uses_indexes(
    staff: StaffClient, execution: int, at_most: int
) -> None:
    found = faults(staff, page_of(Execution(pk=execution)), at_most=at_most)

    assert not found, "\n".join(found)


# --- Exports and actions --------------------------------------------------------------


@pytest.mark.parametrize("model", [Assignment, Redemption])
@pytest.mark.parametrize(
    "narrowed", [{}, {"execution": LARGEST}, {"state__exact": "HELD"}]
)
def test_an_export_is_read_in_parts(
    staff: StaffClient, model: type[Model], narrowed: dict[str, Any]
) -> None:
    def take(address: str) -> Any:
        answer: Any = staff.client.post(address, {"export": "csv"})
        for _ in answer.streaming_content:
            pass
        return answer

    found = faults(staff, list_of(model, **narrowed), take, 3 * csv_export.AT_A_TIME)

    # A join with a large part of a small table may use a sequential scan.
    own = [
        why for why in found if f"Scan {model._meta.db_table}" in why or "skip" in why
    ]
    assert not own, "\n".join(own)


def test_the_preview_of_a_replay_does_not_count_rows(staff: StaffClient) -> None:
    answers: list[Any] = []

    found = asked(lambda: answers.append(preview_cancellation(staff, LARGEST)))

    assert answers[0].status_code == 200
    assert not found, "\n".join(found)


HELD = list_of(Assignment, execution=1, state__exact="HELD")


def test_the_preview_of_a_bulk_retry_reads_only_matching_rows(
    staff: StaffClient,
) -> None:
    def ask(address: str) -> Any:
        return staff.client.post(address, {"retry_all": "ask"})

    assert not faults(staff, HELD, ask)
    # Many rows are counted by state counts; possibly activated rows are examined.
    many = list_of(Assignment, state__exact="HELD")
    assert not faults(staff, many, ask, bulk_retry_preview.MAX_ROWS_EXAMINED)


def test_the_preview_of_a_bulk_retry_examines_a_limited_number_of_rows(
    staff: StaffClient,
) -> None:
    rows = Order(is_narrowed=True).newest(Assignment.objects.filter(promotion=1))

    assert not asked(
        lambda: bulk_retry_preview.preview(rows, {"promotion": "1"}, most=1_200)
    )


def test_a_bulk_retry_reads_only_matching_rows(staff: StaffClient) -> None:
    said = preview_form(staff, HELD) | {"why": "Mended."}

    begun = asked(lambda: staff.client.post(HELD, said))
    done = asked(bulk_retry.follow)

    assert Retried.objects.filter(retrial__total__gt=1).count() > 5
    assert not [*begun, *done]
