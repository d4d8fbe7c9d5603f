"""Leave to call the vendor: its limit on calls, and its breaker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from promoportal import wire
from promoportal.optimove import rate_limiter
from promoportal.optimove.rate_limiter import Priority, Wait
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Gate, Side


class NotNow(Exception):
    """The vendor is not to be called now; whoever asked comes back later."""


@contextmanager
def one_call(priority: Priority) -> Iterator[None]:
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
    circuit_breaker.passed(Side.VENDOR)


_TOO_MANY = 429
# Our key is refused, whoever it is for.
STRANGER = 401


def _heed(error: wire.WireError, gate: Gate) -> None:
    match error:
        case wire.Unavailable() if error.status == _TOO_MANY:
            rate_limiter.refused(error.retry_after)
            # It is there, and said nothing of what the probe was to find out.
            if gate is Gate.PROBE:
                circuit_breaker.forgo(Side.VENDOR)
        case wire.Unavailable() if error.retry_after:
            circuit_breaker.rest(Side.VENDOR, error, error.retry_after)
        case wire.Misconfigured() if error.status == STRANGER:
            circuit_breaker.trip(Side.VENDOR, error)
        case wire.Unavailable() | wire.Unanswered() | wire.Misconfigured():
            # What is forbidden may be one campaign's matter; if all is, it adds up.
            circuit_breaker.stumbled(Side.VENDOR, error)
        case _:
            circuit_breaker.passed(Side.VENDOR)


def _take(priority: Priority) -> Gate:
    if circuit_breaker.rests(Side.VENDOR):
        raise NotNow
    granted = rate_limiter.take(priority)
    if isinstance(granted, Wait):
        raise NotNow
    gate = circuit_breaker.gate(Side.VENDOR)
    if gate is Gate.PROBE and not granted.is_good:
        circuit_breaker.forgo(Side.VENDOR)
    # What leaves late may arrive among too many others.
    if gate is Gate.OPEN or not granted.is_good:
        raise NotNow
    return gate
