"""Leave to call the vendor: its limit on calls, and its breaker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from promoportal import wire
from promoportal.optimove import rate_limiter
from promoportal.optimove.rate_limiter import Priority, Wait
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import BreakerState, Side


class Throttled(Exception):
    """The vendor is not to be called now; whoever asked comes back later."""


@contextmanager
def throttled_call(priority: Priority) -> Iterator[None]:
    """
    Make one call inside, and let the others learn from how it went.

    :raises NotNow: before the call, if there is no leave for it
    """
    gate = _take(priority)
    try:
        yield
    except wire.WireError as error:
        _heed(error, gate)
        raise
    circuit_breaker.record_success(Side.VENDOR)


_TOO_MANY = 429
# Our key is refused, whoever it is for.
UNAUTHORIZED = 401


def _heed(error: wire.WireError, gate: BreakerState) -> None:
    match error:
        case wire.Unavailable() if error.status == _TOO_MANY:
            rate_limiter.refused(error.retry_after)
            # It is there, and said nothing of what the probe was to find out.
            if gate is BreakerState.PROBE:
                circuit_breaker.release_permission(Side.VENDOR)
        case wire.Unavailable() if error.retry_after:
            circuit_breaker.open_for(Side.VENDOR, error, error.retry_after)
        case wire.Misconfigured() if error.status == UNAUTHORIZED:
            circuit_breaker.trip(Side.VENDOR, error)
        case wire.Unavailable() | wire.Unanswered() | wire.Misconfigured():
            # What is forbidden may be one campaign's matter; if all is, it adds up.
            circuit_breaker.record_failures(Side.VENDOR, error)
        case _:
            circuit_breaker.record_success(Side.VENDOR)


def _take(priority: Priority) -> BreakerState:
    if circuit_breaker.is_open(Side.VENDOR):
        raise Throttled
    granted = rate_limiter.acquire(priority)
    if isinstance(granted, Wait):
        raise Throttled
    gate = circuit_breaker.acquire_permission(Side.VENDOR)
    if gate is BreakerState.PROBE and not granted.is_good:
        circuit_breaker.release_permission(Side.VENDOR)
    # What leaves late may arrive among too many others.
    if gate is BreakerState.OPEN or not granted.is_good:
        raise Throttled
    return gate
