"""
An execution's page: how its rewards get on, from the vendor's list to the report.

The figures are the census's: they cost the same of ten rewards and of a million. Whether
the three ledgers agree row by row is counted only where that is quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from executions.models import Execution, ExecutionStop
from promoportal.admin import page_extensions
from promoportal.admin.charts import stacked_bar
from promoportal.admin.links import list_of
from promoportal.admin.panels import Difference, Group, Panel, Stage
from promoportal.dashboard.progress_column import parts
from promoportal.db.state_counts import Counted, CountKind
from promoportal.operations.execution_statistics import ExecutionStatistics
from promoportal.operations.reconciliation import reconcile
from promoportal.optimove import Meaning
from redemptions.models import Redemption, RedemptionReason, RedemptionState
from rewards import decisions
from rewards.models import Assignment, AssignmentReason, AssignmentState

# Of more rows than this, comparing them one by one takes too long for a page.
MAX_ROWS_COMPARED = 20_000
# So many others may lie between the rows that a link leads to: no index leaves them out.
MAX_ROWS_BETWEEN = 20_000


@page_extensions.panel(Execution)
def funnel_panel(execution: Execution) -> Panel:
    """What the vendor lists, what is active, what is reported; and where they differ."""
    (standing,) = ExecutionStatistics.of_each([execution])
    return Panel(
        "From Optimove's list to the report",
        "progress",
        drawing=stacked_bar(parts(standing)),
        stages=list(_stages(standing)),
        sentences=list(_sentences(standing)),
        groups=[*_held_assignments(standing), *_held_redemptions(standing)],
        export=list_of(Assignment, execution=execution.pk),
        is_wide=True,
        is_live=standing.is_moving(),
    )


def _stages(standing: ExecutionStatistics) -> Iterator[Stage]:
    pk = standing.execution.pk
    active = {"execution": pk, "state__exact": AssignmentState.ACTIVE}
    reported = {"execution": pk, "state__exact": RedemptionState.REPORTED}
    yield Stage("listed", standing.assigned(), list_of(Assignment, execution=pk))
    yield Stage(
        "eligible", standing.eligible(), _eligible(standing), _not_eligible(standing)
    )
    yield Stage(
        "active",
        standing.assigned(AssignmentState.ACTIVE),
        list_of(Assignment, **active),
        [*_not_active(standing), *_taken_back(standing)],
    )
    yield Stage(
        "reported",
        standing.redeemed(RedemptionState.REPORTED),
        list_of(Redemption, **reported),
        [*_not_reported(standing), *_not_to_be_reported(standing)],
    )


def _eligible(standing: ExecutionStatistics) -> str:
    """The list of them, unless too many others would have to be passed by."""
    others = standing.assigned() - standing.eligible()
    if others > MAX_ROWS_BETWEEN:
        return ""
    narrowed = {"meaning__exact": Meaning.ACTIVATE} if others else {}
    return list_of(Assignment, execution=standing.execution.pk, **narrowed)


def _not_eligible(standing: ExecutionStatistics) -> list[Difference]:
    """Listed, and not to be given as the list says now."""
    return _differences(standing, lambda one: one.meaning != Meaning.ACTIVATE)


def _not_active(standing: ExecutionStatistics) -> list[Difference]:
    """To be given, and not given."""
    return _differences(
        standing,
        lambda one: (
            one.meaning == Meaning.ACTIVATE and one.state != AssignmentState.ACTIVE
        ),
    )


def _taken_back(standing: ExecutionStatistics) -> list[Difference]:
    """No longer to be given, and active all the same."""
    found = _differences(
        standing,
        lambda one: (
            one.meaning != Meaning.ACTIVATE and one.state == AssignmentState.ACTIVE
        ),
    )
    return [replace(each, is_more=True) for each in found]


def _differences(
    standing: ExecutionStatistics, are_these: Callable[[Counted], bool]
) -> list[Difference]:
    """These assignments by what they are; what is void, by why."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for one in standing.all_of(CountKind.ASSIGNMENT):
        if are_these(one):
            counts[_told(one)] += one.count
    return [
        Difference(_name(*told), count, _exactly(standing, *told))
        for told, count in counts.most_common()
    ]


def _told(one: Counted) -> tuple[str, str, str]:
    return (
        one.meaning,
        one.state,
        one.reason if one.state == AssignmentState.VOID else "",
    )


def _name(_: str, state: str, reason: str) -> str:
    if reason in AssignmentReason.values:
        return AssignmentReason(reason).phrase
    return _WORDS[AssignmentState(state)]


def _exactly(
    standing: ExecutionStatistics, meaning: str, state: str, reason: str
) -> str:
    """
    The list of these and no others. It is narrowed by no more than it takes: by an
    execution, a state and a reason an index finds them, by what they mean none does.
    """
    narrowed: dict[str, Any] = {"state__exact": state}
    if (
        state == AssignmentState.ACTIVE
    ):  # a few of many, whom their mark's own index finds
        narrowed["cancelled_too_late__exact"] = 1
    if reason:
        narrowed["reason__exact"] = reason
    others = [
        one
        for one in standing.all_of(CountKind.ASSIGNMENT)
        if _told(one)[1:] == (state, reason) and one.meaning != meaning
    ]
    if others:
        narrowed["meaning__exact"] = meaning
    return list_of(Assignment, execution=standing.execution.pk, **narrowed)


_WORDS = {
    AssignmentState.OWED: "owed",
    AssignmentState.ACTIVATING: "being activated",
    AssignmentState.UNCERTAIN: "sent, no answer yet",
    AssignmentState.ACTIVE: "taken back too late",
    AssignmentState.HELD: "held",
    AssignmentState.VOID: "nothing to activate",
}


def _not_reported(standing: ExecutionStatistics) -> Iterator[Difference]:
    """Active, and the vendor does not know it, by itself or by a person."""
    for state, name in _UNTOLD.items():
        if count := standing.redeemed(state):
            narrowed = {"execution": standing.execution.pk, "state__exact": state}
            yield Difference(name, count, list_of(Redemption, **narrowed))


_UNTOLD = {
    RedemptionState.WAITING: "to be reported",
    RedemptionState.REPORTING: "being reported",
    RedemptionState.UNCERTAIN: "sent, no answer yet",
    RedemptionState.HELD: "reports held",
    RedemptionState.WRITTEN_OFF: "written off",
}


def _not_to_be_reported(standing: ExecutionStatistics) -> Iterator[Difference]:
    """Active without a redemption: their promotion is not reported."""
    redeemed = standing.redeemed(*RedemptionState)
    count = standing.assigned(AssignmentState.ACTIVE) - redeemed
    if count <= 0:
        return
    narrowed: dict[str, Any] = {"state__exact": AssignmentState.ACTIVE}
    if redeemed:
        narrowed["redemption__isnull"] = True
    href = list_of(Assignment, execution=standing.execution.pk, **narrowed)
    yield Difference("not to be reported", count, href)


def _sentences(standing: ExecutionStatistics) -> Iterator[str]:
    owed = standing.assigned(AssignmentState.OWED, AssignmentState.ACTIVATING)
    if pace := standing.pace():
        yield f"It goes at {pace}."
    elif owed and standing.is_moving():
        yield "Nothing became active in the last two minutes."
    elif owed and standing.execution.stop != ExecutionStop.NONE:
        yield f"It is stopped: {owed:,} owed wait until somebody resumes it."
    yield from _drift(standing)


def _drift(standing: ExecutionStatistics) -> Iterator[str]:
    execution = standing.execution
    if standing.assigned() > MAX_ROWS_COMPARED:
        yield (
            "So many are compared with Optimove's list row by row by "
            f"manage.py reconcile {execution.reference}."
        )
    elif drift := reconcile(execution).drift:
        they = "disagrees" if drift == 1 else "disagree"
        lack = "lacks" if drift == 1 else "lack"
        yield (
            f"{drift:,} {they} with Optimove's list, or {lack} a redemption. "
            "Collect the execution again; what still disagrees then is for an engineer."
        )


# These take a person's word about each.
_NOT_BY_RETRYING = {*decisions.NEEDS_CONFIRMATION, AssignmentReason.UNANSWERED}


def _held_assignments(standing: ExecutionStatistics) -> Iterator[Group]:
    is_over = standing.execution.stop == ExecutionStop.CANCELLED
    for reason, count in standing.held(CountKind.ASSIGNMENT):
        yield Group(
            dict(AssignmentReason.choices).get(reason, "For another reason"),
            count,
            list_of(
                Assignment,
                execution=standing.execution.pk,
                state__exact=AssignmentState.HELD,
                reason__exact=reason,
            ),
            can_retry=reason not in _NOT_BY_RETRYING and not is_over,
        )


def _held_redemptions(standing: ExecutionStatistics) -> Iterator[Group]:
    for reason, count in standing.held(CountKind.REDEMPTION):
        label = dict(RedemptionReason.choices).get(reason, "for another reason")
        yield Group(
            f"Reports: {label}",
            count,
            list_of(
                Redemption,
                execution=standing.execution.pk,
                state__exact=RedemptionState.HELD,
                reason__exact=reason,
            ),
        )
