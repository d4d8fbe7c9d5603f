from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from promoportal.db.display_names import Named


class Promotion(Named):
    """A promotion that Optimove listed for a customer at least once."""

    class Mode(models.TextChoices):
        DEFAULT = "", "Default"
        TRIGGERED = "triggered", "Immediate"
        SCHEDULED = "scheduled", "Batched"
        OFF = "off", "Off"

    # The columns that a decision of staff depends on; see `row_versions`.
    versioned: ClassVar[dict[str, tuple[str, ...]]] = {"row": ("redemption_mode",)}

    code = models.CharField(max_length=200, blank=True)
    redemption_mode = models.CharField(max_length=10, choices=Mode, blank=True)
    first_seen_at = models.DateTimeField(db_default=Now())

    class Meta(Named.Meta):
        indexes = [
            *Named.Meta.indexes,
            # The search combines this index with the indexes of the name and the ID.
            models.Index(fields=["code"], name="promotion_by_code"),
        ]
        permissions = [
            ("set_redemption_mode", "Can set how activations are reported"),
            ("name_promotion", "Can give a promotion a name"),
        ]

    def __str__(self) -> str:
        return self.reference
