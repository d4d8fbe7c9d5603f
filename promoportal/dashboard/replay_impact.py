"""
What reading deliveries again would mean for rewards, told before it is done.

The figures are the census's. The few that are in doubt, or marked as cancelled too late,
are counted one by one, up to where lists count, too.
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
    """How many rewards there are in each state; and of those, how many are special."""

    states: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    marked: int = 0

    @classmethod
    def of(cls, execution: Execution) -> Self:
        (standing,) = ExecutionStatistics.of_each([execution])
        rows = Assignment.objects.filter(execution=execution)
        return cls(
            standing.assigned,
            _states(rows.filter(doubtful=True)),
            _states(rows.filter(cancelled_too_late=True))[AssignmentState.ACTIVE],
        )

    @classmethod
    def of_customers(cls, execution: Execution, customers: list[str]) -> Self:
        rows = Assignment.objects.filter(execution=execution, customer__in=customers)
        return cls(_states(rows), _states(rows.filter(doubtful=True)))

    @property
    def voided(self) -> int:
        """How many a cancellation makes void: those that nobody has, for certain."""
        return sum(self.states[each] - self.doubtful[each] for each in _NOT_GIVEN)

    @property
    def asked_about(self) -> int:
        """How many it has asked about, and not given again."""
        return self.doubtful[AssignmentState.OWED]

    @property
    def marked_too_late(self) -> int:
        """How many it marks: the customers keep them."""
        return self.states[AssignmentState.ACTIVE] - self.marked

    @property
    def unknown(self) -> int:
        """How many may have been given, or not."""
        return self.states[AssignmentState.UNCERTAIN] + sum(
            self.doubtful[each] for each in _NOT_GIVEN
        )

    @property
    def is_exact(self) -> bool:
        """Whether all that are special were counted."""
        return max(self.doubtful.total(), self.marked) < MAX_ROWS_COUNTED

    def facts(self, address: str) -> Iterator[Fact]:
        """Each reward once; those in doubt are counted as such, whatever their state."""
        for name, count in (
            ("active already", self.states[AssignmentState.ACTIVE]),
            (
                "to be activated",
                self._certain(AssignmentState.OWED, AssignmentState.ACTIVATING),
            ),
            ("in doubt", self.unknown),
            ("held", self._certain(AssignmentState.HELD)),
            ("void", self.states[AssignmentState.VOID]),
        ):
            yield Fact(name, f"{count:,}", address)

    def _certain(self, *states: AssignmentState) -> int:
        return sum(self.states[each] - self.doubtful[each] for each in states)


@replay_preview.also
def rewards(foreseen: ReplayPreview) -> Consequence:
    """How the rewards it is about stand, and what would become of them."""
    execution = foreseen.execution
    if execution is None:
        return Consequence(sentences=["No reward of it is here yet."])
    found = rewards_of(execution, foreseen)
    address = list_of(Assignment, execution=execution.pk)
    return Consequence(
        list(found.facts(address)), list(_sentences(execution, found, foreseen))
    )


def rewards_of(execution: Execution, foreseen: ReplayPreview) -> Rewards:
    """Those that the deliveries are about."""
    if foreseen.is_about_customers_alone:
        return Rewards.of_customers(execution, foreseen.customers)
    return Rewards.of(execution)


def _sentences(
    execution: Execution, found: Rewards, foreseen: ReplayPreview
) -> Iterator[str]:
    if not found.is_exact:
        yield "So many are in doubt, or marked, that these figures are about right only."
    if foreseen.collects:
        yield from _pass(execution)
    if foreseen.cancels:
        yield from _taken_back(found)
    elif not foreseen.is_over:
        yield (
            "What is active stays so and is not given again; what Optimove lists then "
            "decides about the rest."
        )


def _pass(execution: Execution) -> Iterator[str]:
    collection = Collection.objects.filter(execution=execution).first()
    if collection is None:
        return
    if collection.state == CollectionState.COLLECTING:
        yield "A pass over its list is under way, and one more would follow it."
    elif collection.state == CollectionState.WAITING:
        yield "Its list is to be asked for already, and would be at once."
    elif collection.state == CollectionState.HELD:
        yield "Its collection is held, and would go on with a pass from the start."


def _taken_back(found: Rewards) -> Iterator[str]:
    yield f"{found.voided:,} that are owed or held would become void."
    if found.asked_about:
        yield (
            f"{found.asked_about:,} that are owed and in doubt would be asked about, "
            "and not given again."
        )
    yield (
        f"{found.marked_too_late:,} that are active would be marked as cancelled too "
        "late; the customers keep them."
    )


def _states(rows: QuerySet[Assignment]) -> Counter[str]:
    some = Order(is_narrowed=True).newest(rows).values_list("state", flat=True)
    return Counter(some[:MAX_ROWS_COUNTED])
