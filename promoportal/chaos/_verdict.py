"""Waiting until all is settled, and counting in the far sides' own books."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from promoportal.chaos._stage import Stage
from promoportal.chaos._storm import Storm

# Seconds between two looks at the portal's own rows, each of which starts a process.
_EVERY = 5.0

# What is left in the portal's rows: what still moves, what waits for a person and why,
# and what is in doubt with nothing on record that was sent.
_LEFT = """
import json
from django.db.models import Count, Exists, OuterRef, Q
from redemptions.models import Redemption
from rewards.models import Assignment, Attempt

def why(rows):
    held = rows.filter(state="HELD").values_list("reason")
    return dict(held.annotate(Count("pk")).order_by())

rows, reports = Assignment.objects.all(), Redemption.objects.all()
moving = ["OWED", "ACTIVATING", "UNCERTAIN", "WAITING", "REPORTING"]
sent = Attempt.objects.filter(assignment=OuterRef("pk"))
proven = Exists(sent) & Q(order__isnull=False, first_sent_at__isnull=False)
print(json.dumps({
    "moving": sum(some.filter(state__in=moving).count() for some in (rows, reports)),
    "rewards_held": why(rows),
    "reports_held": why(reports),
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
    uncalled_for: int
    different: int
    unreported: int
    premature: int  # redeemed, and never credited
    uncertain: int
    held: int
    held_why: dict[str, int]
    unproven: int  # in doubt, with no evidence of what was sent
    drift: int
    seconds_to_settle: float
    blows: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Nothing twice, nothing lost, nothing told that is not so."""
        wrong = self.doubled + self.lost + self.uncalled_for + self.different
        return self.most_credits <= 1 and not wrong + self.premature + self.unproven

    @property
    def is_settled(self) -> bool:
        """Nothing is left for a person either."""
        return not (self.uncertain + self.held + self.unreported + self.drift)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "clean": self.is_clean, "settled": self.is_settled}


def settle(stage: Stage, storm: Storm, *, patience: float) -> float:
    """
    Wait until nothing is left that happens by itself; give the seconds it took.

    As after any night of lost notices, what was executed is opened by hand first.
    """
    began = looked = time.monotonic()
    for occurrence in storm.occurrences:
        stage.manage("open", occurrence)
    while (now := time.monotonic()) - began < patience:
        is_thawed = storm.thaw()
        if is_thawed and _agree(stage, storm):
            break
        if now - looked > _EVERY:
            looked = now
            if is_thawed and not stage.ask(_LEFT)["moving"]:
                break
        time.sleep(1.0)
    return round(time.monotonic() - began, 1)


def _agree(stage: Stage, storm: Storm) -> bool:
    found = _agreements(stage, storm)
    return not (found["missing"] + found["unreported"])


def _agreements(stage: Stage, storm: Storm) -> Counter[str]:
    """What is assigned and where the books differ, over all executions."""
    found: Counter[str] = Counter()
    for occurrence in storm.occurrences:
        agreement = stage.look(f"ledger?occurrence={occurrence}")["agreement"]
        agreement.pop("examples")
        found.update(agreement)
    return found


def judge(stage: Stage, storm: Storm, seconds: float) -> Verdict:
    """Count."""
    books = _agreements(stage, storm)
    portal: Counter[str] = Counter()
    for occurrence in storm.occurrences:
        said = stage.manage("reconcile", occurrence)
        portal.update({k: v for k, v in said.items() if k != "occurrence"})
    platform = stage.look("ledger")["platform"]
    left = stage.ask(_LEFT)
    rewards_held = Counter(left["rewards_held"])
    held = rewards_held + Counter(left["reports_held"])
    known = portal["active"] + rewards_held.total() + portal["uncertain"]
    return Verdict(
        seed=storm.seed,
        rewards=books["assigned"],
        credits=platform["credits"],
        most_credits=platform["most_per_assignment"],
        doubled=books["doubled"],
        lost=_lost(books["assigned"], known)
        + _lost(portal["active"], platform["credits"]),
        uncalled_for=books["uncalled_for"],
        different=books["different"],
        unreported=books["unreported"],
        premature=books["premature"],
        uncertain=portal["uncertain"],
        held=held.total(),
        held_why=dict(held),
        unproven=left["unproven"],
        drift=portal["drift"],
        seconds_to_settle=seconds,
        blows=dict(sorted(storm.blows.items())),
    )


def _lost(there: int, accounted_for: int) -> int:
    return max(0, there - accounted_for)
