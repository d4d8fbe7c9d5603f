"""The explorer's clock: each source of time in the portal follows it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.db.models.functions import Now
from pytest_django import Settings

from bench.explorer.virtual_clock import FUNCTIONS, SCHEMA, START
from promoportal.db import bulk, state_machine
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.leases import Lease, leased
from promoportal.optimove import rate_limiter
from promoportal.optimove.rate_limiter import Allowance, Priority
from promoportal.runtime import crash_points, monotonic_clock
from promoportal.runtime.time_budget import TimeBudget
from rewards.models import Assignment, AssignmentState, Attempt, Promotion
from tests.explorer.conftest import Open
from tests.project import modules

pytestmark = pytest.mark.timeout(300)
LATER = timedelta(hours=30)


def times() -> dict[str, datetime]:
    """Return the time of each source that the portal uses, or could use."""
    found = {}
    with connection.cursor() as cursor:
        for name in FUNCTIONS:
            cursor.execute(f"SELECT {name}()")
            found[name] = cursor.fetchone()[0]
    row = Assignment.objects.annotate(now=Now()).order_by("pk")[0]
    state_machine.move_all(
        Assignment.objects.filter(pk=row.pk), AssignmentState.HELD, why="moved"
    )
    Assignment.objects.filter(pk=row.pk).update(**leased(Lease(60)))
    attempt = {"assignment": row.pk, "number": Attempt.objects.count() + 1}
    [[attempt_pk, *_]] = bulk.bulk_insert(Attempt, [attempt])
    rate_limiter.acquire(Priority.PERSON)
    moved = Assignment.objects.get(pk=row.pk)
    assert moved.lease_until is not None
    return found | {
        "Now()": row.now,
        "database_now": database_now(),
        "a column default": Promotion.objects.create(reference="new").first_seen_at,
        "state_since": moved.state_since,
        "a transition": moved.transitions.latest("pk").at,
        "a lease": moved.lease_until - timedelta(seconds=60),
        "bulk_insert": Attempt.objects.get(pk=attempt_pk).begun_at,
        "the rate limiter": Allowance.objects.get().granted_at[-1],
        "a later time": Promotion.objects.annotate(at=seconds_from_now(5))[0].at
        - timedelta(seconds=5),
    }


def test_all_times_of_the_database_follow_the_clock(opened: Open) -> None:
    explorer = opened("neither")
    explorer.begin(explorer.first)
    explorer.clock.pass_time(LATER)

    found = times()

    assert found == dict.fromkeys(found, START + LATER)


def test_the_clock_moves_inside_a_transaction(opened: Open) -> None:
    explorer = opened("neither")
    with transaction.atomic():
        before = database_now()
        explorer.clock.step(LATER)
        assert database_now() - before == LATER


def test_all_defaults_of_columns_use_the_clock(opened: Open) -> None:
    opened("neither")
    with transaction.atomic(), connection.cursor() as cursor:
        # The names of functions outside this path are shown with their schema.
        cursor.execute("SET LOCAL search_path = pg_catalog")
        cursor.execute("SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef")
        defaults = [text for (text,) in cursor.fetchall()]

    timed = [text for text in defaults if re.search(r"timestamp\(|now\(", text)]
    assert len(timed) > 20
    assert {text for text in timed if SCHEMA not in text} == set()


def test_no_code_uses_a_time_that_no_function_can_replace() -> None:
    words = r"\b(CURRENT_TIMESTAMP|CURRENT_TIME|CURRENT_DATE|LOCALTIME\w*|timeofday)\b"
    found = {
        name
        for name, module in modules.product().items()
        if re.search(words, module.source)
    }
    assert found == set()


def test_leases_and_budgets_follow_the_clock_of_the_process(opened: Open) -> None:
    clock = opened("neither").clock
    lease, budget = Lease(60), TimeBudget(8)

    clock.step(LATER)  # of the database only
    assert lease.left() == 60
    assert not budget.is_spent()

    clock.pass_time(timedelta(seconds=10))
    assert lease.left() == 50
    assert budget.is_spent()


def test_only_a_developer_can_drive_clocks_and_observe_points(
    settings: Settings,
) -> None:
    settings.DEBUG = False

    with pytest.raises(ImproperlyConfigured, match="DEBUG"):
        monotonic_clock.drive(lambda: 0.0)
    with pytest.raises(ImproperlyConfigured, match="DEBUG"):
        crash_points.observe(print)
