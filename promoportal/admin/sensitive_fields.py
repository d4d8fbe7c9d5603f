"""
Fields that are hidden until the user states a reason: then they are shown for a time.

The audit log stores the reason. The user sees the hidden fields of the row if the entry
is recent enough, and the user has the permission.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.utils import timezone

from promoportal.admin import audit_log
from promoportal.admin.actions import Action
from promoportal.db.bulk_result import BulkResult

# Time for which the fields are shown after the user stated a reason.
FOR = timedelta(minutes=5)
NOT_SHOWN = "Not shown. Who may see it says why first."


@dataclass(frozen=True)
class Reveal:
    """The hidden fields of a model, and the action that shows them."""

    model: type[Model]
    permission: str
    label: str
    said: tuple[str, str]
    # The replacement of each hidden field on the page of a row.
    instead: Mapping[Any, Any]

    @cached_property
    def action(self) -> Action:
        return Action(
            "reveal",
            self.label,
            self.permission,
            _reveal,
            said=self.said,
            in_list=False,
            about=(),
            is_only_logged=True,
            kind=audit_log.AuditKind.REVEALED,
        )

    def is_shown(self, row: Model, user: Any) -> bool:
        """Return whether the user recently stated a reason for this row."""
        return row.pk in self.shown([row], user)

    def shown(self, rows: Sequence[Model], user: Any) -> set[int]:
        """Return the keys of the rows that the user may see in full now."""
        if not user.has_perm(self.permission):
            return set()
        entries = LogEntry.objects.filter(
            user=user,
            content_type=ContentType.objects.get_for_model(self.model),
            object_id__in=[str(row.pk) for row in rows],
            action_time__gte=timezone.now() - FOR,
            action_flag=audit_log.AuditKind.REVEALED,
        )
        keys = set(entries.values_list("object_id", flat=True))
        return {row.pk for row in rows if str(row.pk) in keys}

    def hide(self, fieldsets: Any) -> list[Any]:
        """Return the fieldsets of a page with a replacement for each hidden field."""
        return [
            (name, {"fields": [self.instead.get(each, each) for each in of["fields"]]})
            for name, of in fieldsets
        ]


def hidden(
    description: str, is_there: Callable[[Any], Any] = bool
) -> Callable[[Any], str]:
    """Return a field that shows only whether a hidden value exists."""

    @admin.display(description=description)
    def hidden_value(row: Any) -> str:
        return NOT_SHOWN if is_there(row) else ""

    return hidden_value


def _reveal(rows: QuerySet[Any], **_: Any) -> BulkResult:
    """Change nothing: the audit entry is the only effect of this action."""
    return BulkResult(done=len(rows), rows=list(rows))
