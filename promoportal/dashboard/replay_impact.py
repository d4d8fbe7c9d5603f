"""
The effect on rewards of processing deliveries again, shown before staff confirm.

The figures of an execution come from the state counts. Three figures are counted from
rows, up to a limit: the rewards of single customers, possibly activated rewards, and
rewards that were cancelled after activation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from django.db.models import QuerySet

from executions.admin import replay_preview
from executions.admin.replay_preview import Consequence, ReplayPreview
from executions.models import Execution
from promoportal.admin.keyset_order import Order
from promoportal.admin.keyset_pagination import MAX_ROWS_COUNTED
from promoportal.admin.links import list_of
from promoportal.admin.panels import Fact
from promoportal.operations.execution_statistics import ExecutionStatistics
from rewards.models import Assignment, AssignmentState, Collection, CollectionState

_NOT_GIVEN = (AssignmentState.OWED, AssignmentState.HELD)


@dataclass(frozen=True)
class Rewards:
    """Numbers of rewards by state; `marked` were cancelled after activation."""

    states: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    marked: int = 0

    @classmethod
    def of(cls, execution: Execution, customers: list[str] | None = None) -> Self:
        """Return the numbers for an execution, or for some of its customers."""
        rows = Assignment.objects.filter(execution=execution)
        if customers is not None:
            rows = rows.filter(customer__in=customers)
            return cls(_states(rows), _states(rows.filter(doubtful=True)))
        (statistics,) = ExecutionStatistics.of_each([execution])
        return cls(
            statistics.assigned,
            _states(rows.filter(doubtful=True)),
            _states(rows.filter(cancelled_too_late=True))[AssignmentState.ACTIVE],
        )

    @property
    def is_exact(self) -> bool:
        """Return whether `doubtful` and `marked` are below the limit of the counts."""
        return max(self.doubtful.total(), self.marked) < MAX_ROWS_COUNTED

    def facts(self, address: str) -> Iterator[Fact]:
        """Yield the numbers of possibly activated rewards, and of others by state."""
        sent = (AssignmentState.OWED, AssignmentState.ACTIVATING)
        # A possibly activated reward that is sent again is in one figure, too.
        in_doubt = sum(self.doubtful[each] for each in {*_NOT_GIVEN, *sent})
        for name, count in (
            ("active already", self.states[AssignmentState.ACTIVE]),
            ("to be activated", self._certain(*sent)),
            ("in doubt", self.states[AssignmentState.UNCERTAIN] + in_doubt),
            ("held", self._certain(AssignmentState.HELD)),
            ("void", self.states[AssignmentState.VOID]),
        ):
            yield Fact(name, f"{count:,}", address)

    def if_cancelled(self) -> Iterator[str]:
        """Yield sentences about the effects of a cancellation on the rewards."""
        yield f"{self._certain(*_NOT_GIVEN):,} that are owed or held would become void."
        if asked_about := self.doubtful[AssignmentState.OWED]:
            yield (
                f"{asked_about:,} that are owed and in doubt would be asked about, and "
                "not given again."
            )
        marked_too_late = self.states[AssignmentState.ACTIVE] - self.marked
        yield (
            f"{marked_too_late:,} that are active would be marked as cancelled too "
            "late; the customers keep them."
        )

    def _certain(self, *states: AssignmentState) -> int:
        return sum(self.states[each] - self.doubtful[each] for each in states)


@replay_preview.consequence
def rewards(preview: ReplayPreview) -> Consequence:
    """Return the numbers of affected rewards, and sentences about the changes."""
    execution = preview.execution
    if execution is None:
        return Consequence(sentences=["No reward of it is here yet."])
    customers = preview.customers if preview.is_about_customers_alone else None
    affected = Rewards.of(execution, customers)
    address = list_of(Assignment, execution=execution.pk)
    return Consequence(
        list(affected.facts(address)), list(_sentences(execution, affected, preview))
    )


def _sentences(
    execution: Execution, affected: Rewards, preview: ReplayPreview
) -> Iterator[str]:
    if not affected.is_exact:
        yield "So many are in doubt, or marked, that these figures are about right only."
    if preview.collects:
        yield from _next_run(execution)
    if preview.cancels:
        yield from affected.if_cancelled()
    elif not preview.is_over:
        yield (
            "What is active stays so and is not given again; what Optimove lists then "
            "decides about the rest."
        )


def _next_run(execution: Execution) -> Iterator[str]:
    collection = Collection.objects.filter(execution=execution).first()
    if collection is None:
        return
    if collection.state == CollectionState.COLLECTING:
        yield "A pass over its list is under way, and one more would follow it."
    elif collection.state == CollectionState.WAITING:
        yield "Its list is to be asked for already, and would be at once."
    elif collection.state == CollectionState.HELD:
        yield "Its collection is held, and would go on with a pass from the start."


def _states(rows: QuerySet[Assignment]) -> Counter[str]:
    limited = Order(is_narrowed=True).newest(rows).values_list("state", flat=True)
    return Counter(limited[:MAX_ROWS_COUNTED])
