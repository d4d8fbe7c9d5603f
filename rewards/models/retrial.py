from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from promoportal.db.state_machine import Stateful, Transition, constraint
from rewards.models.assignment import Assignment
from rewards.models.choices import RetrialState
from rewards.models.indexes import partial

RUNNING, PAUSED, DONE, CANCELLED = RetrialState


class Retrial(Stateful):
    """A bulk retry of all assignments that match the filters of a list."""

    machines = {
        "state": {
            RUNNING: frozenset({PAUSED, DONE, CANCELLED}),
            PAUSED: frozenset({RUNNING, CANCELLED}),
            DONE: frozenset(),
            CANCELLED: frozenset(),
        }
    }

    state = models.CharField(max_length=20, choices=RetrialState, default=RUNNING)
    form = models.UUIDField(unique=True, help_text="Pressed twice, it is one word.")
    narrowed = models.TextField(blank=True, help_text="How the list was narrowed.")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    why = models.TextField()
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    left_alone = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    # Rows that are newer than the confirmation, or changed since, are skipped.
    newest = models.BigIntegerField(
        null=True, help_text="The highest key of an assignment when it was confirmed."
    )
    confirmed_at = models.DateTimeField(null=True, blank=True)
    confirmed_as = models.TextField(
        blank=True, default="", db_default="", help_text="The figures as confirmed."
    )
    begun_as = models.TextField(
        blank=True, default="", db_default="", help_text="The figures at the start."
    )

    class Meta:
        constraints = [constraint("retrial_state_known", RetrialState.values)]
        indexes = [
            # The scheduler and the job look for running bulk retries.
            partial("retrial_running", "id", state=RUNNING)
        ]

    def __str__(self) -> str:
        return f"retrial {self.short_name}"

    @property
    def short_name(self) -> str:
        return f"of {self.total:,}"


class RetrialTransition(Transition):
    row = models.ForeignKey(
        Retrial, on_delete=models.CASCADE, related_name="transitions"
    )


class RetrialPart(models.Model):
    """
    Assignments that a bulk retry still has to retry, together in one transaction.

    An array is faster to insert than one row per key, and a user waits for the insert.
    """

    retrial = models.ForeignKey(
        Retrial, on_delete=models.CASCADE, related_name="parts", db_index=False
    )
    number = models.PositiveIntegerField()
    assignments = ArrayField(models.BigIntegerField())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["retrial", "number"], name="retrial_part_numbered"
            )
        ]

    def __str__(self) -> str:
        return f"part {self.number} of {self.retrial_id}"


class Retried(models.Model):
    """The result of a bulk retry for one assignment."""

    retrial = models.ForeignKey(
        Retrial, on_delete=models.CASCADE, related_name="rows", db_index=False
    )
    assignment = models.ForeignKey(
        Assignment, on_delete=models.CASCADE, related_name="+"
    )
    left_alone = models.TextField(blank=True, help_text="Why; empty if it was done.")

    class Meta:
        verbose_name = "retried assignment"
        constraints = [
            models.UniqueConstraint(
                fields=["retrial", "assignment"], name="retried_once"
            )
        ]
        indexes = [
            # The list of the results of a bulk retry, and its two filters.
            models.Index(fields=["retrial", "id"], name="retried_listed"),
            partial("retried_done", "retrial", "id", left_alone=""),
            models.Index(
                fields=["retrial", "id"],
                name="retried_left_alone",
                condition=~models.Q(left_alone=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.assignment_id} in {self.retrial_id}"
