"""What the workers of these tests are given to do. Each says so in the book."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def write(what: str, pk: int = 0) -> None:
    """One line; a short write to the end of a file is whole."""
    with Path(os.environ["BOOK"]).open("a") as book:
        book.write(f"{what} {pk} {os.getpid()}\n")


def note(*, pk: int) -> None:
    write("noted", pk)


def sweep() -> None:
    write("swept")


def nap(*, pk: int) -> None:
    """Take `pk` tenths of a second."""
    write("began", pk)
    time.sleep(pk / 10)
    write("ended", pk)


def stab(*, pk: int) -> None:
    """Take the worker along."""
    write("stabbed", pk)
    os.kill(os.getpid(), signal.SIGKILL)
