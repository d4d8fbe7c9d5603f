"""How far an execution is, seen over all stages: collecting, activating, settled."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from executions.models import Execution, ExecutionProgress, Trigger, TriggerState
from promoportal.db import state_machine
from redemptions.models import Redemption, RedemptionState
from rewards.models import Assignment, AssignmentState, Collection, CollectionState


def update_progress() -> None:
    """Move every execution that is not settled to where it is now."""
    rows = Execution.objects.exclude(state=ExecutionProgress.SETTLED)
    _move(
        rows.filter(_is_collecting()),
        ExecutionProgress.COLLECTING,
        why="There is more to collect.",
    )
    _move(
        rows.exclude(_is_collecting()).filter(_is_moving()),
        ExecutionProgress.ACTIVATING,
        why="All is collected.",
    )
    _move(
        rows.exclude(_is_collecting()).exclude(_is_moving()),
        ExecutionProgress.SETTLED,
        why="Nothing is left that happens by itself.",
    )


def _move(rows: QuerySet[Execution], to: ExecutionProgress, *, why: str) -> None:
    # Whoever makes work locks the execution first. Locked here, and looked at anew, it
    # cannot be settled over work that was on its way when we first looked. One that
    # someone holds has its turn in a second: nobody waits for a long cancellation.
    with transaction.atomic():
        free = rows.exclude(state=to).select_for_update(skip_locked=True, no_key=True)
        locked = list(free.values_list("pk", flat=True))
        state_machine.move_all(rows.filter(pk__in=locked), to, why=why)


def _is_collecting() -> Q:
    passes = Collection.objects.filter(
        execution=OuterRef("pk"),
        state__in=[CollectionState.WAITING, CollectionState.COLLECTING],
    )
    triggers = Trigger.objects.filter(
        execution=OuterRef("pk"), state=TriggerState.WAITING
    )
    return Q(Exists(passes.exclude(_SECOND_LOOK))) | Q(Exists(triggers))


# All is there, as far as the vendor says; whoever is listed late is looked for later.
# A list that was empty this time is not there.
_SECOND_LOOK = Q(
    state=CollectionState.WAITING, looks__gt=0, empties=0, not_before__gt=Now()
)


def _is_moving() -> Q:
    moving = [
        AssignmentState.OWED,
        AssignmentState.ACTIVATING,
        AssignmentState.UNCERTAIN,
    ]
    assignments = Assignment.objects.filter(execution=OuterRef("pk"), state__in=moving)
    unreported = [
        RedemptionState.WAITING,
        RedemptionState.REPORTING,
        RedemptionState.UNCERTAIN,
    ]
    redemptions = Redemption.objects.filter(
        execution=OuterRef("pk"), state__in=unreported
    )
    looks = Collection.objects.filter(_SECOND_LOOK, execution=OuterRef("pk"))
    return Q(Exists(assignments)) | Q(Exists(redemptions)) | Q(Exists(looks))
