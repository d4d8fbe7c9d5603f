"""
Turning rewards on at the platform: claim, call, conclude.

A short transaction, the wire with no transaction, a short transaction. Whatever kills us
in between, the attempt is on record, the lease runs out, and settling finds out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from executions.models import Execution, Progress, Stop
from promoportal import breakers, platforms, wire
from promoportal.breakers import Gate, Side
from promoportal.leases import Budget
from promoportal.platforms import Order, Platform, Receipt
from rewards import signals
from rewards.calling import Answered, Outcome, call_all
from rewards.claiming import CHUNK, Claim, claim, claimable
from rewards.concluding import conclude
from rewards.models import Assignment

# Seconds one call can take, connecting included, with some to spare.
LONGEST_CALL = 20.0
# Seconds a job goes on claiming, so that several executions take turns.
TURN = 8.0
# Finding everything claimed by others this often in a row ends a turn.
MOST_MISSES = 5
# Written back so often, which bounds what a crash leaves in doubt.
CONCLUDE_EVERY = 50

# Outcomes that do not show whether the platform takes our token.
_SAYS_NOTHING = {Outcome.NOT_SENT, Outcome.UNAVAILABLE}


def activate() -> None:
    """
    Activate what is owed, for one turn: some of one execution, then some of another, so
    that no campaign of a hundred thousand keeps a triggered reward waiting.
    """
    budget = Budget(TURN)
    with closing(platforms.from_settings()) as platform:
        misses = 0
        while not budget.is_spent() and misses < MOST_MISSES:
            execution = due_executions().first()
            if execution is None:
                return
            most = _most(platform)
            if not most:
                return
            taken = _claim(execution.pk, platform, most)
            misses = 0 if taken else misses + 1
            if taken:
                carry_out(taken, platform, budget)
    if is_due():
        with transaction.atomic():
            signals.owed.send(Execution)


def activate_one(pk: int) -> None:
    """Activate one assignment now: someone is waiting for it."""
    row = Assignment.objects.only("execution").get(pk=pk)
    with closing(platforms.from_settings()) as platform:
        most = _most(platform)
        taken = most and _claim(row.execution_id, platform, most, only=pk)
        if taken:
            carry_out(taken, platform, Budget(TURN))


def is_due() -> bool:
    """Whether a job would find something to send."""
    return not breakers.rests(Side.PLATFORM) and due_executions().exists()


def due_executions() -> QuerySet[Execution]:
    """Executions that owe something right now and are not stopped, in turns."""
    capability = platforms.from_settings().capability
    owed = claimable(capability).filter(execution=OuterRef("pk"))
    running = Execution.objects.filter(stop=Stop.NONE).exclude(state=Progress.SETTLED)
    return running.filter(Exists(owed)).order_by("?")


def _most(platform: Platform) -> int:
    """How many may be sent now: a chunk, one that tries a closed door, or none."""
    gate = breakers.gate(Side.PLATFORM)
    if gate is Gate.OPEN:
        return 0
    return 1 if gate is Gate.PROBE else chunk_of(platform)


def _claim(
    execution_pk: int, platform: Platform, most: int, only: int | None = None
) -> Claim | None:
    return claim(execution_pk, capability=platform.capability, most=most, only=only)


def chunk_of(platform: Platform) -> int:
    """
    How many rows a crash may leave in doubt.

    Where doubt can only be settled by a person, no more than are under way at once.
    """
    capability = platform.capability
    is_settled_by_itself = capability.idempotent or capability.askable
    return CHUNK if is_settled_by_itself else settings.PLATFORM_CONCURRENCY


def carry_out(taken: Claim, platform: Platform, budget: Budget) -> None:
    answers = call_all(
        taken.rows,
        lambda row: send(row, platform),
        threads=settings.PLATFORM_CONCURRENCY,
        may_begin=lambda: taken.lease.left() > LONGEST_CALL and not budget.is_spent(),
    )
    for part in _parts(answers, _written_back_every(platform)):
        conclude(taken, part)
        heed(part)


def _written_back_every(platform: Platform) -> int:
    return CONCLUDE_EVERY if chunk_of(platform) == CHUNK else 1


def send(row: Assignment, platform: Platform) -> Receipt:
    if row.key is None or row.order is None:
        raise wire.Rejected(f"{row} has no key.")
    return platform.activate(Order.from_json(row.order), key=row.key)


def _parts(answers: Iterator[Answered], size: int) -> Iterator[list[Answered]]:
    while part := list(islice(answers, size)):
        yield part


def heed(answers: Sequence[Answered]) -> None:
    """
    Open the platform's breaker if all that was said is that we are set up wrongly.

    What is forbidden for one customer while others are served is that row's matter.
    """
    said = [answer for answer in answers if answer.outcome not in _SAYS_NOTHING]
    forbidden = [
        a.error for a in said if a.outcome == Outcome.MISCONFIGURED and a.error
    ]
    if len(forbidden) < len(said):
        breakers.passed(Side.PLATFORM)
    elif forbidden:
        breakers.trip(Side.PLATFORM, forbidden[0])
