from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from rewards.models.assignment import Assignment


class Proposal(models.Model):
    """The first of two approvals for a possibly activated reward of a high value."""

    class Says(models.TextChoices):
        GIVEN = "GIVEN", "Activated"
        NOT_GIVEN = "NOT_GIVEN", "Not activated"

    assignment = models.OneToOneField(
        Assignment, on_delete=models.CASCADE, related_name="proposal"
    )
    says = models.CharField(max_length=10, choices=Says)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    why = models.TextField()
    version = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="The version of the assignment that the first user decided about.",
    )
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.by}: {self.get_says_display()}"
