"""
The job that activates rewards: claim them, send them, store the results.

Claims and results are stored in short transactions. No transaction is open during a
call. Each request is recorded before its call. If the worker is killed, its rewards
become `UNCERTAIN` when the lease ends, and `in_doubt` finds out their outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from executions.models import Execution, ExecutionProgress, ExecutionStop, Trigger
from promoportal import platforms, wire
from promoportal.db.leases import Lease
from promoportal.db.reconnecting_session import Session
from promoportal.platforms import Capability, Order, Platform, Receipt
from promoportal.resilience import circuit_breaker
from promoportal.resilience.circuit_breaker import Side
from promoportal.runtime import crash_points
from promoportal.runtime.crash_points import Point
from promoportal.runtime.time_budget import TimeBudget
from rewards import signals
from rewards.activation import platform_throttle
from rewards.activation.call_pool import CallResult, call_all
from rewards.activation.claims import (
    TURN,
    Claim,
    claim,
    claim_one,
    claimable,
    confirm_claim,
)
from rewards.activation.outcomes import conclude
from rewards.activation.request_lifetime import MAX_CALL_SECONDS
from rewards.models import Assignment

# A turn ends after this number of claims in a row that got no rows.
MAX_MISSES = 5
# Results per transaction. Results that are not stored yet are lost in a crash.
CONCLUDE_EVERY = 50


def activate() -> None:
    """
    Activate pending rewards, and begin no further call after `TURN` seconds.

    For each batch, the job selects an execution again. So a triggered reward does not
    wait until a campaign with a hundred thousand rewards is complete.
    """
    with (
        closing(platforms.from_settings()) as platform,
        platform_throttle.to_call() as threads,
    ):
        if not threads:
            return  # other workers have all permits, and activate the rewards
        _take_turns(platform, threads)
    if is_due(platform.capability):
        with transaction.atomic():
            signals.owed.send(Execution)


def activate_one(pk: int) -> None:
    """
    Activate one reward that a user waits for, if a call is permitted now.

    Otherwise, or if another such job is running, `activate` finds the reward.
    """
    with (
        closing(platforms.from_settings()) as platform,
        platform_throttle.to_call_once() as threads,
    ):
        if threads:
            budget, capability = TimeBudget(TURN), platform.capability
            _activate(lambda _: claim_one(pk, capability), platform, budget, threads)


def _take_turns(platform: Platform, threads: int) -> None:
    budget = TimeBudget(TURN)
    misses = 0
    for turn in count():
        if budget.is_spent() or misses == MAX_MISSES:
            return
        # Otherwise, failing rewards of triggered customers could get every probe.
        every_other = turn % 2 == 0 and not circuit_breaker.is_half_open(Side.PLATFORM)
        due = due_executions(platform.capability, triggered_first=every_other).first()
        if due is None or circuit_breaker.is_open(Side.PLATFORM):
            return
        batch = partial(claim, due.pk, platform.capability)
        activated = _activate(batch, platform, budget, threads)
        misses = 0 if activated else misses + 1


def _activate(
    claim_most: Callable[[int], Claim | None],
    platform: Platform,
    budget: TimeBudget,
    threads: int,
) -> bool:
    """Claim rewards and send them; return whether any were claimed."""
    most = platform_throttle.chunk_of(platform, threads)
    taken = platform_throttle.take_if_permitted(claim_most, most)
    if taken is None:
        return False
    crash_points.at(Point.ACTIVATING_CLAIMED)
    carry_out(taken, platform, budget, threads)
    return True


def is_due(capability: Capability | None = None) -> bool:
    """Return whether a reward is due, and the circuit breaker permits calls."""
    if circuit_breaker.is_open(Side.PLATFORM):
        return False
    return due_executions(capability or platforms.current_capability()).exists()


def due_executions(
    capability: Capability, *, triggered_first: bool = False
) -> QuerySet[Execution]:
    """
    Return running executions that have rewards to send now, in random order.

    With `triggered_first`, executions with triggered customers come first. The job sets
    it for every other batch, so that these customers wait for about one other batch.
    """
    pending = claimable(capability).filter(execution=OuterRef("pk"))
    running = Execution.objects.filter(stop=ExecutionStop.NONE).exclude(
        state=ExecutionProgress.SETTLED
    )
    due = running.filter(Exists(pending))
    if not triggered_first:
        return due.order_by("?")
    triggers = Trigger.objects.filter(execution=OuterRef("pk"))
    return due.annotate(triggered=Exists(triggers)).order_by("-triggered", "?")


def carry_out(
    taken: Claim, platform: Platform, budget: TimeBudget, threads: int
) -> None:
    """Send the claimed rewards, and store results while other calls are running."""
    sending = _Sending(taken, platform, budget)
    answers = call_all(
        sending.rows(), sending.send, threads=threads, may_begin=sending.may_begin
    )
    every = CONCLUDE_EVERY if platform.capability.settles_by_itself else 1
    with closing(answers):
        while part := list(islice(answers, every)):
            crash_points.at(Point.ACTIVATING_ANSWERED)
            sending.conclude(part)
            crash_points.at(Point.ACTIVATING_CONCLUDED)
    sending.session.end()


@dataclass
class _Sending:
    """The calls for one claim, with the database session that stores their results."""

    taken: Claim
    platform: Platform
    budget: TimeBudget
    session: Session = field(default_factory=Session)
    leases: dict[int, Lease] = field(default_factory=dict)
    is_paused: bool = False

    def may_begin(self) -> bool:
        """Return whether a call may begin; if not, the row is not sent."""
        over = self.is_paused or self.session.lost or self.budget.is_spent()
        return not over and self.taken.lease.left() > MAX_CALL_SECONDS

    def rows(self) -> Iterator[Assignment]:
        """Yield rows; if the platform is not idempotent, confirm their claims first."""
        for row in self.taken.rows:
            self.leases[row.pk] = self.taken.lease
            if self.may_begin() and not self.platform.capability.idempotent:
                self.session.lasts(partial(self._confirm, row))
            if row.pk in self.leases:
                yield row

    def _confirm(self, row: Assignment) -> None:
        lease = confirm_claim(self.taken, row)
        if lease is None:
            del self.leases[row.pk]  # the claim on the row has ended
        else:
            self.leases[row.pk] = lease

    def send(self, row: Assignment) -> Receipt:
        return send(row, self.platform, self.leases[row.pk])

    def conclude(self, part: Sequence[CallResult]) -> None:
        self.session.run_with_reconnect(
            partial(conclude, self.taken, part), within=MAX_CALL_SECONDS
        )
        self.session.lasts(partial(self._update_breaker, part))

    def _update_breaker(self, part: Sequence[CallResult]) -> None:
        platform_throttle.record_results(part)
        self.is_paused = circuit_breaker.is_open(Side.PLATFORM)


def send(row: Assignment, platform: Platform, lease: Lease) -> Receipt:
    """
    Send a reward to the platform, unless the lease ends before the first byte is sent.

    :raises wire.WireError: if the call fails, or was not made
    """
    if row.key is None or row.order is None:
        raise wire.Rejected(f"{row} has no key.")
    with wire.only_while(lambda: lease.left() > 0):
        return platform.activate(Order.from_json(row.order), key=row.key)
