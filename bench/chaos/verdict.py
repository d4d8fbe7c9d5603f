"""Waiting until all is settled, and counting in the far sides' own books."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from bench.chaos.fault_injection import FaultTest
from bench.chaos.target import SystemUnderTest

# Seconds between two looks at the portal's own rows, each of which starts a process.
_EVERY = 3.0
# Beyond the patience it is not settled in time. It is waited for all the same, so many
# times as long: books that are still written in tell nothing of what is lost.
_MAX_LENGTH = 5

# What is left in the portal's rows: what still moves, what waits for a person and why,
# and what is in doubt with nothing on record that was sent.
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
    """What a storm left."""

    seed: int
    rewards: int  # what the vendor assigned
    credits: int
    most_credits: int  # of one reward
    doubled: int
    lost: int  # assigned, not credited, and not before a person with a reason
    unlisted: int  # assigned, and on a list that a person has to have read again
    uncalled_for: int
    different: int
    unreported: int
    premature: int  # redeemed, and never credited
    uncertain: int
    moving: int  # of whatever kind: work that is not over
    held: int  # of whatever kind
    held_why: dict[str, int]
    unproven: int  # in doubt, with no evidence of what was sent
    drift: int
    seconds_to_settle: float
    patience: float  # seconds in which it should have
    opened_by_hand: int  # executions of which the portal was never told
    blows: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Nothing twice, nothing lost, nothing told that is not so."""
        wrong = self.doubled + self.lost + self.uncalled_for + self.different
        wrong += self.premature + self.unproven
        return bool(self.rewards) and self.most_credits <= 1 and not wrong

    @property
    def is_settled(self) -> bool:
        """Nothing is left for a person either, and it did not take too long."""
        left = self.uncertain + self.moving + self.held
        in_time = self.seconds_to_settle <= self.patience
        return in_time and not left + self.unreported + self.drift

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.is_clean, "settled": self.is_settled}


def settle(stage: SystemUnderTest, storm: FaultTest, *, patience: float) -> float:
    """
    Wait until nothing is left that happens by itself; give the seconds it took, also
    if that is longer than it should.

    As after any night of lost notices, what nobody told the portal of is opened by hand
    first. A scheduled execution of which one notice was answered with 200 is not: the
    portal has promised to see to it.
    """
    began = time.monotonic()
    # A frozen process may hold row locks that opening an execution would wait for.
    while not storm.thaw():
        time.sleep(_EVERY)
    stage.manage_each("open", storm.unheard)
    while time.monotonic() - began < patience * _MAX_LENGTH:
        if storm.thaw() and not stage.ask(_LEFT)["moving"]:
            break
        time.sleep(_EVERY)
    return round(time.monotonic() - began, 1)


def _agreements(
    stage: SystemUnderTest, storm: FaultTest, held: list[str]
) -> Counter[str]:
    """What is assigned and where the books differ, over all executions."""
    found: Counter[str] = Counter()
    for occurrence in storm.occurrences:
        agreement = stage.look(f"ledger?occurrence={occurrence}")["agreement"]
        agreement.pop("examples")
        found.update(agreement)
        found["unlisted"] += agreement["missing"] if occurrence in held else 0
    return found


def judge(
    stage: SystemUnderTest, storm: FaultTest, seconds: float, *, patience: float
) -> Verdict:
    """Count."""
    left = stage.ask(_LEFT)
    books = _agreements(stage, storm, left["lists_held"])
    portal: Counter[str] = Counter()
    for said in stage.manage_each("reconcile", storm.occurrences):
        portal.update({k: v for k, v in said.items() if k != "occurrence"})
    platform = stage.look("ledger")["platform"]
    rewards_held = Counter(left["rewards_held"])
    held = sum(map(Counter, left["others_held"]), rewards_held)
    waiting = rewards_held.total() + portal["uncertain"] + books["unlisted"]
    return Verdict(
        seed=storm.seed,
        rewards=books["assigned"],
        credits=platform["credits"],
        most_credits=platform["most_per_assignment"],
        doubled=books["doubled"],
        # As the portal tells it, and as the platform does.
        lost=max(
            _lost(books["assigned"], portal["active"] + waiting),
            _lost(books["missing"], waiting),
        ),
        unlisted=books["unlisted"],
        uncalled_for=books["uncalled_for"],
        different=books["different"],
        unreported=books["unreported"],
        premature=books["premature"],
        uncertain=portal["uncertain"],
        moving=left["moving"],
        held=held.total(),
        held_why=dict(held),
        unproven=left["unproven"],
        drift=portal["drift"],
        seconds_to_settle=seconds,
        patience=patience,
        opened_by_hand=len(storm.unheard),
        blows=dict(sorted(storm.blows.items())),
    )


def _lost(there: int, accounted_for: int) -> int:
    """How many are nowhere that they should be."""
    return max(0, there - accounted_for)
