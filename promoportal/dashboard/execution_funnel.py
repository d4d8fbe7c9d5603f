"""
The progress panel of an execution: from Optimove's list to the report.

The figures come from the counts that the database keeps, so they cost the same for ten
rewards and for a million. The three ledgers are compared row by row only where that is
quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Model

from executions.models import Execution, ExecutionStop
from promoportal.admin import page_extensions
from promoportal.admin.charts import stacked_bar
from promoportal.admin.links import list_of
from promoportal.admin.panels import Difference, Group, Panel, Stage
from promoportal.dashboard.progress_column import parts
from promoportal.db.state_counts import Counted
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
# Groups whose rows staff must decide one by one.
_NOT_BY_RETRYING = {*decisions.NEEDS_CONFIRMATION, AssignmentReason.UNANSWERED}

_NOT_ACTIVE = {
    AssignmentState.OWED: "owed",
    AssignmentState.ACTIVATING: "being activated",
    AssignmentState.UNCERTAIN: "sent, no answer yet",
    AssignmentState.ACTIVE: "taken back too late",
    AssignmentState.HELD: "held",
    AssignmentState.VOID: "nothing to activate",
}
_NOT_REPORTED = {
    RedemptionState.WAITING: "to be reported",
    RedemptionState.REPORTING: "being reported",
    RedemptionState.UNCERTAIN: "sent, no answer yet",
    RedemptionState.HELD: "reports held",
    RedemptionState.WRITTEN_OFF: "written off",
}


@page_extensions.panel(Execution)
def funnel_panel(execution: Execution) -> Panel:
    """Return what Optimove lists, what is active, what is reported, and the differences."""
    (figures,) = ExecutionStatistics.of_each([execution])
    return Panel(
        "From Optimove's list to the report",
        "progress",
        drawing=stacked_bar(parts(figures)),
        stages=list(_stages(figures)),
        sentences=list(_sentences(figures)),
        groups=[*_held_assignments(figures), *_held_redemptions(figures)],
        export=_list(figures, Assignment),
        is_wide=True,
        is_live=figures.is_moving,
    )


def _list(figures: ExecutionStatistics, model: type[Model], **narrowed: Any) -> str:
    return list_of(model, execution=figures.execution.pk, **narrowed)


def _stages(figures: ExecutionStatistics) -> Iterator[Stage]:
    eligible = [one for one in figures.assignments if one.meaning == Meaning.ACTIVATE]
    others = [one for one in figures.assignments if one.meaning != Meaning.ACTIVATE]
    not_active = [one for one in eligible if one.state != AssignmentState.ACTIVE]
    taken_back = [one for one in others if one.state == AssignmentState.ACTIVE]
    yield Stage("listed", figures.assigned.total(), _list(figures, Assignment))
    yield Stage(
        "eligible", figures.eligible, _eligible(figures), _differences(figures, others)
    )
    yield Stage(
        "active",
        figures.assigned[AssignmentState.ACTIVE],
        _list(figures, Assignment, state__exact=AssignmentState.ACTIVE),
        [
            *_differences(figures, not_active),
            *(replace(one, is_more=True) for one in _differences(figures, taken_back)),
        ],
    )
    yield Stage(
        "reported",
        figures.redeemed[RedemptionState.REPORTED],
        _list(figures, Redemption, state__exact=RedemptionState.REPORTED),
        [*_not_reported(figures), *_not_to_be_reported(figures)],
    )


def _eligible(figures: ExecutionStatistics) -> str:
    """Return the list of them, unless a query would have to skip too many others."""
    others = figures.assigned.total() - figures.eligible
    if others > MAX_ROWS_BETWEEN:
        return ""
    narrowed = {"meaning__exact": Meaning.ACTIVATE} if others else {}
    return _list(figures, Assignment, **narrowed)


def _differences(
    figures: ExecutionStatistics, rows: Iterable[Counted]
) -> list[Difference]:
    """Return how many rows of each kind a stage lacks; those of void rows by reason."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for one in rows:
        counts[_kind(one)] += one.count
    return [
        Difference(_name(*kind), count, _exactly(figures, *kind))
        for kind, count in counts.most_common()
    ]


def _kind(one: Counted) -> tuple[str, str, str]:
    reason = one.reason if one.state == AssignmentState.VOID else ""
    return one.meaning, one.state, reason


def _name(_: str, state: str, reason: str) -> str:
    if reason in AssignmentReason.values:
        return AssignmentReason(reason).phrase
    return _NOT_ACTIVE[AssignmentState(state)]


def _exactly(
    figures: ExecutionStatistics, meaning: str, state: str, reason: str
) -> str:
    """
    Return the list of the rows of one kind.

    It has no more filters than necessary: an index finds rows by execution, state and
    reason, and none finds them by meaning.
    """
    narrowed: dict[str, Any] = {"state__exact": state}
    if state == AssignmentState.ACTIVE:
        # A few of many; their mark has an index of its own.
        narrowed["cancelled_too_late__exact"] = 1
    if reason:
        narrowed["reason__exact"] = reason
    kinds = {_kind(one) for one in figures.assignments}
    if any(kind[1:] == (state, reason) for kind in kinds - {(meaning, state, reason)}):
        narrowed["meaning__exact"] = meaning
    return _list(figures, Assignment, **narrowed)


def _not_reported(figures: ExecutionStatistics) -> Iterator[Difference]:
    """Return those that are active and that Optimove does not know, by state."""
    for state, name in _NOT_REPORTED.items():
        if count := figures.redeemed[state]:
            href = _list(figures, Redemption, state__exact=state)
            yield Difference(name, count, href)


def _not_to_be_reported(figures: ExecutionStatistics) -> Iterator[Difference]:
    """Return those that are active without a redemption, if their promotion has none."""
    redeemed = figures.redeemed.total()
    count = figures.assigned[AssignmentState.ACTIVE] - redeemed
    if count <= 0:
        return
    narrowed: dict[str, Any] = {"state__exact": AssignmentState.ACTIVE}
    if redeemed:
        narrowed["redemption__isnull"] = True
    href = _list(figures, Assignment, **narrowed)
    yield Difference("not to be reported", count, href)


def _sentences(figures: ExecutionStatistics) -> Iterator[str]:
    if pace := figures.pace:
        yield f"It goes at {pace}."
    elif figures.owed and figures.is_moving:
        yield "Nothing became active in the last two minutes."
    elif figures.owed and figures.execution.stop != ExecutionStop.NONE:
        yield f"It is stopped: {figures.owed:,} owed wait until somebody resumes it."
    yield from _drift(figures)


def _drift(figures: ExecutionStatistics) -> Iterator[str]:
    execution = figures.execution
    if figures.assigned.total() > MAX_ROWS_COMPARED:
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


def _held_assignments(figures: ExecutionStatistics) -> Iterator[Group]:
    is_over = figures.execution.stop == ExecutionStop.CANCELLED
    for reason, count in _held(figures.assignments):
        yield Group(
            dict(AssignmentReason.choices).get(reason, "For another reason"),
            count,
            _held_list(figures, Assignment, reason),
            can_retry=reason not in _NOT_BY_RETRYING and not is_over,
        )


def _held_redemptions(figures: ExecutionStatistics) -> Iterator[Group]:
    for reason, count in _held(figures.redemptions):
        label = dict(RedemptionReason.choices).get(reason, "for another reason")
        yield Group(f"Reports: {label}", count, _held_list(figures, Redemption, reason))


def _held(rows: Sequence[Counted]) -> list[tuple[str, int]]:
    """Return the reasons of held rows and their counts, the most frequent first."""
    counts: Counter[str] = Counter()
    for one in rows:
        if one.state == AssignmentState.HELD:
            counts[one.reason] += one.count
    return counts.most_common()


def _held_list(figures: ExecutionStatistics, model: type[Model], reason: str) -> str:
    held = AssignmentState.HELD  # the same value for redemptions
    return _list(figures, model, state__exact=held, reason__exact=reason)
