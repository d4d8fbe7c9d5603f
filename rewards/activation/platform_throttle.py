"""Leave to call the platform: permits shared by all processes, and its breaker."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from django.conf import settings

from promoportal import wire
from promoportal.platforms import Platform
from promoportal.resilience import circuit_breaker, concurrency_limit
from promoportal.resilience.circuit_breaker import BreakerState, Side
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import BATCH_SIZE

# Calls one job makes at a time, if there are permits for them.
MAX_CALLS_PER_JOB = 8

_FAILED = {Outcome.UNAVAILABLE, Outcome.UNANSWERED}


def to_call() -> AbstractContextManager[int]:
    """
    Permits for the calls of one job. Of all there are, one is left for what is in doubt,
    and one for what a person waits for.
    """
    return concurrency_limit.acquire_permits(MAX_CALLS_PER_JOB, of=_all_but(2))


def to_ask() -> AbstractContextManager[int]:
    """Permits for asking about what is in doubt, also while campaigns take all others."""
    return concurrency_limit.acquire_permits(MAX_CALLS_PER_JOB, of=_all_but(1))


def to_call_once() -> AbstractContextManager[int]:
    """A permit for one call that a person waits for."""
    return concurrency_limit.acquire_permits(1, of=settings.PLATFORM_CONCURRENCY)


def _all_but(count: int) -> int:
    return max(settings.PLATFORM_CONCURRENCY - count, 1)


def gate() -> BreakerState:
    return circuit_breaker.acquire_permission(Side.PLATFORM)


def chunk_of(platform: Platform, threads: int) -> int:
    """
    Return how many rows to claim at once: as many as a crash may leave in doubt.

    If only staff can resolve a doubt, no more than can be called at once.
    """
    return BATCH_SIZE if platform.capability.settles_by_itself else threads


def record_results(results: Sequence[CallResult]) -> None:
    """
    Tell the circuit breaker how calls that were made side by side ended.

    If a call fails or is forbidden for one customer while others are served, the cause is
    that row and not the platform.
    """
    sent = [result for result in results if result.outcome != Outcome.NOT_SENT]
    failed = [r.error for r in sent if r.error and r.outcome in _FAILED]
    forbidden = [r.error for r in sent if isinstance(r.error, wire.Misconfigured)]
    if len(failed) + len(forbidden) < len(sent):
        circuit_breaker.record_success(Side.PLATFORM)
    elif forbidden:
        circuit_breaker.trip(Side.PLATFORM, forbidden[0])
    elif failed:
        last = max(failed, key=lambda error: error.retry_after or 0)
        if last.retry_after:
            circuit_breaker.open_for(Side.PLATFORM, last, last.retry_after)
        else:
            circuit_breaker.record_failures(Side.PLATFORM, last, count=len(failed))
