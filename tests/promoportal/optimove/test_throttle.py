"""Leave to call the vendor: what one call that fails tells all the others."""

from __future__ import annotations

import pytest

from promoportal import wire
from promoportal.optimove.rate_limiter import Allowance, Priority
from promoportal.optimove.throttle import Throttled, throttled_call
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import BreakerState, Side

pytestmark = pytest.mark.django_db(transaction=True)

MAX_FAILURES = circuit_breaker.MAX_FAILURES[Side.VENDOR]


def answered(kind: type[wire.WireError], status: int) -> wire.WireError:
    return kind(f"Optimove answered {status}", wire.Evidence(status))


STRANGER = answered(wire.Misconfigured, 401)
FORBIDDEN = answered(wire.Misconfigured, 403)
BROKEN = answered(wire.Unavailable, 500)
SILENT = wire.Unanswered("No answer.")
TOO_MANY = wire.Unavailable("Too many", wire.Evidence(429), retry_after=90)
BUSY = wire.Unavailable("Later", wire.Evidence(503), retry_after=90)


def call(error: wire.WireError | None = None, *, times: int = 1) -> None:
    for _ in range(times):
        if error is None:
            with throttled_call(Priority.PERSON):
                pass
        else:
            with pytest.raises(type(error)), throttled_call(Priority.PERSON):
                raise error


def test_a_wrong_key_stops_all_calls_at_once() -> None:
    call(STRANGER)

    with pytest.raises(Throttled), throttled_call(Priority.PERSON):
        raise AssertionError("It was let through.")


@pytest.mark.parametrize("error", [FORBIDDEN, BROKEN, SILENT], ids=str)
def test_what_may_be_one_campaigns_matter_stops_all_only_if_nothing_else_goes_well(
    error: wire.WireError,
) -> None:
    call(error, times=MAX_FAILURES - 1)
    call()
    call(error, times=MAX_FAILURES - 1)
    assert not circuit_breaker.is_open(Side.VENDOR)

    call(error)

    assert circuit_breaker.is_open(Side.VENDOR)


def test_a_rest_it_asks_for_is_for_all() -> None:
    call(BUSY)

    assert circuit_breaker.is_open(Side.VENDOR)


def test_too_many_is_a_matter_of_the_allowance() -> None:
    call(TOO_MANY)

    assert not circuit_breaker.is_open(Side.VENDOR)
    assert Allowance.objects.get().not_before is not None


@pytest.mark.parametrize("kind", [wire.Rejected, wire.Malformed])
def test_whoever_says_no_is_there(kind: type[wire.WireError]) -> None:
    call(SILENT, times=MAX_FAILURES - 1)
    call(answered(kind, 400))
    call(SILENT)

    assert not circuit_breaker.is_open(Side.VENDOR)


def test_the_one_that_tries_opens_the_way_for_all() -> None:
    call(STRANGER)
    circuit_breaker.Breaker.objects.update(open_until="2026-01-01T00:00Z")

    call()

    call()
    assert not circuit_breaker.is_open(Side.VENDOR)


def test_who_came_too_often_before_it_opened_lets_no_second_one_try() -> None:
    with pytest.raises(wire.Unavailable), throttled_call(Priority.PERSON):
        call(BROKEN, times=MAX_FAILURES)
        circuit_breaker.Breaker.objects.update(open_until="2026-01-01T00:00Z")
        assert circuit_breaker.acquire_permission(Side.VENDOR) is BreakerState.PROBE
        raise TOO_MANY

    assert circuit_breaker.acquire_permission(Side.VENDOR) is BreakerState.OPEN


def test_one_that_tries_and_came_too_often_leaves_the_way_to_the_next() -> None:
    call(BROKEN, times=MAX_FAILURES)
    circuit_breaker.Breaker.objects.update(open_until="2026-01-01T00:00Z")
    call(TOO_MANY)
    Allowance.objects.update(not_before=None)

    call()

    assert not circuit_breaker.is_open(Side.VENDOR)
