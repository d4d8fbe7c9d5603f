"""How far each execution's list is collected."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from promoportal.admin.alerts import Alert
from promoportal.admin.formatting import moment
from promoportal.admin.links import link
from promoportal.admin.stateful_admin import StatefulAdmin
from rewards.models import Collection, CollectionState


@admin.register(Collection)
class CollectionAdmin(StatefulAdmin[Collection]):
    list_display = (
        "execution_name",
        "standing",
        "why",
        "number",
        "pages",
        "seen",
        "total",
        "next_time",
    )
    list_display_links = ("execution_name",)
    list_select_related = ("execution",)
    list_filter = ("state", "reason")
    finds = ("execution__reference",)
    search_help_text = "An execution's id, in full"
    attention = (
        Alert(
            "held",
            "Collections are held",
            "Collection is held",
            lambda: Q(state=CollectionState.HELD),
            by_reason=True,
        ),
    )
    fieldsets = (
        (None, {"fields": ("execution_link", "problem_in_full")}),
        (
            "This pass",
            {"fields": ("number", "finished", "pages", "seen", "total", "restarts")},
        ),
        (
            "Work",
            {"fields": ("next_time", "failures", "malformed", "deaths", "waived")},
        ),
    )

    @admin.display(description="execution")
    def execution_name(self, row: Collection) -> str:
        return row.execution.reference

    @admin.display(description="execution")
    def execution_link(self, row: Collection) -> SafeString:
        return link(row.execution, row.execution.reference)

    @admin.display(description="next try")
    def next_time(self, row: Collection) -> SafeString:
        waits = row.state in {CollectionState.WAITING, CollectionState.COLLECTING}
        return moment(row.not_before if waits else None)

    def heading(self, row: Collection) -> str:
        return f"Collection of {row.execution.reference}"
