"""
Comparison of Optimove's list, the activated rewards and the reports.

A row is listed if the last complete run, or a later run, received it. Rows that are
pending, have an unknown outcome or need review are work in progress, not mismatches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from django.conf import settings
from django.db.models import Count, FilteredRelation, Q

from executions.models import Execution, ExecutionStop
from promoportal.optimove import Meaning
from redemptions.models import MOVING, RedemptionState
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Collection,
    Promotion,
)


@dataclass(frozen=True)
class Reconciled:
    """Figures of one execution: row counts by state, and the number of mismatches."""

    occurrence: str
    listed: int
    eligible: int
    active: int
    owed: int
    uncertain: int
    held: int
    void: int
    reported: int
    waiting: int
    reports_held: int
    drift: int

    def as_json(self) -> dict[str, str | int]:
        return asdict(self)

    @property
    def is_settled(self) -> bool:
        """Return whether all eligible rewards are activated and reported."""
        is_complete = self.eligible == self.active == self.reported
        is_idle = not (self.owed or self.uncertain or self.held or self.waiting)
        return is_complete and is_idle and not self.drift


def total(figures: Sequence[Reconciled]) -> Reconciled:
    """Return the sum of the figures of several executions, without an `occurrence`."""
    counts = [field.name for field in fields(Reconciled) if field.name != "occurrence"]
    return Reconciled(
        occurrence="",
        **{name: sum(getattr(each, name) for each in figures) for name in counts},
    )


def reconcile(execution: Execution) -> Reconciled:
    """Return the figures of one execution; one statement counts all its assignments."""
    # Redemptions are filtered by execution, too: PostgreSQL then reads no others.
    own = FilteredRelation("redemption", condition=Q(redemption__execution=execution))
    rows = Assignment.objects.filter(execution=execution).annotate(report=own)
    collection = Collection.objects.filter(execution=execution).first()
    last_run = collection.finished if collection else 0
    missing = _missing(collection)
    counts = rows.aggregate(**_counts(last_run, execution))
    drift = counts.pop("drift") + missing
    return Reconciled(occurrence=execution.reference, drift=drift, **counts)


def _missing(collection: Collection | None) -> int:
    """Return how many rows of Optimove's total the run lacks; 0 until the run ends."""
    if collection is None or collection.total is None:
        return 0
    is_over = collection.number == collection.finished or bool(collection.reason)
    return max(0, collection.total - collection.seen) if is_over else 0


def _counts(last_run: int, execution: Execution) -> dict[str, Count]:
    listed = Q(listed_pass__gte=last_run)
    assigned = listed & Q(meaning=Meaning.ACTIVATE)
    return {
        "listed": Count("pk", filter=listed),
        "eligible": Count("pk", filter=assigned),
        "active": _in(AssignmentState.ACTIVE),
        "owed": _in(AssignmentState.OWED, AssignmentState.ACTIVATING),
        "uncertain": _in(AssignmentState.UNCERTAIN),
        "held": _in(AssignmentState.HELD),
        "void": _in(AssignmentState.VOID),
        "reported": Count("pk", filter=Q(report__state=RedemptionState.REPORTED)),
        "waiting": Count("pk", filter=Q(report__state__in=MOVING)),
        "reports_held": Count("pk", filter=Q(report__state=RedemptionState.HELD)),
        "drift": Count("pk", filter=_drift(listed, assigned, execution)),
    }


def _in(*states: AssignmentState) -> Count:
    return Count("pk", filter=Q(state__in=states))


def _drift(listed: Q, assigned: Q, execution: Execution) -> Q:
    """Return the condition for rows with one or more mismatches."""
    unreported = Q(state=AssignmentState.ACTIVE, report=None) & ~_off()
    wrongly_void = (
        assigned
        & Q(state=AssignmentState.VOID)
        & ~Q(reason=AssignmentReason.WRITTEN_OFF)
    )
    if execution.stop == ExecutionStop.CANCELLED:
        wrongly_void = Q(pk=None)
    return (
        ~listed
        | (Q(state=AssignmentState.ACTIVE) & ~assigned)
        | unreported
        | wrongly_void
    )


def _off() -> Q:
    """Return the condition for rows of promotions with the redemption mode "off"."""
    off = Q(promotion__redemption_mode=Promotion.Mode.OFF)
    if settings.REDEMPTION_MODE == "off":
        return off | Q(promotion__redemption_mode="")
    return off
