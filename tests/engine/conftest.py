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
from tests.engine.processes import Book, children, family, kill, until


class Workers:
    """One real cluster of workers, on the tests' own database."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @property
    def sentinel(self) -> int:
        """The one child, parent of all that work."""
        (sentinel,) = children(self.process.pid)
        return sentinel

    def family(self) -> set[int]:
        return family(self.process.pid)

    def await_all(self) -> None:
        """The main process, the sentinel, two workers, the monitor and the pusher."""
        until(lambda: len(self.family()) == 6, "all six processes are there")

    def end(self, *, seconds: float = 20) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(timeout=seconds)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "book")


@pytest.fixture
def environment(transactional_db: None, book: Book) -> dict[str, str]:
    """Of a process that shares the tests' database and book."""
    return os.environ | {
        "DATABASE_URL": database_url(),
        "BOOK": str(book.path),
        "PYTHONPATH": str(settings.BASE_DIR),
        "Q_CLUSTER_NAME": "portal",
    }


@pytest.fixture
def start_workers(environment: dict[str, str]) -> Iterator[Callable[..., Workers]]:
    """Start clusters; whatever is left of them ends with the test."""
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
        put_down(workers.process)


def put_down(process: subprocess.Popen[str]) -> None:
    """End it, its descendants, and what it left behind if it is what a test is about."""
    for pid in family(process.pid):
        with suppress(ProcessLookupError):
            kill(pid)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
