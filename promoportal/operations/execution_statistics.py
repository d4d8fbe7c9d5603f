"""How an execution stands: how many of its rewards are where, how fast, how long still."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from executions.models import Execution, ExecutionProgress, ExecutionStop
from promoportal.db import state_counts
from promoportal.db.database_clock import database_now
from promoportal.db.state_counts import Counted, CountKind
from promoportal.optimove import Meaning
from redemptions.models import RedemptionState
from rewards.models import AssignmentState

# How fast it goes is what it did in this time.
LATELY = timedelta(minutes=2)


@dataclass(frozen=True)
class ExecutionStatistics:
    """One execution's figures; `rate` is rewards made active in a second, lately."""

    execution: Execution
    counted: Sequence[Counted]
    rate: float

    @classmethod
    def of_each(cls, executions: Iterable[Execution]) -> list[Self]:
        """Of several executions, in two questions to the database."""
        rows = list(executions)
        counted = state_counts.by_execution(*(row.pk for row in rows))
        lately = state_counts.activated_since(database_now() - LATELY)
        seconds = LATELY.total_seconds()
        return [
            cls(row, counted[row.pk], lately.get(row.pk, 0) / seconds) for row in rows
        ]

    def assigned(self, *states: AssignmentState) -> int:
        """How many assignments there are, or are in one of these states."""
        return sum(
            one.count
            for one in self.counted
            if one.kind == CountKind.ASSIGNMENT and (not states or one.state in states)
        )

    def eligible(self) -> int:
        """How many the vendor wants to be given."""
        return sum(
            one.count
            for one in self.counted
            if one.kind == CountKind.ASSIGNMENT and one.meaning == Meaning.ACTIVATE
        )

    def redeemed(self, *states: RedemptionState) -> int:
        """How many redemptions are in one of these states."""
        return sum(
            one.count
            for one in self.counted
            if one.kind == CountKind.REDEMPTION and one.state in states
        )

    def all_of(self, kind: CountKind) -> list[Counted]:
        """The figures of one kind of rows."""
        return [one for one in self.counted if one.kind == kind]

    def held(self, kind: CountKind) -> list[tuple[str, int]]:
        """Held rows by their reason, the most first."""
        reasons: dict[str, int] = {}
        for one in self.counted:
            if one.kind == kind and one.state == AssignmentState.HELD:
                reasons[one.reason] = reasons.get(one.reason, 0) + one.count
        return sorted(reasons.items(), key=lambda each: -each[1])

    def is_moving(self) -> bool:
        """Whether it goes on by itself."""
        row = self.execution
        return row.stop == ExecutionStop.NONE and row.state != ExecutionProgress.SETTLED

    def seconds_left(self) -> float | None:
        """Until all that is owed is active, if it goes on as it did; None: nobody knows."""
        owed = self.assigned(AssignmentState.OWED, AssignmentState.ACTIVATING)
        return owed / self.rate if self.rate and self.is_moving() else None

    def pace(self) -> str:
        """How fast it goes and how long it takes still, in words."""
        left = self.seconds_left()
        if not self.is_moving() or not self.rate:
            return ""
        said = f"{self.rate:,.0f} a second"
        if self.rate < 1:
            said = f"{60 * self.rate:,.0f} a minute"
        return f"{said}, {_long(left)} left" if left else said


def _long(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {round(seconds / 3600)} h"
