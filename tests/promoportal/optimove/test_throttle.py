"""Permission to call Optimove, and the effect of a failed call on all others."""

from __future__ import annotations

from datetime import timedelta

import pytest

from promoportal import wire
from promoportal.db.database_clock import database_now
from promoportal.optimove.rate_limiter import Allowance, Priority
from promoportal.optimove.throttle import Throttled, throttled_call
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import BreakerState, Side

pytestmark = pytest.mark.django_db(transaction=True)

MAX_FAILURES = circuit_breaker.MAX_FAILURES[Side.VENDOR]


def answered(kind: type[wire.WireError], status: int) -> wire.WireError:
    return kind(f"Optimove answered {status}", wire.Evidence(status))


WRONG_KEY = answered(wire.Misconfigured, 401)
FORBIDDEN = answered(wire.Misconfigured, 403)
BROKEN = answered(wire.Unavailable, 500)
UNANSWERED = wire.Unanswered("No answer.")
TOO_MANY = wire.Unavailable("Too many", wire.Evidence(429), retry_after=90)
HOUR = wire.Unavailable("Later", wire.Evidence(503), retry_after=3600)
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
    call(WRONG_KEY)

    with pytest.raises(Throttled), throttled_call(Priority.PERSON):
        raise AssertionError("It was let through.")


@pytest.mark.parametrize("error", [FORBIDDEN, BROKEN, UNANSWERED], ids=str)
def test_other_failures_stop_all_calls_only_if_no_call_succeeds(
    error: wire.WireError,
) -> None:
    call(error, times=MAX_FAILURES - 1)
    call()
    call(error, times=MAX_FAILURES - 1)
    assert not circuit_breaker.is_open(Side.VENDOR)

    call(error)

    assert circuit_breaker.is_open(Side.VENDOR)


def test_one_requested_pause_does_not_apply_to_other_calls() -> None:
    """It may concern one question only."""
    call(BUSY)
    assert not circuit_breaker.is_open(Side.VENDOR)

    call()


def test_a_pause_requested_by_call_after_call_applies_to_all_calls() -> None:
    call(BUSY, times=circuit_breaker.MAX_REFUSALS)

    assert circuit_breaker.is_open(Side.VENDOR)


def test_a_requested_pause_of_an_hour_begins_with_seconds() -> None:
    call(HOUR, times=circuit_breaker.MAX_REFUSALS)

    assert pause() <= circuit_breaker.FIRST_PAUSE


def test_requested_pauses_grow_while_no_call_succeeds() -> None:
    call(HOUR, times=circuit_breaker.MAX_REFUSALS)
    pauses = []
    for _ in range(4):
        circuit_breaker.Breaker.objects.update(open_until=database_now())
        call(HOUR)
        pauses.append(round(pause().total_seconds()))

    assert pauses == [60, 360, 2160, 3600]


def test_a_success_between_requested_pauses_keeps_calls_running() -> None:
    for _ in range(5):
        call(HOUR, times=circuit_breaker.MAX_REFUSALS - 1)
        call()

    assert not circuit_breaker.is_open(Side.VENDOR)


def pause() -> timedelta:
    breaker = circuit_breaker.Breaker.objects.get()
    assert breaker.open_until is not None
    return breaker.open_until - database_now()


def test_a_429_pauses_the_rate_limiter_and_not_the_breaker() -> None:
    call(TOO_MANY)

    assert not circuit_breaker.is_open(Side.VENDOR)
    assert Allowance.objects.get().not_before is not None


@pytest.mark.parametrize("kind", [wire.Rejected, wire.Malformed])
def test_a_refusal_proves_that_optimove_responds(kind: type[wire.WireError]) -> None:
    call(UNANSWERED, times=MAX_FAILURES - 1)
    call(answered(kind, 400))
    call(UNANSWERED)

    assert not circuit_breaker.is_open(Side.VENDOR)


def test_a_successful_probe_allows_all_calls() -> None:
    call(WRONG_KEY)
    circuit_breaker.Breaker.objects.update(open_until="2026-01-01T00:00Z")

    call()

    call()
    assert not circuit_breaker.is_open(Side.VENDOR)


def test_a_429_of_an_older_call_does_not_allow_a_second_probe() -> None:
    with pytest.raises(wire.Unavailable), throttled_call(Priority.PERSON):
        call(BROKEN, times=MAX_FAILURES)
        circuit_breaker.Breaker.objects.update(open_until="2026-01-01T00:00Z")
        assert circuit_breaker.acquire_permission(Side.VENDOR) is BreakerState.PROBE
        raise TOO_MANY

    assert circuit_breaker.acquire_permission(Side.VENDOR) is BreakerState.OPEN


def test_a_probe_that_gets_a_429_leaves_the_probe_to_the_next_call() -> None:
    call(BROKEN, times=MAX_FAILURES)
    circuit_breaker.Breaker.objects.update(open_until="2026-01-01T00:00Z")
    call(TOO_MANY)
    Allowance.objects.update(not_before=None)

    call()

    assert not circuit_breaker.is_open(Side.VENDOR)
