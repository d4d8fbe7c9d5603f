"""
Three ledgers that must agree: what the vendor lists, what is active, what is reported.

"Listed" is what the last full pass saw. Owed, held, uncertain and waiting rows are work;
drift is what should not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from django.conf import settings
from django.db.models import Count, FilteredRelation, Q

from executions.models import Execution, ExecutionStop
from promoportal.optimove import Meaning
from redemptions.models import RedemptionState
from rewards.models import (
    Assignment,
    AssignmentReason,
    AssignmentState,
    Collection,
    Promotion,
)


@dataclass(frozen=True)
class Reconciled:
    """One execution's figures: how many assignments are where, and what disagrees."""

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
        """Whether every reward that was assigned is active and reported."""
        all_given = self.eligible == self.active == self.reported
        nothing_left = not (self.owed or self.uncertain or self.held or self.waiting)
        return all_given and nothing_left and not self.drift


def total(found: Sequence[Reconciled]) -> Reconciled:
    """Add up the figures of several executions; the sum has no occurrence."""
    counts = [field.name for field in fields(Reconciled) if field.name != "occurrence"]
    return Reconciled(
        occurrence="",
        **{name: sum(getattr(one, name) for one in found) for name in counts},
    )


def reconcile(execution: Execution) -> Reconciled:
    """Count one execution's rows, in one statement."""
    # Said of the redemptions too: of all there are, those of one execution are few.
    own = FilteredRelation("redemption", condition=Q(redemption__execution=execution))
    rows = Assignment.objects.filter(execution=execution).annotate(report=own)
    collection = Collection.objects.filter(execution=execution).first()
    last_pass = collection.finished if collection else 0
    missing = _missing(collection)
    counts = rows.aggregate(**_counts(last_pass, execution))
    drift = counts.pop("drift") + missing
    return Reconciled(occurrence=execution.reference, drift=drift, **counts)


def _missing(collection: Collection | None) -> int:
    """Rows the vendor says there are, and that no pass brought."""
    if collection is None or collection.total is None:
        return 0
    return max(0, collection.total - collection.seen) if _is_over(collection) else 0


def _is_over(collection: Collection) -> bool:
    return collection.number == collection.finished or bool(collection.reason)


def _counts(last_pass: int, execution: Execution) -> dict[str, Count]:
    listed = Q(listed_pass__gte=last_pass)
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
        "waiting": Count("pk", filter=Q(report__state__in=_UNREPORTED)),
        "reports_held": Count("pk", filter=Q(report__state=RedemptionState.HELD)),
        "drift": Count("pk", filter=_drift(listed, assigned, execution)),
    }


_UNREPORTED = [
    RedemptionState.WAITING,
    RedemptionState.REPORTING,
    RedemptionState.UNCERTAIN,
]


def _in(*states: AssignmentState) -> Count:
    return Count("pk", filter=Q(state__in=states))


def _drift(listed: Q, assigned: Q, execution: Execution) -> Q:
    """Each way in which a row can disagree; a row counts once."""
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
    """Promotions whose activations are not reported."""
    off = Q(promotion__redemption_mode=Promotion.Mode.OFF)
    if settings.REDEMPTION_MODE == "off":
        return off | Q(promotion__redemption_mode="")
    return off
