"""Call the platform for many rows at once, and return how each call ended."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from threading import Event

from promoportal import wire
from promoportal.platforms import Receipt
from promoportal.resilience import outcome_policy
from rewards.models import Assignment, Attempt

Outcome = Attempt.Outcome


@dataclass(frozen=True)
class CallResult:
    """The result of one call, as its attempt records it."""

    row: Assignment
    outcome: Outcome
    receipt: str = ""
    evidence: wire.Evidence = field(default_factory=wire.Evidence)
    problem: str = ""
    error: wire.WireError | None = None
    delay: float = 0.0  # seconds until the row may be sent or looked up again


Call = Callable[[Assignment], Receipt | None]


def call_all(
    rows: Iterable[Assignment],
    call: Call,
    *,
    threads: int,
    may_begin: Callable[[], bool],
) -> Generator[CallResult, None, None]:
    """
    Call for each row from a pool of threads, and yield each result when it is known.

    Rows are read one by one. Once `may_begin` returns False, the remaining rows have
    the outcome `NOT_SENT`. The threads use no database connection: `rows` and the
    results are iterated in the caller's thread. A caller that stops early must close
    the generator, so that no call begins whose result would not be stored.
    """
    stopped = Event()
    waiting = iter(rows)
    with ThreadPoolExecutor(threads) as pool:

        def begin(row: Assignment) -> Future[CallResult]:
            return pool.submit(
                _call, row, call, lambda: may_begin() and not stopped.is_set()
            )

        try:
            running = {begin(row) for row in islice(waiting, threads)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {begin(row) for row in islice(waiting, len(done))}
                yield from (future.result() for future in done)
        finally:
            stopped.set()


def _call(row: Assignment, call: Call, may_begin: Callable[[], bool]) -> CallResult:
    # Checked in the thread, directly before the call: the lease must outlast the call.
    if not may_begin():
        return CallResult(row, Outcome.NOT_SENT)
    try:
        receipt = call(row)
    except wire.WireError as error:
        return CallResult(
            row,
            Outcome(outcome_policy.outcome_of(error)),
            evidence=error.record,
            problem=error.problem,
            error=error,
            delay=outcome_policy.delay_after(error, row.failures),
        )
    if receipt is None:
        return CallResult(row, Outcome.NOT_FOUND)
    return CallResult(row, Outcome.GIVEN, receipt.reference, receipt.evidence)
