from __future__ import annotations

from django.db import models


class AssignmentState(models.TextChoices):
    OWED = "OWED", "To be activated"
    ACTIVATING = "ACTIVATING", "Being activated"
    UNCERTAIN = "UNCERTAIN", "Sent, no answer"
    ACTIVE = "ACTIVE", "Active"
    HELD = "HELD", "Held for staff"
    VOID = "VOID", "Nothing to activate"


class CollectionState(models.TextChoices):
    IDLE = "IDLE", "Nothing asked for"
    WAITING = "WAITING", "A pass is asked for"
    COLLECTING = "COLLECTING", "A pass is under way"
    DONE = "DONE", "Collected"
    HELD = "HELD", "Held for staff"


class AssignmentReason(models.TextChoices):
    """Why a row is held or void; prose goes beside it."""

    UNREADABLE = "UNREADABLE", "Optimove's row could not be read"
    UNKNOWN_STATUS = "UNKNOWN_STATUS", "The contract does not know its status"
    REFUSED = "REFUSED", "The platform refused it"
    UNANSWERED = "UNANSWERED", "Nobody can say whether it was given"
    MALFORMED = "MALFORMED", "Answers break the contract"
    DIFFERS = "DIFFERS", "Optimove changed the reward"
    REPEATED = "REPEATED", "A second assignment of the same promotion"
    TOO_LATE = "TOO_LATE", "It was not activated in time"
    OVER_LIMIT = "OVER_LIMIT", "It is past a limit"
    POISON = "POISON", "Working on it killed the worker"
    INCOMPLETE = "INCOMPLETE", "Optimove lists fewer than it says"
    EMPTY = "EMPTY", "Optimove lists nobody"
    GIVEN_UP = "GIVEN_UP", "It failed too often"
    NOT_ASSIGNED = "NOT_ASSIGNED", "Optimove assigned nothing"
    CANCELLED = "CANCELLED", "Cancelled before it was given"
    WRITTEN_OFF = "WRITTEN_OFF", "Written off by staff"


class AssignmentDifference(models.TextChoices):
    """What Optimove lists of a row otherwise than it was assigned."""

    REWARD = "REWARD", "Another reward"
    OWNER = "OWNER", "Another customer or promotion"

    @property
    def problem(self) -> str:
        """Return the sentence that staff read."""
        what = "reward" if self == self.REWARD else "customer or promotion"
        return f"Optimove lists another {what} than before."


class RetrialState(models.TextChoices):
    RUNNING = "RUNNING", "Under way"
    PAUSED = "PAUSED", "Paused"
    DONE = "DONE", "Done"
    CANCELLED = "CANCELLED", "Cancelled"
