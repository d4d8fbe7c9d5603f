"""Which portal this is: what it sends out is named after it."""

from __future__ import annotations

import functools
from uuid import UUID

from django.db import models


class Installation(models.Model):
    """
    This portal, from its first migration on: one row, for ever.

    Keys sent to the platform are derived from its id. With another id the platform would
    not know them again, and would credit twice. So the table is made by its migration
    and by nothing else (`managed` is False): `flush` empties every other, but not this.
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
    The id that keys are derived from; read once in each process.

    :raises Installation.DoesNotExist: rather than make up another
    """
    return Installation.objects.get().pk
