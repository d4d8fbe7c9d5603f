"""The end of a fault test: wait until the work is done, then count the results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from bench.chaos.fault_injection import RECOVERY, FaultTest
from bench.chaos.target import SystemUnderTest
from bench.chaos.throughput import rate

# Seconds between two queries of the portal's rows, each of which starts a process.
_EVERY = 3.0
# Work that takes more than `patience` seconds is too late. The test then waits longer,
# up to this multiple: while ledgers change, they do not show which rewards are lost.
_MAX_LENGTH = 5

# Counts rows of the portal: those that still change, those that need review by reason,
# and those that are possibly activated without a record of what was sent.
_LEFT = """
import json
from django.db.models import Count, Exists, OuterRef, Q
from executions.models import Delivery, Execution, Trigger
from promoportal.db.database_identity import Gap
from redemptions.models import Redemption
from rewards.models import Assignment, Attempt, Collection

def why(rows):
    held = rows.filter(state="HELD").values_list("reason")
    return dict(held.annotate(Count("pk")).order_by())

rows, reports = Assignment.objects.all(), Redemption.objects.all()
every = [rows, reports, *(
    model.objects.all() for model in (Delivery, Trigger, Collection)
)]
# Rows of an execution that is over a limit wait until staff resume it.
stopped = rows.filter(execution__stop="HELD", state="OWED")
moving = ["OWED", "ACTIVATING", "UNCERTAIN", "WAITING", "REPORTING", "UNREAD", "COLLECTING"]
sent = Attempt.objects.filter(assignment=OuterRef("pk"))
proven = Exists(sent) & Q(order__isnull=False, first_sent_at__isnull=False)
# What was sent in the last seconds before a failover is not recorded any more.
proven |= Q(first_sent_at__in=Gap.objects.values("since"))
print(json.dumps({
    "moving": sum(some.filter(state__in=moving).count() for some in every)
    - stopped.count(),
    "stopped": list(Execution.objects.filter(stop="HELD").values_list(
        "reference", flat=True
    )),
    "cancelled": list(Execution.objects.filter(stop="CANCELLED").values_list(
        "reference", flat=True
    )),
    "waived": dict(Collection.objects.exclude(waived=None).values_list(
        "execution__reference", "waived"
    )),
    "paused": Execution.objects.filter(stop="PAUSED").count(),
    "written_off": rows.filter(state="VOID", reason="WRITTEN_OFF").count(),
    "rewards_held": why(rows),
    "others_held": [why(some) for some in every[1:]],
    "lists_held": list(Collection.objects.filter(state="HELD").values_list(
        "execution__reference", flat=True
    )),
    "unproven": rows.filter(doubtful=True).exclude(proven).count(),
}))
"""


@dataclass(frozen=True)
class Verdict:
    """The result of a fault test."""

    seed: int
    rewards: int  # assigned by Optimove
    credits: int
    most_credits: int  # of one reward
    doubled: int
    lost: int  # not credited, and neither in review nor of unknown outcome
    unlisted: int  # assigned, but missing; the assignment fetch needs review
    uncalled_for: int
    different: int
    unreported: int
    premature: int  # redeemed and never credited
    uncertain: int
    moving: int  # rows of any kind with unfinished work
    held: int  # rows of any kind that need review
    held_why: dict[str, int]
    unproven: int  # possibly activated, without a record of what was sent
    drift: int
    over_limit: int  # executions whose credits passed a limit that staff did not waive
    not_stopped: int  # executions over a limit that were neither stopped nor waived
    written_off: int  # by staff
    cancelled: int  # rewards of cancelled executions that were not credited
    sent_again: int  # webhooks that a promoted standby did not have
    rate_before: float  # credits per second
    rate_during: float
    rate_after: float
    recoveries: list[tuple[str, float | None]]  # after each return of the database
    recovered: list[float | None]  # seconds, after outages without other faults
    seconds_to_settle: float
    patience: float  # seconds in which all work should be done
    opened_by_hand: int  # executions without a received webhook
    blows: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Return whether rewards exist, and none is doubled, lost or wrong."""
        wrong = self.doubled + self.lost + self.uncalled_for + self.different
        wrong += self.premature + self.unproven + self.over_limit + self.not_stopped
        return bool(self.rewards) and self.most_credits <= 1 and not wrong

    @property
    def is_settled(self) -> bool:
        """Return whether no work is left, also for staff, and all was done in time."""
        left = self.uncertain + self.moving + self.held
        in_time = self.seconds_to_settle <= self.patience
        in_time = in_time and not self.is_slow
        return in_time and not left + self.unreported + self.drift

    @property
    def is_slow(self) -> bool:
        """Return whether the rate was not back in time after one of the outages."""
        return any(each is None or each > RECOVERY for each in self.recovered)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.is_clean, "settled": self.is_settled}


def settle(stage: SystemUnderTest, test: FaultTest, *, patience: float) -> float:
    """
    Wait until no automatic work is left, or the maximum time ends; return the seconds.

    First, the executions of `unannounced` are opened, as staff do after a loss of
    webhooks. A scheduled execution with a webhook that got a 200 is not opened: the
    portal has accepted that webhook.
    """
    began = time.monotonic()
    # A frozen process may hold row locks that opening an execution would wait for.
    while not test.thaw():
        time.sleep(_EVERY)
    if test.has_staff:
        test.staff.finish()
    left = stage.ask(_LEFT)
    opened = [one for one in test.unannounced if one not in left["cancelled"]]
    stage.manage_each("open", opened)
    while time.monotonic() - began < patience * _MAX_LENGTH:
        left = stage.ask(_LEFT)
        if test.thaw() and not _work_left(left, has_staff=test.has_staff):
            break
        if test.has_staff:
            test.staff.finish()
        time.sleep(_EVERY)
    return round(time.monotonic() - began, 1)


def _work_left(left: dict[str, Any], *, has_staff: bool) -> int:
    """Return how many rows change by themselves, or wait for what staff will do."""
    reviews = sum(left["rewards_held"].values()) + left["paused"]
    return int(left["moving"] + (reviews if has_staff else 0))


def _agreements(
    stage: SystemUnderTest, test: FaultTest, left: dict[str, Any]
) -> Counter[str]:
    """Count the assigned rewards and each kind of difference, for all executions."""
    found: Counter[str] = Counter()
    for occurrence in test.occurrences:
        agreement = stage.look(f"ledger?occurrence={occurrence}")["agreement"]
        agreement.pop("examples")
        if occurrence in left["cancelled"]:
            found["cancelled"] += agreement["missing"]
        elif occurrence in left["stopped"]:
            found["stopped"] += agreement["missing"]
        elif occurrence in left["lists_held"]:
            found["unlisted"] += agreement["missing"]
        found.update(agreement)
    return found


def over_limit(test: FaultTest, waived: Mapping[str, Any]) -> int:
    """Count the executions whose credits passed a limit that staff did not waive."""
    customers = int(test.plan.limits["LIMIT_CUSTOMERS"])
    parts = (part.split("=") for part in test.plan.limits["LIMIT_VALUE"].split(","))
    values = {unit.casefold(): Decimal(value) for unit, value in parts}
    return sum(
        is_over(
            *test.record.totals(occurrence),
            waived=waived.get(occurrence, {}),
            customers=customers,
            values=values,
        )
        for occurrence in test.occurrences
    )


def is_over(
    count: int,
    sums: Mapping[str, Decimal],
    *,
    waived: Mapping[str, Any],
    customers: int,
    values: Mapping[str, Decimal],
) -> bool:
    """Return whether credits pass a limit, and what staff approved when resuming."""
    approved = waived.get("value", {}).items()
    allowed = {unit.casefold(): Decimal(value) for unit, value in approved}
    return count > max(customers, waived.get("customers", 0)) or any(
        sums.get(unit, 0) > max(most, allowed.get(unit, most))
        for unit, most in values.items()
    )


def judge(
    stage: SystemUnderTest, test: FaultTest, seconds: float, *, patience: float
) -> Verdict:
    """Return the result, from the counts of the portal, the platform and Optimove."""
    left = stage.ask(_LEFT)
    ledgers = _agreements(stage, test, left)
    portal: Counter[str] = Counter()
    for figures in stage.manage_each("reconcile", test.occurrences):
        portal.update({k: v for k, v in figures.items() if k != "occurrence"})
    platform = stage.look("ledger")["platform"]
    rewards_held = Counter(left["rewards_held"])
    held = sum(map(Counter, left["others_held"]), rewards_held)
    waiting = rewards_held.total() + portal["uncertain"] + left["written_off"]
    waiting += sum(ledgers[kind] for kind in ("unlisted", "cancelled", "stopped"))
    times = test.record.times()
    recoveries = test.recoveries()
    return Verdict(
        seed=test.seed,
        rewards=ledgers["assigned"],
        credits=platform["credits"],
        most_credits=platform["most_per_assignment"],
        doubled=ledgers["doubled"],
        # The greater number of two: by the portal's figures, and by the platform's.
        lost=max(
            _lost(ledgers["assigned"], portal["active"] + waiting),
            _lost(ledgers["missing"], waiting),
        ),
        unlisted=ledgers["unlisted"],
        uncalled_for=ledgers["uncalled_for"],
        different=ledgers["different"],
        unreported=ledgers["unreported"],
        premature=ledgers["premature"],
        uncertain=portal["uncertain"],
        moving=left["moving"],
        held=held.total(),
        held_why=dict(held),
        unproven=left["unproven"],
        drift=portal["drift"],
        over_limit=over_limit(test, left["waived"]),
        not_stopped=int(
            bool(test.over_limit)
            and test.over_limit not in [*left["stopped"], *left["waived"]]
        ),
        written_off=left["written_off"],
        cancelled=ledgers["cancelled"],
        sent_again=test.sent_again,
        rate_before=round(rate(times, *test.before), 1),
        rate_during=round(rate(times, *test.during), 1),
        rate_after=round(rate(times, *test.after), 1),
        recoveries=recoveries,
        recovered=test.recovered,
        seconds_to_settle=seconds,
        patience=patience,
        opened_by_hand=len(test.unannounced),
        blows=dict(sorted((test.blows + test.staff.pressed).items())),
    )


def _lost(there: int, accounted_for: int) -> int:
    return max(0, there - accounted_for)
