"""The end of a fault test: wait until the work is done, then count the results."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from bench.chaos.fault_injection import FaultTest
from bench.chaos.target import SystemUnderTest

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
from executions.models import Delivery, Trigger
from redemptions.models import Redemption
from rewards.models import Assignment, Attempt, Collection

def why(rows):
    held = rows.filter(state="HELD").values_list("reason")
    return dict(held.annotate(Count("pk")).order_by())

rows, reports = Assignment.objects.all(), Redemption.objects.all()
every = [rows, reports, *(
    model.objects.all() for model in (Delivery, Trigger, Collection)
)]
moving = ["OWED", "ACTIVATING", "UNCERTAIN", "WAITING", "REPORTING", "UNREAD", "COLLECTING"]
sent = Attempt.objects.filter(assignment=OuterRef("pk"))
proven = Exists(sent) & Q(order__isnull=False, first_sent_at__isnull=False)
print(json.dumps({
    "moving": sum(some.filter(state__in=moving).count() for some in every),
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
    seconds_to_settle: float
    patience: float  # seconds in which all work should be done
    opened_by_hand: int  # executions without a received webhook
    blows: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Return whether rewards exist, and none is doubled, lost or wrong."""
        wrong = self.doubled + self.lost + self.uncalled_for + self.different
        wrong += self.premature + self.unproven
        return bool(self.rewards) and self.most_credits <= 1 and not wrong

    @property
    def is_settled(self) -> bool:
        """Return whether no work is left, also for staff, and all was done in time."""
        left = self.uncertain + self.moving + self.held
        in_time = self.seconds_to_settle <= self.patience
        return in_time and not left + self.unreported + self.drift

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
    stage.manage_each("open", test.unannounced)
    while time.monotonic() - began < patience * _MAX_LENGTH:
        if test.thaw() and not stage.ask(_LEFT)["moving"]:
            break
        time.sleep(_EVERY)
    return round(time.monotonic() - began, 1)


def _agreements(
    stage: SystemUnderTest, test: FaultTest, held: list[str]
) -> Counter[str]:
    """Count the assigned rewards and each kind of difference, for all executions."""
    found: Counter[str] = Counter()
    for occurrence in test.occurrences:
        agreement = stage.look(f"ledger?occurrence={occurrence}")["agreement"]
        agreement.pop("examples")
        found.update(agreement)
        found["unlisted"] += agreement["missing"] if occurrence in held else 0
    return found


def judge(
    stage: SystemUnderTest, test: FaultTest, seconds: float, *, patience: float
) -> Verdict:
    """Return the result, from the counts of the portal, the platform and Optimove."""
    left = stage.ask(_LEFT)
    ledgers = _agreements(stage, test, left["lists_held"])
    portal: Counter[str] = Counter()
    for figures in stage.manage_each("reconcile", test.occurrences):
        portal.update({k: v for k, v in figures.items() if k != "occurrence"})
    platform = stage.look("ledger")["platform"]
    rewards_held = Counter(left["rewards_held"])
    held = sum(map(Counter, left["others_held"]), rewards_held)
    waiting = rewards_held.total() + portal["uncertain"] + ledgers["unlisted"]
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
        seconds_to_settle=seconds,
        patience=patience,
        opened_by_hand=len(test.unannounced),
        blows=dict(sorted(test.blows.items())),
    )


def _lost(there: int, accounted_for: int) -> int:
    return max(0, there - accounted_for)
