"""Calling the platform for many rows at once, and what came of each call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from threading import Event

from promoportal import wire
from promoportal.platforms import Receipt
from rewards.models import Assignment, Attempt

Outcome = Attempt.Outcome


@dataclass(frozen=True)
class CallResult:
    """What came of one call, in the words of an attempt."""

    row: Assignment
    outcome: Outcome
    problem: str = ""
    receipt: str = ""
    status: int | None = None
    answer: str = ""
    duration_ms: int = 0
    retry_after: float | None = None
    error: wire.WireError | None = None


Call = Callable[[Assignment], Receipt | None]

_OUTCOMES: dict[type[wire.WireError], Outcome] = {
    wire.Unavailable: Outcome.UNAVAILABLE,
    wire.Unanswered: Outcome.UNANSWERED,
    wire.Rejected: Outcome.REFUSED,
    wire.Malformed: Outcome.MALFORMED,
    wire.Misconfigured: Outcome.MISCONFIGURED,
}


def call_all(
    rows: Iterable[Assignment],
    call: Call,
    *,
    threads: int,
    may_begin: Callable[[], bool],
) -> Generator[CallResult, None, None]:
    """
    Call for each row from a pool of threads, and yield what came as it comes.

    Rows are taken up lazily: once `may_begin` says no, the rest is handed back unsent.
    The threads only call; whoever iterates talks to the database, also where it says
    which row is next. Whoever stops iterating closes this: no call begins after that,
    of which nobody would write down what came.
    """
    stopped = Event()
    waiting = iter(rows)
    with ThreadPoolExecutor(threads) as pool:

        def begin(row: Assignment) -> Future[CallResult]:
            return pool.submit(
                _call, row, call, lambda: may_begin() and not stopped.is_set()
            )

        try:
            under_way = {begin(row) for row in islice(waiting, threads)}
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                under_way |= {begin(row) for row in islice(waiting, len(done))}
                yield from (future.result() for future in done)
        finally:
            stopped.set()


def _call(row: Assignment, call: Call, may_begin: Callable[[], bool]) -> CallResult:
    # Asked here, in the thread and last of all: no call may start on a lease that could
    # end before the call does.
    if not may_begin():
        return CallResult(row, Outcome.NOT_SENT)
    try:
        receipt = call(row)
    except wire.WireError as error:
        return _failed(row, error)
    if receipt is None:
        return CallResult(row, Outcome.NOT_FOUND)
    return CallResult(
        row,
        Outcome.GIVEN,
        receipt=receipt.reference,
        status=receipt.evidence.status,
        answer=receipt.evidence.answer,
        duration_ms=receipt.evidence.duration_ms,
    )


def _failed(row: Assignment, error: wire.WireError) -> CallResult:
    kind = next(kind for kind in _OUTCOMES if isinstance(error, kind))
    return CallResult(
        row,
        _OUTCOMES[kind],
        problem=str(error),
        status=error.status,
        answer=error.answer,
        duration_ms=error.duration_ms,
        retry_after=getattr(error, "retry_after", None),
        error=error,
    )
