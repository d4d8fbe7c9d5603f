from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django_q.models import Failure

from promoportal.admin.formatting import moment, pretty, short
from promoportal.admin.model_admin import ReadOnlyAdmin
from promoportal.admin.strict_changelist import StrictChangeList


class FailureAdmin(ReadOnlyAdmin[Failure]):
    """Jobs that died. Their work is in our rows, and is taken up again from there."""

    list_display = ("func", "cluster", "stopped_at", "what_happened")
    ordering = ("-stopped",)
    fields = ("func", "cluster", "started_at", "stopped_at", "arguments", "result")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        # Their keys are drawn at random, so the newest are not the highest.
        return StrictChangeList

    @admin.display(description="started")
    def started_at(self, row: Failure) -> SafeString:
        return moment(row.started)

    @admin.display(description="stopped")
    def stopped_at(self, row: Failure) -> SafeString:
        return moment(row.stopped)

    @admin.display(description="what happened")
    def what_happened(self, row: Failure) -> str:
        return short(str(row.result or ""))

    @admin.display(description="arguments")
    def arguments(self, row: Failure) -> SafeString:
        return pretty(row.kwargs)

    def heading(self, row: Failure) -> str:
        return f"Failed job {row.name}"
