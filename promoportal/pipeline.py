"""
What follows from what. To learn the whole flow, read these tables.

A signal is sent inside the transaction that made it true. FOLLOWS says what else becomes
true in that same transaction. WAKES says which job is woken once it commits: a job is a
row in our own database, so that it is queued exactly when the change is saved. SWEEPS and
DUE say what the tick looks for every second, so that a lost job costs a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from django.db import transaction
from django.dispatch import Signal

import executions.signals
import redemptions.signals
import rewards.signals
from executions import inbox
from executions.models import Execution, ExecutionProgress
from executions.tasks import read_deliveries
from promoportal import jobs
from promoportal.db import state_counts
from promoportal.operations import progress, restored_backup
from promoportal.resilience import concurrency_limit
from redemptions import in_doubt as reports_settling
from redemptions import reporting
from redemptions.creation import create_redemptions
from redemptions.tasks import report
from rewards import bulk_retry, cancellation, limits
from rewards.activation import activate as activating
from rewards.activation import deadlines
from rewards.activation import in_doubt as settling
from rewards.collection import collect as collecting
from rewards.collection import fetch_runs
from rewards.tasks import (
    activate,
    activate_one,
    collect,
    follow_cancellations,
    follow_clearances,
    retry_many,
    settle,
)


class Follow(NamedTuple):
    """What becomes true with it, and what of the signal it is told."""

    signal: Signal
    service: Callable[..., Any]
    told: tuple[str, ...]
    named: tuple[str, ...] = ()


FOLLOWS = [
    Follow(
        executions.signals.announced, fetch_runs.request_run, ("row",), ("by", "why")
    ),
    Follow(executions.signals.triggered, fetch_runs.resume, ("row",)),
    Follow(executions.signals.cancelled, cancellation.begin, ("row",), ("by",)),
    Follow(executions.signals.resumed, limits.waive, ("row",)),
    Follow(rewards.signals.activated, create_redemptions, ("keys",)),
]


class Wake(NamedTuple):
    """A job that does whatever is due."""

    signal: Signal
    task: jobs.Sweep
    queue: jobs.Queue


WAKES = [
    Wake(executions.signals.delivered, read_deliveries, "portal"),
    Wake(rewards.signals.collecting, collect, "collect"),
    Wake(rewards.signals.owed, activate, "bulk"),
    Wake(executions.signals.resumed, activate, "bulk"),
    Wake(executions.signals.cancelled, follow_cancellations, "bulk"),
    Wake(rewards.signals.cleared, follow_clearances, "bulk"),
    Wake(rewards.signals.retrying, retry_many, "bulk"),
    Wake(redemptions.signals.waiting, report, "collect"),
]


class WakeAbout(NamedTuple):
    """A job about the signal's one row."""

    signal: Signal
    task: jobs.Task
    queue: jobs.Queue


WAKES_ABOUT = [
    WakeAbout(rewards.signals.released, activate_one, "portal"),
]

# Each moves whole sets in one statement.
SWEEPS: list[Callable[[], Any]] = [
    restored_backup.detect_restore,
    concurrency_limit.end_frozen,
    deadlines.expire,
    deadlines.hold_too_late,
    deadlines.hold_unsettled,
    reports_settling.expire,
    reports_settling.settle,
    progress.update_progress,
    state_counts.compact,
]


class Due(NamedTuple):
    """Work that is due, and the job that does it."""

    is_due: Callable[[], bool]
    task: jobs.Sweep
    queue: jobs.Queue


DUE = [
    Due(inbox.is_due, read_deliveries, "portal"),
    Due(collecting.is_due, collect, "collect"),
    Due(activating.is_due, activate, "bulk"),
    Due(settling.is_due, settle, "collect"),
    Due(cancellation.is_due, follow_cancellations, "bulk"),
    Due(limits.is_due, follow_clearances, "bulk"),
    Due(bulk_retry.is_due, retry_many, "bulk"),
    Due(reporting.is_due, report, "collect"),
]

# More jobs that do whatever is due would only find that it is done.
MAX_JOBS_WAITING = 8
# The tick's own places: however busy the wakes keep a queue, no kind of work that is due
# waits for it to be idle.
MAX_JOBS_DUE = MAX_JOBS_WAITING + 4


def connect() -> None:
    """Join the stages."""
    rows: list[tuple[Signal, Callable[..., None]]] = [
        *((row.signal, partial(_follow, row)) for row in FOLLOWS),
        *((row.signal, partial(_wake, row)) for row in WAKES),
        *((row.signal, partial(_wake_about, row)) for row in WAKES_ABOUT),
    ]
    for signal, receiver in rows:
        signal.connect(receiver, weak=False)


def tick() -> None:
    """
    Do what is due by the clock, and wake the jobs whose waking was lost.

    :raises ExceptionGroup: after the rest was done all the same
    """
    # An idle portal asks its database almost nothing; once a minute it looks all the
    # same, so that nothing rests on this being right.
    if not _is_busy() and round(time.monotonic()) % 60:
        return
    free = {queue for queue in jobs.QUEUES if jobs.waiting(queue) < MAX_JOBS_DUE}
    wakes = [partial(_wake_due, due) for due in DUE if due.queue in free]
    _all([*SWEEPS, *wakes])


def _is_busy() -> bool:
    """
    Whether any execution is not settled, or any delivery not read, or a person waits
    for many to be tried again, which no execution knows of before the first is.
    """
    unsettled = Execution.objects.exclude(state=ExecutionProgress.SETTLED)
    return unsettled.exists() or inbox.is_due() or bulk_retry.is_due()


def _all(steps: Iterable[Callable[[], Any]]) -> None:
    """Each of them, whatever becomes of the others: one bad row must not stop a sweep."""
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - all of them are raised below
            errors.append(error)
    if errors:
        raise ExceptionGroup("The tick could not do all that is due.", errors)


def _wake_due(due: Due) -> None:
    if due.is_due():
        with transaction.atomic():
            jobs.enqueue_sweep(due.task, queue=due.queue)


def _follow(follow: Follow, **said: Any) -> None:
    named = {name: said[name] for name in follow.named}
    follow.service(*(said[name] for name in follow.told), **named)


def _wake(wake: Wake, **_: Any) -> None:
    if jobs.waiting(wake.queue) < MAX_JOBS_WAITING:
        jobs.enqueue_sweep(wake.task, queue=wake.queue)


def _wake_about(wake: WakeAbout, **said: Any) -> None:
    jobs.enqueue(wake.task, pk=said["row"].pk, queue=wake.queue)
