from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django_q.models import Failure

from promoportal.admin.formatting import pretty, short
from promoportal.admin.list_columns import computed, when
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.strict_changelist import StrictChangeList


class FailureAdmin(PortalAdmin):
    """Failed jobs. No work is lost: rows that a job did not process are still due."""

    list_display = ("func", "cluster", "stopped_at", "what_happened")
    ordering = ("-stopped",)
    fields = ("func", "cluster", "started_at", "stopped_at", "arguments", "result")
    started_at = when("started")
    stopped_at = when("stopped")
    what_happened = computed("what happened", lambda row: short(str(row.result or "")))
    arguments = computed("arguments", lambda row: pretty(row.kwargs))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        # Keyset pagination is not possible: the keys are random.
        return StrictChangeList

    def heading(self, row: Failure) -> str:
        return f"Failed job {row.name}"
