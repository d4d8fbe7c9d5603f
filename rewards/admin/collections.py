"""The list and the page of assignment fetches."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from promoportal.admin import list_columns
from promoportal.admin.alerts import held
from promoportal.admin.formatting import moment
from promoportal.admin.list_columns import computed, link_to
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.panels import fieldset
from promoportal.admin.search import Search
from rewards.models import Collection, CollectionState


@admin.register(Collection)
class CollectionAdmin(PortalAdmin):
    list_display = (
        *("execution_name", list_columns.state_and_since),
        *(list_columns.reason_and_problem, "number", "pages", "seen", "total"),
        "next_time",
    )
    list_select_related = ("execution",)
    list_filter = ("state", "reason")
    search = Search(exact=("execution__reference",))
    search_help_text = "An execution's id, in full"
    alerts = (held("Collections are held", "Collection is held"),)
    fieldsets = (
        fieldset(None, "execution_link", list_columns.problem_in_full),
        fieldset(
            "This pass",
            *("number", "finished", "pages", "seen", "total", "restarts"),
        ),
        fieldset("Work", "next_time", "failures", "malformed", "deaths", "waived"),
    )
    execution_name = computed("execution", lambda row: row.execution.reference)
    execution_link = link_to("execution")

    @admin.display(description="next try")
    def next_time(self, row: Collection) -> SafeString:
        waits = row.state in {CollectionState.WAITING, CollectionState.COLLECTING}
        return moment(row.not_before if waits else None)

    def heading(self, row: Collection) -> str:
        return f"Collection of {row.execution.reference}"
