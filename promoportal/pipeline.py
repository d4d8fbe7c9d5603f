"""
The connections between the stages of processing. These tables show the whole flow.

A signal is sent inside the transaction of its change. FOLLOWS lists the services that
run in this transaction. WAKES and WAKES_ABOUT list the jobs that start after its
commit. A job is a row in the same database, so it and the change are saved together.
SWEEPS and DUE list what the scheduler checks every second while the portal has work.
So work whose job was lost starts about a second later.
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
    """A service that runs in the signal's transaction, and the arguments it takes."""

    signal: Signal
    service: Callable[..., Any]
    arguments: tuple[str, ...]
    keywords: tuple[str, ...] = ()


FOLLOWS = [
    Follow(
        executions.signals.announced, fetch_runs.request_run, ("row",), ("by", "why")
    ),
    Follow(executions.signals.triggered, fetch_runs.resume, ("row",)),
    Follow(executions.signals.cancelled, cancellation.begin, ("row",), ("by",)),
    Follow(executions.signals.resumed, limits.waive, ("row",), ("seen",)),
    Follow(rewards.signals.activated, create_redemptions, ("keys",)),
]


class Wake(NamedTuple):
    """A job that a signal queues, and that processes all due rows."""

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
    """A job that a signal queues for the one row that the signal names."""

    signal: Signal
    task: jobs.Task
    queue: jobs.Queue


WAKES_ABOUT = [
    WakeAbout(rewards.signals.released, activate_one, "portal"),
]

# Work that is short, so that the scheduler does it without a job.
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
    """A check for due rows, and the job that processes these rows."""

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

# Signals add no job to a queue in which this many jobs wait.
MAX_JOBS_WAITING = 8
# The scheduler adds jobs to a queue in which fewer than this wait. So every kind of due
# work gets a job, even if signals keep the queue full.
MAX_JOBS_DUE = MAX_JOBS_WAITING + 4
# Signals about one row add no job to a queue in which this many jobs wait: staff may
# retry hundreds of rows at once, and the queue must also process webhooks. The
# scheduler finds the other rows among all due rows. Of the queued jobs, only one at a
# time calls the platform: see `platform_throttle.to_call_once`.
MAX_JOBS_ABOUT = 2


def connect() -> None:
    """Connect the signals of the stages to their receivers."""
    rows: list[tuple[Signal, Callable[..., None]]] = [
        *((row.signal, partial(_follow, row)) for row in FOLLOWS),
        *((row.signal, partial(_wake, row)) for row in WAKES),
        *((row.signal, partial(_wake_about, row)) for row in WAKES_ABOUT),
    ]
    for signal, receiver in rows:
        signal.connect(receiver, weak=False)


def tick() -> None:
    """
    Run the sweeps, and queue jobs for due rows.

    :raises ExceptionGroup: after all steps, if some of them failed
    """
    # While the portal is idle, the steps run once a minute instead of every second. So
    # a mistake in `_is_busy` delays work by a minute at most.
    if not _is_busy() and round(time.monotonic()) % 60:
        return
    free = {queue for queue in jobs.QUEUES if jobs.waiting(queue) < MAX_JOBS_DUE}
    wakes = [partial(_wake_due, due) for due in DUE if due.queue in free]
    _run_all([*SWEEPS, *wakes])


def _is_busy() -> bool:
    """
    Return whether an execution or a bulk retry is unfinished, or a delivery pending.

    Before its first retry, a bulk retry changes no execution: so check it separately.
    """
    unsettled = Execution.objects.exclude(state=ExecutionProgress.SETTLED)
    return unsettled.exists() or inbox.is_due() or bulk_retry.is_due()


def _run_all(steps: Iterable[Callable[[], Any]]) -> None:
    """Run all steps, even if some fail: one bad row must not stop other work."""
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - all of them are raised below
            errors.append(error)
    if errors:
        raise ExceptionGroup("The scheduler could not do all that is due.", errors)


def _wake_due(due: Due) -> None:
    if due.is_due():
        with transaction.atomic():
            jobs.enqueue_sweep(due.task, queue=due.queue)


def _follow(follow: Follow, **sent: Any) -> None:
    keywords = {name: sent[name] for name in follow.keywords}
    follow.service(*(sent[name] for name in follow.arguments), **keywords)


def _wake(wake: Wake, **_: Any) -> None:
    if jobs.waiting(wake.queue) < MAX_JOBS_WAITING:
        jobs.enqueue_sweep(wake.task, queue=wake.queue)


def _wake_about(wake: WakeAbout, **sent: Any) -> None:
    if jobs.waiting(wake.queue) < MAX_JOBS_ABOUT:
        jobs.enqueue(wake.task, pk=sent["row"].pk, queue=wake.queue)
