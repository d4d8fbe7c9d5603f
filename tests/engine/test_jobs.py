"""A job and the rows it is about are saved together, and each job runs once."""

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
from tests.engine.conftest import Workers, put_down
from tests.engine.processes import Book, are_gone, children, kill, until

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., Workers]


def enqueue(task: jobs.Task, *keys: int) -> None:
    with transaction.atomic():
        for pk in keys:
            jobs.enqueue(task, pk=pk, queue="portal")


def slip_in(payload: str) -> None:
    """A job that did not come through our door."""
    broker.PortalBroker("portal").enqueue(payload)


def test_a_transaction_that_is_rolled_back_leaves_no_job() -> None:
    with transaction.atomic():
        jobs.enqueue(tasks.note, pk=1, queue="portal")
        transaction.set_rollback(True)

    assert jobs.waiting("portal") == 0


def test_a_job_apart_from_the_rows_it_is_about_is_refused() -> None:
    with pytest.raises(jobs.NotInTransaction):
        jobs.enqueue(tasks.note, pk=1, queue="portal")

    assert not OrmQ.objects.exists()


def test_a_job_waits_in_its_own_queue() -> None:
    with transaction.atomic():
        jobs.enqueue_sweep(tasks.sweep, queue="bulk")

    assert [jobs.waiting(queue) for queue in jobs.QUEUES] == [0, 0, 1]


def test_a_job_rings_when_it_commits(environment: dict[str, str]) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.waiting_process"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        until(_someone_listens, "someone waits for the bell")

        enqueue(tasks.note, 1)

        said, _ = waiting.communicate(timeout=20)
    finally:
        put_down(waiting)
    assert said.split() == [str(OrmQ.objects.get().pk)]


def test_two_clusters_on_one_queue_run_each_job_once(
    start_workers: Start, book: Book
) -> None:
    enqueue(tasks.note, *range(40))

    clusters = [start_workers(), start_workers()]
    for cluster in clusters:
        cluster.await_all()
    enqueue(tasks.note, *range(40, 80))
    until(lambda: not OrmQ.objects.exists(), "all jobs are concluded")

    noted = [line.pk for line in book.lines("noted")]
    assert sorted(noted) == list(range(80))


def test_a_cluster_asked_to_stop_finishes_what_runs_and_ends_with_0(
    start_workers: Start, book: Book
) -> None:
    workers = start_workers()
    enqueue(tasks.nap, 15)
    book.wait("began")
    family = workers.family()

    workers.process.terminate()

    assert workers.end() == 0
    assert len(book.lines("ended")) == 1
    assert not OrmQ.objects.exists()
    assert are_gone(family)


def test_what_can_not_be_run_is_dropped_and_the_next_job_runs(
    start_workers: Start, book: Book
) -> None:
    slip_in("no signature")
    slip_in(_package(func="tests.engine.tasks.gone"))
    slip_in(_package(func="tests.engine.nowhere.note"))
    slip_in(_package(func=tasks.note))
    slip_in(_package())
    enqueue(tasks.note, 7)

    workers = start_workers()
    book.wait("noted", 7)
    until(lambda: not OrmQ.objects.exists(), "the queue is empty")

    assert workers.process.poll() is None


def test_a_job_that_always_kills_its_worker_is_dropped_in_the_end(
    start_workers: Start, book: Book
) -> None:
    workers = start_workers(JOB_TIMEOUT_SECONDS="1", JOB_RETRY_SECONDS="2")
    enqueue(tasks.stab, 1)
    until(lambda: not OrmQ.objects.exists(), "the job is gone")
    enqueue(tasks.note, 2)
    book.wait("noted", 2)

    assert len(book.lines("stabbed")) == broker.MAX_DELIVERIES
    assert workers.process.poll() is None


def test_a_job_that_takes_too_long_fails_and_its_worker_is_replaced(
    start_workers: Start, book: Book
) -> None:
    workers = start_workers(JOB_TIMEOUT_SECONDS="1", JOB_RETRY_SECONDS="60")
    enqueue(tasks.nap, 300, 301)
    until(lambda: Failure.objects.count() == 2, "both are recorded as failed")
    enqueue(tasks.note, 3)
    book.wait("noted", 3)

    assert not book.lines("ended")
    workers.await_all()


def test_a_database_that_throws_everyone_out_is_come_back_to(
    start_workers: Start, book: Book
) -> None:
    workers = start_workers()
    enqueue(tasks.note, 1)
    book.wait("noted", 1)
    # What is not acknowledged yet would come again, but only after its lease.
    until(lambda: not OrmQ.objects.exists(), "the first is concluded")

    _throw_everyone_out()
    enqueue(tasks.note, 2)
    book.wait("noted", 2)
    until(lambda: not OrmQ.objects.exists(), "the second is concluded")

    assert workers.process.poll() is None


def test_a_cluster_that_does_not_move_gives_itself_up(
    start_workers: Start, book: Book
) -> None:
    workers = start_workers("--patience", "1.5")
    workers.await_all()
    pusher = children(workers.sentinel)[-1]

    kill(pusher, signal.SIGSTOP)
    enqueue(tasks.note, 1)

    assert workers.end() == 70


def test_a_cluster_with_nothing_to_do_does_not_give_up(
    start_workers: Start, book: Book
) -> None:
    workers = start_workers("--patience", "0.5")
    enqueue(tasks.nap, 3)
    book.wait("ended")
    enqueue(tasks.nap, 20, 21)
    book.wait("ended", 21)
    # Longer than the patience, and the jobs took longer than it too.
    assert workers.process.poll() is None


def _package(**job: object) -> str:
    whole = {"id": "0" * 32, "name": "slipped", "args": (), "kwargs": {"pk": 0}}
    return str(SignedPackage.dumps(whole | job))


def _someone_listens() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'idle'"
            " AND datname = current_database() AND query LIKE 'LISTEN%')"
        )
        return bool(cursor.fetchone()[0])


def _throw_everyone_out() -> None:
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    connection.close()
