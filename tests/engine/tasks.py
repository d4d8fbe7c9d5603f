"""Tasks for the workers of these tests. Each writes to the job log."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def write(what: str, pk: int = 0) -> None:
    """Write one line: a short write at the end of a file is atomic."""
    with Path(os.environ["BOOK"]).open("a") as log:
        log.write(f"{what} {pk} {os.getpid()}\n")


def note(*, pk: int) -> None:
    write("noted", pk)


def sweep() -> None:
    write("swept")


def nap(*, pk: int) -> None:
    """Run for `pk` tenths of a second."""
    write("began", pk)
    time.sleep(pk / 10)
    write("ended", pk)


def stab(*, pk: int) -> None:
    """Kill the worker."""
    write("stabbed", pk)
    os.kill(os.getpid(), signal.SIGKILL)
