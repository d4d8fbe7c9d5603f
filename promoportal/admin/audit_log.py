"""
The audit log: Django's entries, with a kind and the client address.

The kind is stored in Django's `action_flag`, so that an index finds the few refusals
among a million actions. The address has a table of its own. It is not in the text of
an entry, because the text contains what users typed, and users can type any address.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction


class AuditKind(models.IntegerChoices):
    """Kinds of audit entries. The first three are Django's own, for accounts."""

    ADDED = ADDITION, "Added"
    CHANGED = CHANGE, "Changed"
    DELETED = DELETION, "Deleted"
    DONE = 11, "Done"
    DONE_TO_ALL = 12, "Done to all that match"
    EXPORTED = 13, "Exported"
    REVEALED = 14, "Revealed"
    REFUSED = 15, "Refused"


class Origin(models.Model):
    """The network address from which the action of an entry was performed."""

    entry = models.OneToOneField(
        LogEntry, on_delete=models.CASCADE, primary_key=True, related_name="origin"
    )
    address = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.address


def record(
    kind: AuditKind,
    message: str,
    *,
    by: Any,
    about: Iterable[models.Model | str],
    address: str,
    model: type[models.Model] | None = None,
) -> None:
    """Store an entry and its origin for each row, or each name for rows of `model`."""
    entries = [_entry(kind, message, by, each, model) for each in about]
    with transaction.atomic():
        note(LogEntry.objects.bulk_create(entries, batch_size=1_000), address=address)


def _entry(
    kind: AuditKind,
    message: str,
    by: Any,
    about: models.Model | str,
    model: type[models.Model] | None,
) -> LogEntry:
    row = about if isinstance(about, models.Model) else None
    type_ = type(row) if row else model
    return LogEntry(
        user=by,
        content_type=ContentType.objects.get_for_model(type_) if type_ else None,
        object_id=str(row.pk) if row else None,
        object_repr=str(about)[:200],
        action_flag=kind,
        change_message=message,
    )


def note(entries: Iterable[LogEntry], *, address: str) -> None:
    """Store the origin of entries that exist already."""
    origins = [Origin(entry=each, address=address) for each in entries]
    Origin.objects.bulk_create(origins, batch_size=1_000)
