"""
The log of who did what: Django's own, with what it has no room for.

Of which kind an entry is stands where Django keeps its own three kinds, so that an index
finds the few refusals among a million deeds. From where it was done stands beside it and
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
    """From where an entry's deed was done."""

    entry = models.OneToOneField(
        LogEntry, on_delete=models.CASCADE, primary_key=True, related_name="origin"
    )
    address = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.address


def entry(
    model: type[models.Model] | None,
    kind: AuditKind,
    said: str,
    *,
    by: Any,
    about: models.Model | str,
) -> LogEntry:
    """What is to be kept of a deed about one row, or about what is named instead."""
    row = about if isinstance(about, models.Model) else None
    return LogEntry(
        user=by,
        content_type=ContentType.objects.get_for_model(model) if model else None,
        object_id=str(row.pk) if row else None,
        object_repr=str(about)[:200],
        action_flag=kind,
        change_message=said,
    )


def keep(entries: Iterable[LogEntry], *, address: str) -> None:
    """Keep entries, and from where they were done; both or neither."""
    with transaction.atomic():
        kept = LogEntry.objects.bulk_create(entries, batch_size=1_000)
        note(kept, address=address)


def note(kept: Iterable[LogEntry], *, address: str) -> None:
    """Keep from where it was done, of entries that are kept already."""
    origins = [Origin(entry=each, address=address) for each in kept]
    Origin.objects.bulk_create(origins, batch_size=1_000)
