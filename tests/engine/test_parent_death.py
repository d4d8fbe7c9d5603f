"""Any process may be killed: no process stays behind, and none hangs."""

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
from tests.engine.processes import JobLog, are_gone, children, family, kill, until

Start = Callable[..., Workers]

# Oldest first, in the order in which the sentinel starts them.
IDLE_WORKER, MONITOR, PUSHER = 0, 2, 3


def enqueue(task: jobs.Task, *keys: int) -> None:
    with transaction.atomic():
        for pk in keys:
            jobs.enqueue(task, pk=pk, queue="portal")


def test_a_crashed_busy_worker_is_replaced_and_the_others_continue(
    start_workers: Start, log: JobLog
) -> None:
    workers = start_workers()
    enqueue(tasks.nap, 600)
    busy = log.wait("began").pid
    time.sleep(0.1)  # the worker reports that it is busy before it begins

    kill(busy)
    enqueue(tasks.note, 1, 2)
    log.wait("noted", 2)

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
def test_a_crash_of_a_process_that_may_have_a_lock_ends_the_cluster(
    start_workers: Start, which: int
) -> None:
    workers = start_workers()
    workers.await_all()
    all_pids = workers.family()

    kill(children(workers.sentinel)[which])

    assert workers.end(seconds=4) == 70
    until(lambda: are_gone(all_pids), "nothing is left", seconds=2)


def test_a_cluster_exits_with_its_main_process(
    start_workers: Start, log: JobLog
) -> None:
    workers = start_workers()
    enqueue(tasks.nap, 600)
    log.wait("began")
    all_pids = workers.family()

    kill(workers.process.pid)

    workers.end()
    until(lambda: are_gone(all_pids), "nothing is left", seconds=2)


def test_a_cluster_exits_with_its_sentinel_and_reports_it(
    start_workers: Start, log: JobLog
) -> None:
    workers = start_workers()
    enqueue(tasks.nap, 600)
    log.wait("began")
    all_pids = workers.family()

    kill(workers.sentinel)

    assert workers.end(seconds=3) == 70
    until(lambda: are_gone(all_pids), "nothing is left", seconds=2)


def test_a_child_polls_its_parent_where_the_system_does_not_signal() -> None:
    parent = _python(
        "import os, time; from promoportal.runtime import parent_death;"
        "mother = os.getpid();"
        "os.fork() or parent_death.poll_parent(mother);"
        "print('ready', flush=True); time.sleep(60)"
    )
    assert parent.stdout
    assert [parent.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    pids = family(parent.pid)
    assert len(pids) == 2

    kill(parent.pid)

    parent.communicate()
    until(lambda: are_gone(pids), "the child is gone", seconds=2)


def test_a_child_that_starts_after_its_parent_exited_exits_as_well() -> None:
    child = _python(
        "from promoportal.runtime import parent_death; parent_death.exit_with_parent(); print('still here')",
        PORTAL_PARENT_PID="1" if os.getpid() != 1 else "2",
    )

    output, _ = child.communicate(timeout=10)

    assert (output, child.returncode) == ("", -9)


def _python(script: str, **changed: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=settings.BASE_DIR,
        env=os.environ | changed,
        stdout=subprocess.PIPE,
        text=True,
    )
