"""Any process may be killed: nothing is left behind that goes on, and nothing hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from django.conf import settings
from django.db import transaction

from promoportal import jobs
from tests.engine import tasks
from tests.engine.conftest import Workers
from tests.engine.processes import Book, are_gone, children, family, kill, until

Start = Callable[..., Workers]

# The oldest first, as the sentinel starts them.
IDLE_WORKER, MONITOR, PUSHER = 0, 2, 3


def enqueue(task: jobs.Task, *keys: int) -> None:
    with transaction.atomic():
        for pk in keys:
            jobs.enqueue(task, pk=pk, queue="portal")


def test_a_busy_worker_is_replaced_and_the_others_go_on(
    start_workers: Start, book: Book
) -> None:
    workers = start_workers()
    enqueue(tasks.nap, 600)
    busy = book.wait("began").pid
    time.sleep(0.1)  # the worker tells its guard that it is busy before it begins

    kill(busy)
    enqueue(tasks.note, 1, 2)
    book.wait("noted", 2)

    workers.await_all()
    assert workers.process.poll() is None


@pytest.mark.parametrize(
    "which",
    [
        pytest.param(IDLE_WORKER, id="an idle worker"),
        pytest.param(MONITOR, id="the monitor"),
        pytest.param(PUSHER, id="the pusher"),
    ],
)
def test_whoever_may_hold_a_lock_takes_the_cluster_along(
    start_workers: Start, which: int
) -> None:
    workers = start_workers()
    workers.await_all()
    everyone = workers.family()

    kill(children(workers.sentinel)[which])

    assert workers.end(seconds=4) == 70
    until(lambda: are_gone(everyone), "nothing is left", seconds=2)


def test_without_its_main_process_a_cluster_ends(
    start_workers: Start, book: Book
) -> None:
    workers = start_workers()
    enqueue(tasks.nap, 600)
    book.wait("began")
    everyone = workers.family()

    kill(workers.process.pid)

    workers.end()
    until(lambda: are_gone(everyone), "nothing is left", seconds=2)


def test_without_its_sentinel_a_cluster_ends_and_says_so(
    start_workers: Start, book: Book
) -> None:
    workers = start_workers()
    enqueue(tasks.nap, 600)
    book.wait("began")
    everyone = workers.family()

    kill(workers.sentinel)

    assert workers.end(seconds=3) == 70
    until(lambda: are_gone(everyone), "nothing is left", seconds=2)


def test_where_the_system_does_not_tell_a_child_looks_for_its_parent() -> None:
    parent = _python(
        "import os, time; from promoportal.runtime import parent_death;"
        "mother = os.getpid();"
        "os.fork() or parent_death.poll_parent(mother);"
        "print('ready', flush=True); time.sleep(60)"
    )
    assert parent.stdout
    assert [parent.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    both = family(parent.pid)
    assert len(both) == 2

    kill(parent.pid)

    parent.communicate()
    until(lambda: are_gone(both), "the child is gone", seconds=2)


def test_a_child_that_comes_after_its_parents_death_does_not_stay() -> None:
    child = _python(
        "from promoportal.runtime import parent_death; parent_death.tie(); print('still here')",
        PORTAL_PARENT_PID="1" if os.getpid() != 1 else "2",
    )

    said, _ = child.communicate(timeout=10)

    assert (said, child.returncode) == ("", -9)


def _python(script: str, **changed: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=settings.BASE_DIR,
        env=os.environ | changed,
        stdout=subprocess.PIPE,
        text=True,
    )
