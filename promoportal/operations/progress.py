"""Progress of an execution over all stages: fetching, activating, processed."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from executions.models import Execution, ExecutionProgress, Trigger, TriggerState
from promoportal.db import state_machine
from redemptions.models import MOVING, Redemption
from rewards.models import Assignment, AssignmentState, Collection, CollectionState


def update_progress() -> None:
    """Update the progress of each execution that is not `SETTLED` or locked."""
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
    # Code that adds work locks the execution first. This code locks the execution, too,
    # and then checks again, so that no execution is settled while work is being added.
    # A locked execution is skipped until the next run: a cancellation can take long.
    with transaction.atomic():
        free = rows.exclude(state=to).select_for_update(skip_locked=True, no_key=True)
        locked = list(free.values_list("pk", flat=True))
        state_machine.move_all(rows.filter(pk__in=locked), to, why=why)


def _is_collecting() -> Q:
    fetches = Collection.objects.filter(
        execution=OuterRef("pk"),
        state__in=[CollectionState.WAITING, CollectionState.COLLECTING],
    )
    triggers = Trigger.objects.filter(
        execution=OuterRef("pk"), state=TriggerState.WAITING
    )
    return Q(Exists(fetches.exclude(_CONFIRMING_RUN))) | Q(Exists(triggers))


# A complete list is stored, and a later run only looks for assignments that Optimove
# lists late. If the last list was empty (`empties`), the fetch is not complete.
_CONFIRMING_RUN = Q(
    state=CollectionState.WAITING, looks__gt=0, empties=0, not_before__gt=Now()
)


def _is_moving() -> Q:
    moving = [
        AssignmentState.OWED,
        AssignmentState.ACTIVATING,
        AssignmentState.UNCERTAIN,
    ]
    assignments = Assignment.objects.filter(execution=OuterRef("pk"), state__in=moving)
    redemptions = Redemption.objects.filter(execution=OuterRef("pk"), state__in=MOVING)
    confirming = Collection.objects.filter(_CONFIRMING_RUN, execution=OuterRef("pk"))
    return Q(Exists(assignments)) | Q(Exists(redemptions)) | Q(Exists(confirming))
