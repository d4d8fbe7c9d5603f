"""
What nobody sees by looking: shown to who may, who says why, and not for long.

That it was said is kept in the log, and what is in the log is the permission: for some
minutes, for this row, for this person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.utils import timezone

from promoportal.admin import audit_log
from promoportal.admin.actions import Action
from promoportal.db.bulk_result import BulkResult

# How long it can be seen after it was said why.
FOR = timedelta(minutes=5)
NOT_SHOWN = "Not shown. Who may see it says why first."


@dataclass(frozen=True)
class Reveal:
    """What of a model's rows is hidden till somebody says why; see `Deed` for `said`."""

    model: type[Model]
    permission: str
    label: str
    said: tuple[str, str]
    # What stands on a row's page for each field that is hidden.
    instead: Mapping[str, str]

    @cached_property
    def deed(self) -> Action:
        return Action(
            "reveal",
            self.label,
            self.permission,
            _reveal,
            said=self.said,
            in_list=False,
            is_only_logged=True,
            kind=audit_log.AuditKind.REVEALED,
        )

    def is_shown(self, row: Model, user: Any) -> bool:
        """Whether this person said lately why they must see it, and still may."""
        return row.pk in self.shown([row], user)

    def shown(self, rows: Sequence[Model], user: Any) -> set[int]:
        """Which of these rows it holds for, by key."""
        if not user.has_perm(self.permission):
            return set()
        said = LogEntry.objects.filter(
            user=user,
            content_type=ContentType.objects.get_for_model(self.model),
            object_id__in=[str(row.pk) for row in rows],
            action_time__gte=timezone.now() - FOR,
            action_flag=audit_log.AuditKind.REVEALED,
        )
        keys = set(said.values_list("object_id", flat=True))
        return {row.pk for row in rows if str(row.pk) in keys}

    def hidden(self, fieldsets: Any) -> list[Any]:
        """A page's fields, each that is hidden by what stands for it."""
        return [
            (
                name,
                {
                    "fields": [
                        self.instead.get(str(each), each) for each in of["fields"]
                    ]
                },
            )
            for name, of in fieldsets
        ]


def _reveal(rows: QuerySet[Any], **_: Any) -> BulkResult:
    """Change nothing: the audit entry is all that this action does."""
    return BulkResult(done=len(rows), rows=list(rows))
