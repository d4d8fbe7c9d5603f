from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Q
from django.utils.html import format_html
from django.utils.safestring import SafeString

from promoportal.admin import audit_log, list_columns
from promoportal.admin.date_filter import days
from promoportal.admin.formatting import short, stamp
from promoportal.admin.list_columns import computed
from promoportal.admin.model_admin import PortalAdmin
from promoportal.admin.related_filters import narrowed_by
from promoportal.admin.search import Search

_KINDS = narrowed_by(
    "kind",
    "what was done",
    {
        str(kind.value): (str(kind.label), Q(action_flag=kind))
        for kind in audit_log.AuditKind
    },
)


class AuditLogAdmin(PortalAdmin):
    """The audit log of all staff actions, including exports and refused actions."""

    list_display = ("when", "user", "kind", "what_it_was", "row", "said", "from_where")
    list_select_related = ("user", "content_type")
    list_prefetch_related = ("origin",)
    list_filter = (_KINDS, "user", "content_type", days("action_time", "days"))
    search = Search(exact=("object_id",))
    served_by_index = ("q", "kind", "user__id__exact", "content_type__id__exact")
    search_help_text = "A row's key, in full"
    fields = list_display
    list_display_links = ("when",)
    when = list_columns.when("action_time", "when")
    what_it_was = computed("to what", lambda row: getattr(row.content_type, "name", ""))
    said = computed("and why", lambda row: str(row.get_change_message()))
    from_where = computed("from where", lambda row: str(getattr(row, "origin", "")))

    @admin.display(description="what was done")
    def kind(self, row: LogEntry) -> SafeString:
        if row.action_flag == audit_log.AuditKind.REFUSED:
            return stamp("held", "!", audit_log.AuditKind.REFUSED.label)
        known = row.action_flag in audit_log.AuditKind.values
        return SafeString(audit_log.AuditKind(row.action_flag).label if known else "")

    @admin.display(description="row")
    def row(self, row: LogEntry) -> SafeString:
        address = row.get_admin_url()
        shown = short(row.object_repr)
        if not address or not row.object_id:
            return format_html("{}", shown)
        return format_html('<a href="{}">{}</a>', address, shown)

    def heading(self, row: LogEntry) -> str:
        return f"Done by {row.user}"
