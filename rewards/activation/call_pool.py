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
    """How one call ended, as its attempt records it."""

    row: Assignment
    outcome: Outcome
    receipt: str = ""
    evidence: wire.Evidence = field(default_factory=wire.Evidence)
    problem: str = ""
    error: wire.WireError | None = None
    delay: float = 0.0  # seconds until the row may be sent again, or asked about


Call = Callable[[Assignment], Receipt | None]


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
