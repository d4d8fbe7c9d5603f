"""Permission to call Optimove: its rate limit and its circuit breaker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from promoportal import wire
from promoportal.optimove import rate_limiter
from promoportal.optimove.contract import current
from promoportal.optimove.rate_limiter import Priority, Wait
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import BreakerState, Side


class Throttled(Exception):
    """Optimove must not be called now. The caller retries later."""


@contextmanager
def throttled_call(priority: Priority, *, is_suspect: bool = False) -> Iterator[None]:
    """
    Guard one call to Optimove, which the caller makes inside the `with` block.

    Record the outcome of the call, so that all processes see it. `is_suspect` means
    that a call with the same rows failed before: a further failure tells nothing about
    other calls, so it is not counted if these rows may be the cause.

    :raises Throttled: before the block runs, if no call is permitted now
    """
    gate = _acquire(priority)
    try:
        yield
    except wire.WireError as error:
        _record(error, gate, is_suspect=is_suspect)
        raise
    circuit_breaker.record_success(Side.VENDOR)


_TOO_MANY = 429
# The status by which Optimove rejects the API key.
UNAUTHORIZED = 401


def may_be_caused_by_rows(error: wire.WireError) -> bool:
    """Return whether the rows in a call may be the cause of its failure."""
    match error:
        case wire.Rejected() | wire.Malformed():
            return True
        case wire.Unavailable() | wire.Unanswered():
            is_later = error.retry_after or error.status in current().vendor.retry
            return error.was_sent and not is_later
    return False


def _record(error: wire.WireError, gate: BreakerState, *, is_suspect: bool) -> None:
    match error:
        case wire.Unavailable() if error.status == _TOO_MANY:
            rate_limiter.refused(error.retry_after)
            # A 429 does not show whether calls succeed, so another probe must follow.
            if gate is BreakerState.PROBE:
                circuit_breaker.release_permission(Side.VENDOR)
        case wire.Unavailable() if error.retry_after:
            # It may concern one question. If all calls get one, the pauses grow.
            circuit_breaker.record_refusals(
                Side.VENDOR,
                error,
                error.retry_after,
                count=1,
                first_time=not is_suspect,
            )
        case wire.Misconfigured() if error.status == UNAUTHORIZED:
            circuit_breaker.trip(Side.VENDOR, error)
        case wire.Unavailable() | wire.Unanswered() if (
            is_suspect and may_be_caused_by_rows(error)
        ):
            if gate is BreakerState.PROBE:
                circuit_breaker.release_permission(Side.VENDOR)
        case wire.Unavailable() | wire.Unanswered() | wire.Misconfigured():
            # A 403 may concern one campaign. If all calls get one, the failures add up.
            circuit_breaker.record_failures(Side.VENDOR, error)
        case _:
            circuit_breaker.record_success(Side.VENDOR)


def _acquire(priority: Priority) -> BreakerState:
    if circuit_breaker.is_open(Side.VENDOR):
        raise Throttled
    granted = rate_limiter.acquire(priority)
    if isinstance(granted, Wait):
        raise Throttled
    gate = circuit_breaker.acquire_permission(Side.VENDOR)
    if gate is BreakerState.PROBE and not granted.is_good:
        circuit_breaker.release_permission(Side.VENDOR)
    # A call that is sent late may exceed the limit at Optimove.
    if gate is BreakerState.OPEN or not granted.is_good:
        raise Throttled
    return gate
