"""Figures of an execution: how many of its rows are in which state, rate, time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from executions.models import Execution, ExecutionProgress, ExecutionStop
from promoportal.db import state_counts
from promoportal.db.database_clock import database_now
from promoportal.db.state_counts import Counted, CountKind
from promoportal.optimove import Meaning
from rewards.models import AssignmentState

# The rate is measured over this time.
LATELY = timedelta(minutes=2)


@dataclass(frozen=True)
class ExecutionStatistics:
    """Figures of one execution; `rate` is rewards activated in a second, recently."""

    execution: Execution
    assignments: Sequence[Counted]
    redemptions: Sequence[Counted]
    assigned: Counter[str]  # assignments by state
    redeemed: Counter[str]  # redemptions by state
    eligible: int  # assignments that Optimove wants to be given
    rate: float

    @classmethod
    def of_each(cls, executions: Iterable[Execution]) -> list[Self]:
        """Return the figures of several executions, with two queries."""
        rows = list(executions)
        counted = state_counts.by_execution(*(row.pk for row in rows))
        lately = state_counts.activated_since(database_now() - LATELY)
        return [cls._of(row, counted[row.pk], lately.get(row.pk, 0)) for row in rows]

    @classmethod
    def _of(cls, row: Execution, counted: Sequence[Counted], lately: int) -> Self:
        assignments = [one for one in counted if one.kind == CountKind.ASSIGNMENT]
        redemptions = [one for one in counted if one.kind == CountKind.REDEMPTION]
        eligible = [one for one in assignments if one.meaning == Meaning.ACTIVATE]
        return cls(
            execution=row,
            assignments=assignments,
            redemptions=redemptions,
            assigned=_by_state(assignments),
            redeemed=_by_state(redemptions),
            eligible=_by_state(eligible).total(),
            rate=lately / LATELY.total_seconds(),
        )

    @property
    def owed(self) -> int:
        """How many rewards are still to be activated."""
        return (
            self.assigned[AssignmentState.OWED]
            + self.assigned[AssignmentState.ACTIVATING]
        )

    @property
    def is_moving(self) -> bool:
        """Whether the execution goes on without a user's action."""
        row = self.execution
        return row.stop == ExecutionStop.NONE and row.state != ExecutionProgress.SETTLED

    @property
    def pace(self) -> str:
        """Return the rate and the time left in words; empty if nothing is activated."""
        if not self.is_moving or not self.rate:
            return ""
        said = f"{self.rate:,.0f} a second"
        if self.rate < 1:
            said = f"{60 * self.rate:,.0f} a minute"
        return f"{said}, {_long(self.owed / self.rate)} left" if self.owed else said


def _by_state(rows: Iterable[Counted]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for one in rows:
        counts[one.state] += one.count
    return counts


def _long(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {round(seconds / 3600)} h"
