from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from rewards.models.assignment import Assignment


class Attempt(models.Model):
    """A call to the platform, saved before an activation or after a status check."""

    class Kind(models.TextChoices):
        ACTIVATE = "ACTIVATE", "Activate request"
        LOOK_UP = "LOOK_UP", "Status check"

    class Outcome(models.TextChoices):
        GIVEN = "GIVEN", "Activated"
        NOT_FOUND = "NOT_FOUND", "Not found"
        UNAVAILABLE = "UNAVAILABLE", "Unavailable, no effect"
        UNANSWERED = "UNANSWERED", "No response, effect unknown"
        REFUSED = "REFUSED", "Rejected"
        MALFORMED = "MALFORMED", "Invalid response"
        MISCONFIGURED = "MISCONFIGURED", "Configuration error"
        NOT_SENT = "NOT_SENT", "Not sent"
        LOST = "LOST", "Worker stopped, effect unknown"

    assignment = models.ForeignKey(
        Assignment, on_delete=models.CASCADE, related_name="history", db_index=False
    )
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.ACTIVATE)
    number = models.PositiveIntegerField()
    begun_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=15, choices=Outcome, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    answer = models.TextField(blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    token = models.UUIDField(
        null=True, editable=False, help_text="The lease token of the claim."
    )
    # What the platform promised when the request was made. The previous release
    # recorded nothing: its attempts have no address.
    address = models.TextField(
        blank=True, default="", db_default="", help_text="Where it was sent."
    )
    remembers_for = models.DurationField(
        null=True, blank=True, help_text="Empty: the platform was not idempotent."
    )
    settle_grace = models.DurationField(
        null=True, blank=True, help_text="Empty: the platform was not askable."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["assignment", "kind", "number"], name="attempt_numbered"
            )
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} ({self.kind}) of {self.assignment_id}"
