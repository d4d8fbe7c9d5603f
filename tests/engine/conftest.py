from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings

from bench.clusters import database_url
from tests.engine.processes import JobLog, children, family, kill, until


class Workers:
    """A real cluster of workers on the tests' database."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @property
    def sentinel(self) -> int:
        """The cluster's one child, the parent of its other processes."""
        (sentinel,) = children(self.process.pid)
        return sentinel

    def family(self) -> set[int]:
        return family(self.process.pid)

    def await_all(self) -> None:
        """Wait for main process, sentinel, two workers, monitor and pusher."""
        until(lambda: len(self.family()) == 6, "all six processes are there")

    def end(self, *, seconds: float = 20) -> int:
        """Wait for the cluster to exit. Return its exit code."""
        return self.process.wait(timeout=seconds)


@pytest.fixture
def log(tmp_path: Path) -> JobLog:
    return JobLog(tmp_path / "book")


@pytest.fixture
def environment(transactional_db: None, log: JobLog) -> dict[str, str]:
    """The environment of a process that shares the tests' database and job log."""
    return os.environ | {
        "DATABASE_URL": database_url(),
        "BOOK": str(log.path),
        "PYTHONPATH": str(settings.BASE_DIR),
        "Q_CLUSTER_NAME": "portal",
    }


@pytest.fixture
def start_workers(environment: dict[str, str]) -> Iterator[Callable[..., Workers]]:
    """Start clusters, which are killed at the end of the test."""
    started: list[Workers] = []

    def start(*arguments: str, **changed: str) -> Workers:
        workers = Workers(
            subprocess.Popen(
                [
                    *(sys.executable, str(settings.BASE_DIR / "manage.py")),
                    *("runworkers", "--queue", "portal", "--skip-checks", *arguments),
                ],
                env=environment | changed,
                text=True,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        )
        started.append(workers)
        return workers

    yield start
    for workers in started:
        kill_family(workers.process)


def kill_family(process: subprocess.Popen[str]) -> None:
    """Kill a process, its descendants, and the processes that it left behind."""
    for pid in family(process.pid):
        with suppress(ProcessLookupError):
            kill(pid)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
