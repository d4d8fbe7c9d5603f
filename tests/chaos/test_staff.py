"""Tests of the staff of the fault test, on the real pages of the portal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.db.models.functions import Now
from pytest_django.live_server_helper import LiveServer

from bench.chaos import staff as ways
from bench.chaos.staff import Staff, Way
from bench.chaos.target import PASSWORD, STAFF
from executions.models import DeliveryState, ExecutionStop
from promoportal.admin.roles import Role, create_staff
from promoportal.db.database_clock import seconds_from_now
from redemptions.models import RedemptionReason, RedemptionState
from rewards.models import Assignment, AssignmentReason, AssignmentState, Retrial
from tests.factories import (
    AssignmentFactory,
    AttemptFactory,
    DeliveryFactory,
    ExecutionFactory,
    RedemptionFactory,
)

NEVER = float("inf")


@dataclass
class Site:
    """The test's own portal, in place of the one that the fault test starts."""

    portal_url: str
    journal: Path

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def credit(self, row: Assignment) -> None:
        assert row.promotion
        fact = {
            "at": 1.0,
            "occurrence": row.execution.reference,
            "promotion": row.promotion.reference,
            "customer": row.customer,
            "value": "10",
            "measure": "EUR",
        }
        with self.journal.open("a") as file:
            file.write(json.dumps(["credited", fact]) + "\n")


@pytest.fixture
def site(live_server: LiveServer, tmp_path: Path) -> Site:
    for name in STAFF:
        create_staff(name, Role.OPERATIONS, PASSWORD)
    return Site(live_server.url + "/", tmp_path / "journal.jsonl")


@pytest.fixture
def staff(site: Site) -> Iterator[Staff]:
    staff = Staff(site, seed=1)
    yield staff
    staff.log_out()


def _refused() -> Assignment:
    return AssignmentFactory(
        state=AssignmentState.HELD, reason=AssignmentReason.REFUSED
    )


def _in_doubt(seconds: float = 60) -> Assignment:
    row = AssignmentFactory(
        state=AssignmentState.HELD, reason=AssignmentReason.UNANSWERED, doubtful=True
    )
    AttemptFactory(assignment=row, begun_at=seconds_from_now(-seconds), outcome="")
    return row


CASES: list[tuple[Way, Callable[[], Model], dict[str, Any]]] = [
    (ways.review, _refused, {"state": AssignmentState.OWED}),
    (ways.retry_list, _refused, {"state": AssignmentState.OWED}),
    (ways.decide, _in_doubt, {"state": AssignmentState.OWED, "doubtful": False}),
    (ways.decide_list, _in_doubt, {"state": AssignmentState.OWED, "doubtful": False}),
    (ways.pause, ExecutionFactory, {"stop": ExecutionStop.PAUSED}),
    (
        ways.resume,
        lambda: ExecutionFactory(stop=ExecutionStop.PAUSED),
        {"stop": ExecutionStop.NONE},
    ),
    (ways.read_again, DeliveryFactory, {"state": DeliveryState.UNREAD}),
    (
        ways.report_list,
        lambda: RedemptionFactory(
            state=RedemptionState.HELD, reason=RedemptionReason.REFUSED
        ),
        {"state": RedemptionState.WAITING},
    ),
]


@pytest.mark.parametrize(("way", "make", "then"), CASES, ids=lambda it: str(it)[:20])
def test_the_pages_have_the_forms_that_staff_use(
    staff: Staff, way: Way, make: Callable[[], Model], then: dict[str, Any]
) -> None:
    row = make()

    staff.open_page(way)
    staff.press(NEVER)

    row.refresh_from_db()
    assert {name: getattr(row, name) for name in then} == then
    [said] = staff.pressed
    assert said.endswith(": done")


def test_staff_request_a_bulk_retry(staff: Staff) -> None:
    _refused()

    staff.open_page(ways.retry_all)
    staff.press(NEVER)

    assert Retrial.objects.get().total == 1


def test_staff_cancel_only_what_the_test_allows(staff: Staff) -> None:
    one, other = ExecutionFactory(), ExecutionFactory()
    staff.may_cancel.add(one.reference)

    staff.open_page(ways.cancel)
    staff.press(NEVER)

    one.refresh_from_db()
    other.refresh_from_db()
    assert (one.stop, other.stop) == (ExecutionStop.CANCELLED, ExecutionStop.NONE)


def test_staff_say_that_a_reward_was_activated_if_the_platform_has_credited_it(
    site: Site, staff: Staff
) -> None:
    row = _in_doubt()
    site.credit(row)

    staff.open_page(ways.decide)
    staff.press(NEVER)

    row.refresh_from_db()
    assert row.state == AssignmentState.ACTIVE


def test_staff_do_not_decide_shortly_after_a_request(staff: Staff) -> None:
    _in_doubt(seconds=5)

    staff.open_page(ways.decide)
    staff.open_page(ways.decide_list)
    staff.press(NEVER)

    assert not staff.pressed


def test_an_outdated_page_changes_nothing(staff: Staff) -> None:
    row = _in_doubt()
    staff.open_page(ways.decide)
    Assignment.objects.filter(pk=row.pk).update(state_since=Now())

    staff.press(NEVER)

    row.refresh_from_db()
    assert row.state == AssignmentState.HELD
    assert list(staff.pressed) == ["staff: not_given: not done"]


def test_an_execution_that_is_over_a_limit_is_not_resumed(staff: Staff) -> None:
    ExecutionFactory(stop=ExecutionStop.HELD)

    staff.open_page(ways.resume)
    staff.press(NEVER)

    assert not staff.pressed
