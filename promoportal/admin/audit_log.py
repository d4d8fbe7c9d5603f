"""
The log of who did what: Django's own, with what it has no room for.

Of which kind an entry is stands where Django keeps its own three kinds, so that an index
finds the few refusals among a million actions. From where it was done stands beside it and
not in its text: the text holds what people typed, who could write any address there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction


class AuditKind(models.IntegerChoices):
    """What was done. The first three are Django's own, of accounts."""

    ADDED = ADDITION, "Added"
    CHANGED = CHANGE, "Changed"
    DELETED = DELETION, "Deleted"
    DONE = 11, "Done"
    DONE_TO_ALL = 12, "Done to all that match"
    EXPORTED = 13, "Exported"
    REVEALED = 14, "Revealed"
    REFUSED = 15, "Refused"


class Origin(models.Model):
    """The network address that an entry's action came from."""

    entry = models.OneToOneField(
        LogEntry, on_delete=models.CASCADE, primary_key=True, related_name="origin"
    )
    address = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.address


def record(
    kind: AuditKind,
    said: str,
    *,
    by: Any,
    about: Iterable[models.Model | str],
    address: str,
    model: type[models.Model] | None = None,
) -> None:
    """
    Store an entry about each row with its origin, or about a name for rows of `model`.
    """
    entries = [_entry(kind, said, by, each, model) for each in about]
    with transaction.atomic():
        note(LogEntry.objects.bulk_create(entries, batch_size=1_000), address=address)


def _entry(
    kind: AuditKind,
    said: str,
    by: Any,
    about: models.Model | str,
    model: type[models.Model] | None,
) -> LogEntry:
    row = about if isinstance(about, models.Model) else None
    of = type(row) if row else model
    return LogEntry(
        user=by,
        content_type=ContentType.objects.get_for_model(of) if of else None,
        object_id=str(row.pk) if row else None,
        object_repr=str(about)[:200],
        action_flag=kind,
        change_message=said,
    )


def note(kept: Iterable[LogEntry], *, address: str) -> None:
    """Store the origin of entries that are stored already."""
    origins = [Origin(entry=each, address=address) for each in kept]
    Origin.objects.bulk_create(origins, batch_size=1_000)
