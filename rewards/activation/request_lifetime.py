"""
The longest time for which an activation request may still take effect.

    claim --- LEASE ---> end of the lease --- settle_grace ---> no effect any more

A worker sends no byte after the lease, and the kernel sends none after the call: see
`promoportal.wire.deadline_transport`. After the lease, only the network and the
platform can delay the request. If the database's clock is set forward, the lease ends
early, and `settle_grace` must also cover a call that was just confirmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Case, Q, When
from django.db.models.functions import Greatest, Now

from promoportal import platforms
from promoportal.db import row_versions
from promoportal.db.database_clock import seconds_from_now
from promoportal.platforms import Capability
from rewards.activation import promises
from rewards.models import Assignment

# Longest duration of one call in seconds, including connecting and a reserve.
MAX_CALL_SECONDS = 20.0
# Duration of a claim in seconds: more than twice the sum of a job's turn and a call.
LEASE = 60.0
# Seconds until a confirmed row must be sent, including name lookup and connecting.
CONFIRMED = 10.0
# Seconds within which the scheduler detects the end of a lease, unless the scheduler
# did not run or the database's clock was set forward.
PROMPTLY = 5.0
# Seconds for which the network may delay the last byte of a request.
NETWORK = 5.0
# The least `settle_grace` in seconds: a worker may confirm its claim and send the row
# just before the scheduler notes a lease that ended `PROMPTLY` seconds ago.
MIN_GRACE = PROMPTLY + CONFIRMED + MAX_CALL_SECONDS + NETWORK


def longest(capability: Capability) -> timedelta:
    """Return the longest time from a claim until its request has no more effect."""
    return timedelta(seconds=LEASE) + capability.settle_grace


def was_over(at: datetime, grace: timedelta) -> Q:
    """Return a filter for rows whose last request could have no effect after `at`."""
    return Q(lease_until__lte=at - grace)


def lease_end_of_doubt() -> Greatest:
    """
    Return the `lease_until` of a row whose request may have an effect, as an expression.

    "Not found" and a denial of staff count only `settle_grace` after this time. A lease
    that ended more than `PROMPTLY` seconds ago may have ended early, because the clock
    was set forward: a worker may have sent the row just now.
    """
    return Greatest("lease_until", seconds_from_now(-PROMPTLY))


def released() -> dict[str, Any]:
    """Return the column values that end a lease, but keep its end of a `doubtful` row."""
    kept = Case(When(doubtful=True, then=lease_end_of_doubt()), default=None)
    return {"token": None, "lease_until": kept}


def open_until(row: Assignment) -> datetime | None:
    """Return the time until which the last request may have an effect; None if over."""
    return open_times([row]).get(row.pk)


def open_times(rows: Iterable[Assignment]) -> dict[int, datetime]:
    """
    Return this time for each row whose last request may still have an effect.

    All rows take one query. If no row is `doubtful`, there is no query.
    """
    leases = {row.pk: row.lease_until for row in rows if row.doubtful}
    ends = {pk: lease for pk, lease in leases.items() if lease is not None}
    if not ends:
        return {}
    grace = promises.longest_settle_grace(platforms.current_capability())
    found = Assignment.objects.filter(pk__in=ends).values_list("pk", grace, Now())
    return {pk: ends[pk] + grace for pk, grace, now in found if ends[pk] + grace > now}


@row_versions.part(Assignment, "request")
def _versioned_requests(rows: Sequence[Assignment]) -> dict[int, Any]:
    """
    Return the time of the last request, and whether it may still have an effect.

    Staff who open a page look into the platform's records at this time. If the request
    could still arrive then, the page must not be used later to deny the activation.
    """
    opened = open_times(rows)
    leases = {row.pk: row.lease_until if row.doubtful else None for row in rows}
    return {pk: [lease, pk in opened] for pk, lease in leases.items()}


def check_platform() -> None:
    """
    Check that the platform's times leave room for a late request.

    :raises ImproperlyConfigured: with a sentence for each time that is too short
    """
    if mistakes := list(_mistakes(platforms.current_capability())):
        raise ImproperlyConfigured(" ".join(mistakes))


def _mistakes(capability: Capability) -> Iterator[str]:
    grace = capability.settle_grace.total_seconds()
    if grace < MIN_GRACE:
        yield (
            f"The platform's settle_grace is {grace:g} seconds, but a request may "
            f"arrive up to {MIN_GRACE:g} seconds after the end of its lease. Set it to "
            f"{MIN_GRACE:g}s or more."
        )
    least = longest(capability)
    if capability.idempotent and capability.remembers_for <= least:
        yield (
            f"The platform's remembers_for is {capability.remembers_for.total_seconds():g} "
            f"seconds, but a request may take effect up to {least.total_seconds():g} "
            "seconds after its claim. Set it to a longer time."
        )
