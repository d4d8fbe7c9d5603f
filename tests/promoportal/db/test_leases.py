"""Leases and waits: the database's clock in rows, the monotonic clock in a process."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.db.leases import RELEASED, Lease, due, leased, unleased
from promoportal.resilience.backoff import backoff_seconds
from promoportal.runtime.time_budget import TimeBudget
from rewards.models import Collection
from tests.factories import CollectionFactory

BACKOFF = (1, 5, 60)


@pytest.mark.parametrize(
    ("failures", "retry_after", "seconds"),
    [
        pytest.param(0, None, 1, id="none yet"),
        pytest.param(1, None, 1, id="the first"),
        pytest.param(2, None, 5, id="the second"),
        pytest.param(3, None, 60, id="the last of the table"),
        pytest.param(4, None, 60, id="past the table"),
        pytest.param(10_000, None, 60, id="far past it"),
        pytest.param(1, 0, 1, id="told to come at once"),
    ],
)
def test_the_wait_grows_with_the_failures(
    failures: int, retry_after: float | None, seconds: float
) -> None:
    found = [backoff_seconds(BACKOFF, failures, retry_after) for _ in range(200)]

    assert 0.8 * seconds <= min(found) < max(found) <= 1.2 * seconds


@pytest.mark.parametrize("failures", [1, 3])
def test_a_wait_is_never_shorter_than_retry_after(failures: int) -> None:
    assert all(backoff_seconds(BACKOFF, failures, 600) == 600 for _ in range(20))


def test_a_lease_is_measured_from_before_its_query() -> None:
    lease = Lease(60, taken=time.monotonic() - 10)

    assert lease.left() == pytest.approx(50, abs=0.5)
    assert Lease(60).token != lease.token


def test_an_expired_lease_has_negative_time_left() -> None:
    assert Lease(60, taken=time.monotonic() - 100).left() < 0


@pytest.mark.parametrize(("passed", "spent"), [(0, False), (4, False), (5, True)])
def test_a_budget_is_spent_after_its_time(passed: int, spent: bool) -> None:
    assert TimeBudget(5, begun=time.monotonic() - passed).is_spent() is spent


@pytest.mark.parametrize(
    ("seconds", "is_due"), [(-60, True), (-0.001, True), (60, False)]
)
def test_the_databases_clock_decides_what_is_due(
    db: None, seconds: float, is_due: bool
) -> None:
    row = CollectionFactory()
    Collection.objects.update(not_before=seconds_from_now(seconds))

    assert Collection.objects.filter(due(), pk=row.pk).exists() is is_due


@pytest.mark.parametrize(
    ("seconds", "is_free"), [(None, True), (-0.001, True), (60, False)]
)
def test_the_databases_clock_decides_when_a_lease_ends(
    db: None, seconds: float | None, is_free: bool
) -> None:
    row = CollectionFactory()
    until = None if seconds is None else seconds_from_now(seconds)
    Collection.objects.update(lease_until=until)

    assert Collection.objects.filter(unleased(), pk=row.pk).exists() is is_free


def test_a_leased_row_is_taken_until_its_lease_ends(db: None) -> None:
    row, lease = CollectionFactory(), Lease(60)
    this = Collection.objects.filter(pk=row.pk)

    begun = database_now()
    this.update(**leased(lease))

    held = this.get()
    assert held.token == lease.token
    assert held.lease_until is not None
    assert held.lease_until >= begun + timedelta(seconds=60)
    assert not this.filter(unleased()).exists()
    this.update(**RELEASED)
    assert this.filter(unleased(), token=None).exists()


def test_the_databases_time_has_a_zone(db: None) -> None:
    first, second = database_now(), database_now()

    assert first.utcoffset() == timedelta(0)
    assert second >= first
