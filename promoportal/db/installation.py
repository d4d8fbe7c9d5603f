"""The identity of this portal, from which its idempotency keys are derived."""

from __future__ import annotations

import functools
from uuid import UUID

from django.db import models


class Installation(models.Model):
    """
    This portal, from its first migration on: one row that never changes.

    Keys sent to the platform are derived from its id. With another id the platform
    would activate rewards twice. So only its migration creates the table (`managed` is
    False): `flush` empties every other table, but not this one.
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
    Return the id that keys are derived from; read once in each process.

    :raises Installation.DoesNotExist: if it is missing, because none may be made up
    """
    return Installation.objects.get().pk
