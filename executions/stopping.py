"""Holding an execution back, for a while or for good."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from executions import signals
from executions.announcing import join, seized
from executions.models import Execution, Kind, Reason, Stop
from promoportal import states


def hold(execution: Execution, *, problem: str) -> bool:
    """Stop it until a person lets it go; say whether it was running."""
    rows = Execution.objects.filter(pk=execution.pk)
    moved = states.move_all(
        rows,
        Stop.HELD,
        machine="stop",
        why=problem,
        reason=Reason.OVER_LIMIT,
        problem=problem,
    )
    return bool(moved)


def pause(execution: Execution, *, by: Any, why: str) -> None:
    """
    Claim nothing more of it until it is resumed.

    :raises states.IllegalMove: if it is not running
    :raises states.LostRace: if someone else stopped it meanwhile
    """
    execution.move(
        Stop.PAUSED, machine="stop", by=by, why=why, reason=Reason.BY_STAFF, problem=why
    )


def resume(execution: Execution, *, by: Any, why: str) -> None:
    """
    Let it run again; what held it is let go as it stands now.

    :raises states.IllegalMove: if it is not held or paused
    :raises states.LostRace: if someone else moved it meanwhile
    """
    with transaction.atomic():
        execution.move(Stop.NONE, machine="stop", by=by, why=why, reason="", problem="")
        signals.resumed.send(Execution, row=execution, by=by)


def cancel(execution: Execution, *, by: Any, why: str) -> None:
    """
    Give nothing more of it, for good.

    :raises states.IllegalMove: if it is cancelled already
    """
    with transaction.atomic():
        reason = Reason.BY_STAFF if by else Reason.BY_VENDOR
        execution.move(
            Stop.CANCELLED, machine="stop", by=by, why=why, reason=reason, problem=why
        )
        signals.cancelled.send(Execution, row=execution, by=by)


def cancel_by_vendor(occurrence: str) -> Execution:
    """The vendor cancelled it, perhaps before it announced it, perhaps twice."""
    with transaction.atomic():
        execution = seized(join(occurrence, kind=Kind.UNKNOWN))
        if execution.stop != Stop.CANCELLED:
            cancel(execution, by=None, why="Optimove cancelled it (event 4).")
    return execution
