from __future__ import annotations

from django.db import models


class AssignmentState(models.TextChoices):
    OWED = "OWED", "Pending"
    ACTIVATING = "ACTIVATING", "Sending"
    UNCERTAIN = "UNCERTAIN", "Outcome unknown"
    ACTIVE = "ACTIVE", "Activated"
    HELD = "HELD", "Needs review"
    VOID = "VOID", "No reward"


class CollectionState(models.TextChoices):
    IDLE = "IDLE", "Not requested"
    WAITING = "WAITING", "Queued"
    COLLECTING = "COLLECTING", "Fetching"
    DONE = "DONE", "Complete"
    HELD = "HELD", "Needs review"


class AssignmentReason(models.TextChoices):
    """Reasons for `HELD` and `VOID`; `problem` contains a sentence with details."""

    UNREADABLE = "UNREADABLE", "Invalid data"
    UNKNOWN_STATUS = "UNKNOWN_STATUS", "Unknown status"
    REFUSED = "REFUSED", "Request rejected"
    UNANSWERED = "UNANSWERED", "Outcome unknown"
    MALFORMED = "MALFORMED", "Invalid response"
    DIFFERS = "DIFFERS", "Reward changed"
    REPEATED = "REPEATED", "Duplicate assignment"
    TOO_LATE = "TOO_LATE", "Deadline passed"
    OVER_LIMIT = "OVER_LIMIT", "Over limit"
    POISON = "POISON", "Repeated crash"
    INCOMPLETE = "INCOMPLETE", "Incomplete list"
    EMPTY = "EMPTY", "Empty list"
    GIVEN_UP = "GIVEN_UP", "Retries exhausted"
    NOT_ASSIGNED = "NOT_ASSIGNED", "Not assigned"
    CANCELLED = "CANCELLED", "Cancelled before activation"
    WRITTEN_OFF = "WRITTEN_OFF", "Written off"

    @property
    def phrase(self) -> str:
        """Return the label with a small first letter, for use inside a sentence."""
        return f"{self.label[:1].lower()}{self.label[1:]}"


class AssignmentDifference(models.TextChoices):
    """The part of an assignment that Optimove changed after it was assigned."""

    REWARD = "REWARD", "Another reward"
    OWNER = "OWNER", "Another customer or promotion"

    @property
    def problem(self) -> str:
        """Return a sentence about the change, for staff."""
        what = "reward" if self == self.REWARD else "customer or promotion"
        return f"Optimove lists another {what} than before."


class RetrialState(models.TextChoices):
    RUNNING = "RUNNING", "Running"
    PAUSED = "PAUSED", "Paused"
    DONE = "DONE", "Complete"
    CANCELLED = "CANCELLED", "Cancelled"
