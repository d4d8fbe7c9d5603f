"""
The progress panel of an execution, from Optimove's list to the report.

The figures come from the state counts, so the panel takes the same time for ten rewards
and for a million. Only executions of up to `MAX_ROWS_COMPARED` rows are reconciled.
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
from rewards import obstacles
from rewards.models import Assignment, AssignmentReason, AssignmentState

# Maximum number of rows of an execution that its page reconciles.
MAX_ROWS_COMPARED = 20_000
# Maximum number of rows that a linked list may skip, because no index excludes them.
MAX_ROWS_BETWEEN = 20_000
# Reasons that a bulk retry does not resolve: staff must decide each row on its own.
_NOT_BY_RETRYING = {*obstacles.NEEDS_CONFIRMATION, AssignmentReason.UNANSWERED}

_NOT_ACTIVE = {
    AssignmentState.OWED: "owed",
    AssignmentState.ACTIVATING: "being activated",
    AssignmentState.UNCERTAIN: "sent, no answer yet",
    AssignmentState.ACTIVE: "taken back too late",
    AssignmentState.HELD: "held",
    AssignmentState.VOID: "nothing to activate",
}
_IN_DOUBT = "possibly activated"  # instead of a reason, for rows in `VOID`
_NOT_REPORTED = {
    RedemptionState.WAITING: "to be reported",
    RedemptionState.REPORTING: "being reported",
    RedemptionState.UNCERTAIN: "sent, no answer yet",
    RedemptionState.HELD: "reports held",
    RedemptionState.WRITTEN_OFF: "written off",
}


@page_extensions.panel(Execution)
def funnel_panel(execution: Execution) -> Panel:
    """Return the panel: the number of rows at each stage, and the differences."""
    (figures,) = ExecutionStatistics.of_each([execution])
    return Panel(
        "From Optimove's list to the report",
        "progress",
        drawing=stacked_bar(parts(figures)),
        stages=list(_stages(figures)),
        sentences=list(_sentences(figures)),
        groups=list(_held_groups(figures)),
        export=_list(figures, Assignment),
        is_wide=True,
        is_live=figures.is_moving,
    )


def _list(figures: ExecutionStatistics, model: type[Model], **narrowed: Any) -> str:
    return list_of(model, execution=figures.execution.pk, **narrowed)


def _stages(figures: ExecutionStatistics) -> Iterator[Stage]:
    eligible = [row for row in figures.assignments if row.meaning == Meaning.ACTIVATE]
    others = [row for row in figures.assignments if row.meaning != Meaning.ACTIVATE]
    not_active = [row for row in eligible if row.state != AssignmentState.ACTIVE]
    cancelled = [row for row in others if row.state == AssignmentState.ACTIVE]
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
            *(replace(row, is_more=True) for row in _differences(figures, cancelled)),
        ],
    )
    yield Stage(
        "reported",
        figures.redeemed[RedemptionState.REPORTED],
        _list(figures, Redemption, state__exact=RedemptionState.REPORTED),
        [*_not_reported(figures), *_not_to_be_reported(figures)],
    )


def _eligible(figures: ExecutionStatistics) -> str:
    """Return the address of the list of eligible rows; "" if the list would be slow."""
    others = figures.assigned.total() - figures.eligible
    if others > MAX_ROWS_BETWEEN:
        return ""
    narrowed = {"meaning__exact": Meaning.ACTIVATE} if others else {}
    return _list(figures, Assignment, **narrowed)


def _differences(
    figures: ExecutionStatistics, rows: Iterable[Counted]
) -> list[Difference]:
    """Return the number of rows of each kind, with the address of their list."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        counts[_kind(row)] += row.count
    in_doubt = _void_in_doubt(figures) & counts if counts else Counter()
    counts -= in_doubt
    for (meaning, state, _), count in in_doubt.items():
        counts[meaning, state, _IN_DOUBT] += count
    return [
        Difference(_name(*kind), count, _of_kind(figures, *kind))
        for kind, count in counts.most_common()
    ]


def _void_in_doubt(figures: ExecutionStatistics) -> Counter[tuple[str, str, str]]:
    """
    Return the rows in `VOID` that may be activated, by kind; at most `MAX_ROWS_COMPARED`.

    After a restored backup, such a row may have been activated before the restore.
    """
    void = AssignmentState.VOID
    if not figures.assigned[void]:
        return Counter()
    rows = Assignment.objects.filter(
        execution=figures.execution, state=void, doubtful=True
    )
    kinds = rows.values_list("meaning", "state", "reason")
    return Counter(kinds[:MAX_ROWS_COMPARED])


def _kind(row: Counted) -> tuple[str, str, str]:
    reason = row.reason if row.state == AssignmentState.VOID else ""
    return row.meaning, row.state, reason


def _name(_: str, state: str, reason: str) -> str:
    if reason == _IN_DOUBT:
        return _IN_DOUBT
    if reason in AssignmentReason.values:
        return AssignmentReason(reason).phrase
    return _NOT_ACTIVE[AssignmentState(state)]


def _of_kind(
    figures: ExecutionStatistics, meaning: str, state: str, reason: str
) -> str:
    """
    Return the address of the list of one kind of rows.

    The address has no more filters than necessary: an index finds rows by execution,
    state and reason, but no index finds rows by meaning.
    """
    if reason == _IN_DOUBT:
        return _list(figures, Assignment, needs="void_in_doubt", meaning__exact=meaning)
    narrowed: dict[str, Any] = {"state__exact": state}
    if state == AssignmentState.ACTIVE:
        # These rows are few, and their flag has an index of its own.
        narrowed["cancelled_too_late__exact"] = 1
    if reason:
        narrowed["reason__exact"] = reason
    kinds = {_kind(row) for row in figures.assignments}
    if any(kind[1:] == (state, reason) for kind in kinds - {(meaning, state, reason)}):
        narrowed["meaning__exact"] = meaning
    return _list(figures, Assignment, **narrowed)


def _not_reported(figures: ExecutionStatistics) -> Iterator[Difference]:
    """Yield the numbers of activated rewards that are not reported, by state."""
    for state, name in _NOT_REPORTED.items():
        if count := figures.redeemed[state]:
            href = _list(figures, Redemption, state__exact=state)
            yield Difference(name, count, href)


def _not_to_be_reported(figures: ExecutionStatistics) -> Iterator[Difference]:
    """Yield the number of activated rewards without a redemption, unless it is 0."""
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
        verb, lack = ("disagrees", "lacks") if drift == 1 else ("disagree", "lack")
        yield (
            f"{drift:,} {verb} with Optimove's list, or {lack} a redemption. "
            "Collect the execution again; what still disagrees then is for an engineer."
        )


def _held_groups(figures: ExecutionStatistics) -> Iterator[Group]:
    """Yield the numbers of assignments and of redemptions in `HELD`, by reason."""
    is_over = figures.execution.stop == ExecutionStop.CANCELLED
    for reason, count in _held(figures.assignments):
        label = dict(AssignmentReason.choices).get(reason, "For another reason")
        can_retry = reason not in _NOT_BY_RETRYING and not is_over
        yield Group(label, count, _held_list(figures, Assignment, reason), can_retry)
    for reason, count in _held(figures.redemptions):
        label = dict(RedemptionReason.choices).get(reason, "for another reason")
        yield Group(f"Reports: {label}", count, _held_list(figures, Redemption, reason))


def _held(rows: Sequence[Counted]) -> list[tuple[str, int]]:
    """Return the reasons of rows in `HELD` and their counts, most frequent first."""
    counts: Counter[str] = Counter()
    for row in rows:
        if row.state == AssignmentState.HELD:
            counts[row.reason] += row.count
    return counts.most_common()


def _held_list(figures: ExecutionStatistics, model: type[Model], reason: str) -> str:
    held = AssignmentState.HELD  # redemptions have the same value
    return _list(figures, model, state__exact=held, reason__exact=reason)
