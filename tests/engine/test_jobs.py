"""A job and its rows are saved together, and each job runs once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest
from django.db import connection, transaction
from django_q.models import Failure, OrmQ
from django_q.signing import SignedPackage

from promoportal import jobs
from promoportal.jobs import broker
from tests.engine import tasks
from tests.engine.conftest import Workers, kill_family
from tests.engine.processes import JobLog, are_gone, children, kill, until

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., Workers]


def enqueue(task: jobs.Task, *keys: int) -> None:
    with transaction.atomic():
        for pk in keys:
            jobs.enqueue(task, pk=pk, queue="portal")


def enqueue_raw(payload: str) -> None:
    """Queue a job without `jobs.enqueue`."""
    broker.PortalBroker("portal").enqueue(payload)


def test_a_transaction_that_is_rolled_back_leaves_no_job() -> None:
    with transaction.atomic():
        jobs.enqueue(tasks.note, pk=1, queue="portal")
        transaction.set_rollback(True)

    assert jobs.waiting("portal") == 0


def test_a_job_outside_a_transaction_is_refused() -> None:
    with pytest.raises(jobs.NotInTransaction):
        jobs.enqueue(tasks.note, pk=1, queue="portal")

    assert not OrmQ.objects.exists()


def test_a_job_waits_in_its_own_queue() -> None:
    with transaction.atomic():
        jobs.enqueue_sweep(tasks.sweep, queue="bulk")

    assert [jobs.waiting(queue) for queue in jobs.QUEUES] == [0, 0, 1]


def test_a_job_notifies_the_workers_when_it_commits(
    environment: dict[str, str],
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.waiting_process"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        until(_is_listening, "someone waits for the bell")

        enqueue(tasks.note, 1)

        output, _ = process.communicate(timeout=20)
    finally:
        kill_family(process)
    assert output.split() == [str(OrmQ.objects.get().pk)]


def test_two_clusters_on_one_queue_run_each_job_once(
    start_workers: Start, log: JobLog
) -> None:
    enqueue(tasks.note, *range(40))

    clusters = [start_workers(), start_workers()]
    for cluster in clusters:
        cluster.await_all()
    enqueue(tasks.note, *range(40, 80))
    until(lambda: not OrmQ.objects.exists(), "all jobs are concluded")

    noted = [line.pk for line in log.lines("noted")]
    assert sorted(noted) == list(range(80))


def test_a_cluster_that_is_stopped_finishes_its_jobs_and_exits_with_0(
    start_workers: Start, log: JobLog
) -> None:
    workers = start_workers()
    enqueue(tasks.nap, 15)
    log.wait("began")
    family = workers.family()

    workers.process.terminate()

    assert workers.end() == 0
    assert len(log.lines("ended")) == 1
    assert not OrmQ.objects.exists()
    assert are_gone(family)


def test_a_job_that_cannot_run_is_dropped_and_the_next_one_runs(
    start_workers: Start, log: JobLog
) -> None:
    enqueue_raw("no signature")
    enqueue_raw(_package(func="tests.engine.tasks.gone"))
    enqueue_raw(_package(func="tests.engine.nowhere.note"))
    enqueue_raw(_package(func=tasks.note))
    enqueue_raw(_package())
    enqueue(tasks.note, 7)

    workers = start_workers()
    log.wait("noted", 7)
    until(lambda: not OrmQ.objects.exists(), "the queue is empty")

    assert workers.process.poll() is None


def test_a_job_that_always_crashes_its_worker_is_dropped(
    start_workers: Start, log: JobLog
) -> None:
    workers = start_workers(JOB_TIMEOUT_SECONDS="1", JOB_RETRY_SECONDS="2")
    enqueue(tasks.stab, 1)
    until(lambda: not OrmQ.objects.exists(), "the job is gone")
    enqueue(tasks.note, 2)
    log.wait("noted", 2)

    assert len(log.lines("stabbed")) == broker.MAX_DELIVERIES
    assert workers.process.poll() is None


def test_a_job_that_takes_too_long_fails_and_its_worker_is_replaced(
    start_workers: Start, log: JobLog
) -> None:
    workers = start_workers(JOB_TIMEOUT_SECONDS="1", JOB_RETRY_SECONDS="60")
    enqueue(tasks.nap, 300, 301)
    until(lambda: Failure.objects.count() == 2, "both are recorded as failed")
    enqueue(tasks.note, 3)
    log.wait("noted", 3)

    assert not log.lines("ended")
    workers.await_all()


def test_workers_reconnect_after_the_database_ends_all_sessions(
    start_workers: Start, log: JobLog
) -> None:
    workers = start_workers()
    enqueue(tasks.note, 1)
    log.wait("noted", 1)
    # A job that is not acknowledged yet would run again, but only after its lease.
    until(lambda: not OrmQ.objects.exists(), "the first is concluded")

    _terminate_sessions()
    enqueue(tasks.note, 2)
    log.wait("noted", 2)
    until(lambda: not OrmQ.objects.exists(), "the second is concluded")

    assert workers.process.poll() is None


def test_a_cluster_without_progress_exits(start_workers: Start, log: JobLog) -> None:
    workers = start_workers("--patience", "1.5")
    workers.await_all()
    pusher = children(workers.sentinel)[-1]

    kill(pusher, signal.SIGSTOP)
    enqueue(tasks.note, 1)

    assert workers.end() == 70


def test_an_idle_cluster_does_not_exit(start_workers: Start, log: JobLog) -> None:
    workers = start_workers("--patience", "0.5")
    enqueue(tasks.nap, 3)
    log.wait("ended")
    enqueue(tasks.nap, 20, 21)
    log.wait("ended", 21)
    # Longer than the patience; the jobs took longer as well.
    assert workers.process.poll() is None


def _package(**job: object) -> str:
    defaults = {"id": "0" * 32, "name": "slipped", "args": (), "kwargs": {"pk": 0}}
    return str(SignedPackage.dumps(defaults | job))


def _is_listening() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'idle'"
            " AND datname = current_database() AND query LIKE 'LISTEN%')"
        )
        return bool(cursor.fetchone()[0])


def _terminate_sessions() -> None:
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    connection.close()
