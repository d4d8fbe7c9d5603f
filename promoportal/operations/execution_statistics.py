"""Figures of executions: row counts by state, rate of activation, and time left."""

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

# The time over which the rate is measured.
RATE_WINDOW = timedelta(minutes=2)


@dataclass(frozen=True)
class ExecutionStatistics:
    """Figures of an execution; `rate` is recently activated rewards per second."""

    execution: Execution
    assignments: Sequence[Counted]
    redemptions: Sequence[Counted]
    assigned: Counter[str]  # assignments by state
    redeemed: Counter[str]  # redemptions by state
    eligible: int  # assignments that Optimove wants activated
    rate: float

    @classmethod
    def of_each(cls, executions: Iterable[Execution]) -> list[Self]:
        """Return the figures of several executions, in a constant number of queries."""
        rows = list(executions)
        counted = state_counts.by_execution(*(row.pk for row in rows))
        activated = state_counts.activated_since(database_now() - RATE_WINDOW)
        return [cls._of(row, counted[row.pk], activated.get(row.pk, 0)) for row in rows]

    @classmethod
    def _of(cls, row: Execution, counted: Sequence[Counted], activated: int) -> Self:
        assignments = [each for each in counted if each.kind == CountKind.ASSIGNMENT]
        redemptions = [each for each in counted if each.kind == CountKind.REDEMPTION]
        eligible = [each for each in assignments if each.meaning == Meaning.ACTIVATE]
        return cls(
            execution=row,
            assignments=assignments,
            redemptions=redemptions,
            assigned=_by_state(assignments),
            redeemed=_by_state(redemptions),
            eligible=_by_state(eligible).total(),
            rate=activated / RATE_WINDOW.total_seconds(),
        )

    @property
    def owed(self) -> int:
        """Return the number of rewards that are pending or being sent."""
        return (
            self.assigned[AssignmentState.OWED]
            + self.assigned[AssignmentState.ACTIVATING]
        )

    @property
    def is_moving(self) -> bool:
        """Return whether the execution continues without an action of staff."""
        row = self.execution
        return row.stop == ExecutionStop.NONE and row.state != ExecutionProgress.SETTLED

    @property
    def pace(self) -> str:
        """Return the rate and the time left in words; empty if nothing is activated."""
        if not self.is_moving or not self.rate:
            return ""
        text = f"{self.rate:,.0f} a second"
        if self.rate < 1:
            text = f"{60 * self.rate:,.0f} a minute"
        return f"{text}, {_long(self.owed / self.rate)} left" if self.owed else text


def _by_state(rows: Iterable[Counted]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.state] += row.count
    return counts


def _long(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {round(seconds / 3600)} h"
