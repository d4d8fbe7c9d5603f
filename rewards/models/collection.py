from __future__ import annotations

from django.db import models

from executions.models import Execution
from promoportal.db.leases import Leased
from promoportal.db.state_machine import Stateful, Transition, constraint
from rewards.models.choices import AssignmentReason, CollectionState
from rewards.models.indexes import partial

IDLE, WAITING, COLLECTING, DONE, HELD = CollectionState


class Collection(Stateful, Leased):
    """The assignment fetch of one execution, with the progress of its current run."""

    machines = {
        "state": {
            IDLE: frozenset({WAITING, HELD}),
            WAITING: frozenset({COLLECTING, HELD}),
            COLLECTING: frozenset({WAITING, DONE, HELD}),
            DONE: frozenset({WAITING, HELD}),
            HELD: frozenset({WAITING, IDLE}),
        }
    }

    execution = models.OneToOneField(
        Execution, on_delete=models.CASCADE, related_name="collection"
    )
    state = models.CharField(max_length=20, choices=CollectionState, default=IDLE)
    reason = models.CharField(max_length=20, choices=AssignmentReason, blank=True)
    problem = models.TextField(blank=True)
    again = models.BooleanField(
        default=False, help_text="One more pass was asked for while one was under way."
    )
    number = models.PositiveIntegerField(default=0, help_text="Passes begun.")
    finished = models.PositiveIntegerField(default=0, help_text="The last full pass.")
    cursor = models.TextField(blank=True, help_text="Where the next page begins.")
    pages = models.PositiveIntegerField(default=0)
    seen = models.PositiveIntegerField(
        default=0, help_text="Distinct rows of this pass."
    )
    total = models.PositiveIntegerField(
        null=True, blank=True, help_text="How many Optimove says there are."
    )
    barren = models.PositiveIntegerField(
        default=0, help_text="Pages in a row that brought nothing new."
    )
    restarts = models.PositiveIntegerField(default=0)
    empties = models.PositiveIntegerField(default=0)
    looks = models.PositiveSmallIntegerField(
        default=0, help_text="How often the list was whole since it was asked for."
    )
    seen_before = models.PositiveIntegerField(
        default=0, help_text="Distinct rows of the whole list before."
    )
    begun_at = models.DateTimeField(
        null=True, blank=True, help_text="When the current pass began."
    )
    whole_at = models.DateTimeField(
        null=True, blank=True, help_text="When the last full pass began."
    )
    whole_before = models.DateTimeField(
        null=True, blank=True, help_text="When the full pass before it began."
    )
    malformed = models.PositiveIntegerField(default=0)
    deaths = models.PositiveIntegerField(default=0)
    taken_back = models.BooleanField(
        default=False, help_text="It was cancelled, and all its rows followed."
    )
    cleared_to = models.BigIntegerField(
        null=True,
        help_text="Rows up to here passed the limits; some wait to be let go.",
    )
    waived = models.JSONField(
        default=dict, help_text="The figures past the limits that a person let go."
    )

    class Meta:
        constraints = [constraint("collection_state_known", CollectionState.values)]
        indexes = [
            # The scheduler looks for due runs every second.
            partial("collection_due", "not_before", state__in=[WAITING, COLLECTING]),
            partial("collection_clearing", "cleared_to", cleared_to__isnull=False),
        ]

    def __str__(self) -> str:
        return f"collection of {self.execution_id}"


class CollectionTransition(Transition):
    row = models.ForeignKey(
        Collection, on_delete=models.CASCADE, related_name="transitions"
    )


class Tally(models.Model):
    """Number and value of an execution's rewards in one unit, for the limits."""

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="tallies"
    )
    unit = models.CharField(max_length=50, blank=True, help_text="EUR, spins, ...")
    customers = models.PositiveIntegerField(default=0)
    value = models.DecimalField(max_digits=26, decimal_places=6, default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["execution", "unit"], name="tally_per_unit")
        ]

    def __str__(self) -> str:
        return f"{self.execution_id}: {self.customers} of {self.unit or 'codes'}"
