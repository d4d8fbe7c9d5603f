"""The identity of this portal, from which its idempotency keys are derived."""

from __future__ import annotations

import functools
from uuid import UUID

from django.db import models


class Installation(models.Model):
    """
    The identity of this portal: one row that never changes after the first migration.

    Idempotency keys are derived from its ID. With another ID, the platform would
    activate rewards twice. So the model is not `managed`: `flush` keeps this table.
    """

    id = models.UUIDField(primary_key=True)

    class Meta:
        managed = False
        db_table = "promoportal_installation"

    def __str__(self) -> str:
        return str(self.pk)


@functools.cache
def installation_id() -> UUID:
    """
    Return the ID from which keys are derived. Each process reads it once.

    :raises Installation.DoesNotExist: if it is missing: a new ID would change all keys
    """
    return Installation.objects.get().pk
