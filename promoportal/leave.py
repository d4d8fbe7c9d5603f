"""Leave to call the vendor: its limit on calls, and its breaker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from promoportal import breakers, wire
from promoportal.optimove import allowance
from promoportal.optimove.allowance import Priority, Wait


class NotNow(Exception):
    """The vendor is not to be called now; whoever asked comes back later."""


@contextmanager
def one_call(priority: Priority) -> Iterator[None]:
    """
    Make one call inside, and let the others learn from how it went.

    :raises NotNow: before the call, if there is no leave for it
    """
    _take(priority)
    try:
        yield
    except wire.Misconfigured as error:
        breakers.trip(breakers.Side.VENDOR, error)
        raise
    except wire.Unavailable as error:
        if error.status == _TOO_MANY:
            allowance.refused(error.retry_after)
        raise
    except (wire.Rejected, wire.Malformed):
        breakers.passed(breakers.Side.VENDOR)
        raise
    breakers.passed(breakers.Side.VENDOR)


_TOO_MANY = 429


def _take(priority: Priority) -> None:
    if breakers.rests(breakers.Side.VENDOR):
        raise NotNow
    granted = allowance.take(priority)
    if isinstance(granted, Wait) or breakers.is_open(breakers.Side.VENDOR):
        raise NotNow
    if not granted.is_good:  # what leaves late may arrive among too many others
        raise NotNow
