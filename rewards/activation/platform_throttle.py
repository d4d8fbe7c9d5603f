"""Limits on calls to the platform: shared permits, and the circuit breaker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from django.conf import settings

from promoportal import wire
from promoportal.platforms import Platform
from promoportal.resilience import circuit_breaker, concurrency_limit
from promoportal.resilience.circuit_breaker import BreakerState, Side
from rewards.activation.call_pool import CallResult, Outcome
from rewards.activation.claims import BATCH_SIZE
from rewards.models import Assignment

# Most concurrent calls of one job.
MAX_CALLS_PER_JOB = 8

_T = TypeVar("_T")
_FAILED = {Outcome.UNAVAILABLE, Outcome.UNANSWERED, Outcome.MISCONFIGURED}


def to_call() -> AbstractContextManager[int]:
    """
    Acquire permits to activate rewards in one job.

    If `PLATFORM_CONCURRENCY` is at least 3, one permit is left for look-ups, and one
    permit for calls that a user waits for.
    """
    return concurrency_limit.acquire_permits(MAX_CALLS_PER_JOB, of=_all_but(2))


def to_ask() -> AbstractContextManager[int]:
    """Acquire permits for look-ups; `to_call` leaves one of these permits free."""
    return concurrency_limit.acquire_permits(MAX_CALLS_PER_JOB, of=_all_but(1))


def to_call_once() -> AbstractContextManager[int]:
    """
    Acquire the one permit for calls that a user waits for, if it is free.

    These jobs share their queue with webhooks, and the platform may be slow. So only
    one worker of all hosts calls it. The reward of another job is activated with all
    others.
    """
    last = settings.PLATFORM_CONCURRENCY
    return concurrency_limit.acquire_permits(1, of=last, first=last)


def _all_but(count: int) -> int:
    return max(settings.PLATFORM_CONCURRENCY - count, 1)


def take_if_permitted(take: Callable[[int], _T], most: int) -> _T | None:
    """
    Take up to `most` rows, or one row if the circuit breaker permits only a probe.

    Return None if the circuit breaker permits no call. If a probe is permitted, but no
    row is taken, release the permission.
    """
    gate = circuit_breaker.acquire_permission(Side.PLATFORM)
    if gate is BreakerState.OPEN:
        return None
    taken = take(1 if gate is BreakerState.PROBE else most)
    if gate is BreakerState.PROBE and not taken:
        circuit_breaker.release_permission(Side.PLATFORM)
    return taken


def chunk_of(platform: Platform, threads: int) -> int:
    """
    Return the number of rows to claim at once.

    After a crash, the outcome of each claimed row is unknown. If only staff can resolve
    such rows, the portal claims only as many rows as it sends at the same time.
    """
    return BATCH_SIZE if platform.capability.settles_by_itself else threads


def record_results(results: Sequence[CallResult]) -> None:
    """
    Record the results of concurrent calls with the circuit breaker.

    If the platform processed at least one call, only a success is recorded: the rows
    of the other calls are assumed to be the cause of their failures.
    """
    sent = [result for result in results if result.outcome != Outcome.NOT_SENT]
    failed = {r.row: r.error for r in sent if r.error and r.outcome in _FAILED}
    if len(failed) < len(sent):
        circuit_breaker.record_success(Side.PLATFORM)
    elif failed:
        _record_failures(failed)


def _record_failures(failed: Mapping[Assignment, wire.WireError]) -> None:
    last = max(failed.values(), key=_pause_of)
    if not (seconds := _pause_of(last)):
        circuit_breaker.record_failures(Side.PLATFORM, last, count=len(failed))
        return
    circuit_breaker.record_refusals(
        Side.PLATFORM,
        last,
        seconds,
        count=len(failed),
        first_time=any(not row.failures for row in failed),
    )


def _pause_of(error: wire.WireError) -> float:
    """Return the seconds for which all calls pause if they get this error; or 0."""
    if isinstance(error, wire.Misconfigured):
        return circuit_breaker.PAUSE.total_seconds()
    return error.retry_after or 0
