"""What happens next to a reward, and when, in a sentence that support can read out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from executions.models import Stop
from redemptions.models import Redemption
from redemptions.models import State as Reporting
from rewards import decisions
from rewards.models import Assignment, Reason, State


@dataclass(frozen=True)
class Prospect:
    """What happens next; from when on, where that is known; and whether by a person."""

    sentence: str
    at: datetime | None = None
    takes_a_person: bool = False


def of(row: Assignment) -> Prospect:
    """
    Say it of one reward. Its execution and its redemption are best selected with it.
    """
    if row.execution.stop != Stop.NONE and row.state == State.OWED:
        return Prospect(
            "Its execution is stopped: somebody resumes it, or not.", None, True
        )
    return _OF[State(row.state)](row)


def has_it(row: Assignment) -> str:
    """Whether the customer has it, as far as anybody knows."""
    if row.state == State.ACTIVE:
        return "The customer has it."
    if row.doubtful or row.state in {State.ACTIVATING, State.UNCERTAIN}:
        return "Nobody knows yet whether the customer has it."
    if row.state == State.VOID:
        return "The customer does not get it."
    return "The customer does not have it yet."


def _owed(row: Assignment) -> Prospect:
    if not row.cleared:
        return Prospect("Its execution is checked against the limits first.")
    if row.doubtful:
        return Prospect("It is sent again under the same key.", row.not_before)
    if row.failures:
        return Prospect(
            "The platform was not available; it is tried again.", row.not_before
        )
    return Prospect("It is sent to the platform.", row.not_before)


def _activating(_: Assignment) -> Prospect:
    return Prospect("It is being sent right now.")


def _uncertain(row: Assignment) -> Prospect:
    hours = settings.SETTLE_WITHIN.total_seconds() / 3600
    said = (
        "It was sent and not answered. The portal finds out what became of it; after "
        f"{hours:g} hours a person does."
    )
    return Prospect(said, row.not_before)


def _active(row: Assignment) -> Prospect:
    redemption: Redemption | None = getattr(row, "redemption", None)
    if redemption is None:
        return Prospect("The customer has it. It is not reported to Optimove.")
    sentence, is_due = _REPORTED[Reporting(redemption.state)]
    at = redemption.not_before if is_due else None
    is_held = redemption.state == Reporting.HELD
    return Prospect(f"The customer has it. {sentence}", at, is_held)


_REPORTED: dict[Reporting, tuple[str, bool]] = {
    Reporting.WAITING: ("Optimove will be told.", True),
    Reporting.REPORTING: ("Optimove is being told.", False),
    Reporting.UNCERTAIN: (
        "Optimove was told and did not answer; it is told again.",
        True,
    ),
    Reporting.REPORTED: ("Optimove knows it; nothing is left to do.", False),
    Reporting.HELD: ("Optimove does not know it; a person looks at why.", False),
    Reporting.WRITTEN_OFF: ("Optimove will not be told.", False),
}


def _held(row: Assignment) -> Prospect:
    if row.doubtful:
        said = "Somebody looks in the platform's books, and says whether it was given."
        return Prospect(said, None, True)
    if why_not := decisions.not_theirs(row):
        return Prospect(f"{why_not[0].upper()}{why_not[1:]}.", None, True)
    said = _HELD.get(Reason(row.reason), "") if row.reason else ""
    return Prospect(said or "A person looks at it.", None, True)


_HELD = {
    Reason.UNREADABLE: "An engineer mends the contract, or Optimove the row; then try again.",
    Reason.UNKNOWN_STATUS: "An engineer adds the status to the contract; then try again.",
    Reason.REFUSED: "Mend at the platform what its words name, then try again.",
    Reason.DIFFERS: "CRM says whether what Optimove lists now is meant.",
    Reason.REPEATED: "CRM says whether a second one is meant.",
    Reason.OVER_LIMIT: "CRM says whether so much is meant.",
    Reason.TOO_LATE: "CRM says whether it still makes sense; then try again.",
    Reason.POISON: "An engineer looks at what killed the worker.",
}


def _void(row: Assignment) -> Prospect:
    said = _VOID.get(Reason(row.reason), "") if row.reason else ""
    return Prospect(said or "Nothing was assigned.")


_VOID = {
    Reason.NOT_ASSIGNED: "Optimove assigned nothing, so there is nothing to give.",
    Reason.CANCELLED: "It was cancelled before the customer had it.",
    Reason.WRITTEN_OFF: "Staff decided that it will not be given.",
}

_OF = {
    State.OWED: _owed,
    State.ACTIVATING: _activating,
    State.UNCERTAIN: _uncertain,
    State.ACTIVE: _active,
    State.HELD: _held,
    State.VOID: _void,
}
