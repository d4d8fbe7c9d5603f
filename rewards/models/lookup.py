from __future__ import annotations

from django.db import models

from rewards.models.collection import Collection


class Lookup(models.Model):
    """A look-up of triggered customers whose answer has pages that are still missing."""

    collection = models.OneToOneField(
        Collection, on_delete=models.CASCADE, related_name="lookup"
    )
    # A cursor is valid only for the query that it belongs to.
    waiting = models.JSONField(
        help_text="Each customer: primary key, number of announcements, ID."
    )
    cursor = models.TextField(blank=True, help_text="Where the next page begins.")
    pages = models.PositiveIntegerField(default=0)
    listed = models.JSONField(default=list, help_text="Customers on these pages.")
    visited = models.JSONField(
        default=list, help_text="Digests of the cursors and pages, to find a circle."
    )
    barren = models.PositiveIntegerField(
        default=0, help_text="Pages in a row that were fetched before."
    )
    restarts = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"look-up of {self.collection_id}"
