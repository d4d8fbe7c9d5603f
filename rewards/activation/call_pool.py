"""A thread pool that calls the platform for many rows, and the result of each call."""

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
    """The result of one call, to be recorded in its `Attempt`."""

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
    Call once per row in a pool of threads, and yield each result when it is known.

    A row is taken from `rows` only when a thread is free. If `may_begin` returns False
    before the call, the outcome of the row is `NOT_SENT`. Only `call` and `may_begin`
    run in the threads, and they must not use the database. A caller that stops early
    must close the generator. Otherwise, more calls begin, and their results are lost.
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
    # Checked directly before the call, because the lease must outlast the call.
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
