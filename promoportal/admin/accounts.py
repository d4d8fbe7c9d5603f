"""Who may log in, for superusers alone; and the queue's own tables, out of harm's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import ManyToManyField, QuerySet
from django.forms import CheckboxSelectMultiple
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_q.models import Failure, OrmQ, Schedule, Success

from promoportal.admin import log
from promoportal.admin.days import days
from promoportal.admin.rows import ReadOnlyAdmin
from promoportal.admin.showing import moment, pretty, short, stamp
from promoportal.admin.understanding import UnderstoodChangeList
from promoportal.callers import client_address

if TYPE_CHECKING:
    _UserAdmin = UserAdmin[User]
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _UserAdmin = UserAdmin
    _ModelAdmin = admin.ModelAdmin


def is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


class ForSuperusers:
    """Whoever can change who may do what can do everything."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)


class Noted(_ModelAdmin):
    """What Django itself keeps in the log, with from where it was done."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> LogEntry:
        return _noted(request, super().log_addition(request, obj, message))

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> LogEntry:
        return _noted(request, super().log_change(request, obj, message))

    def log_deletions(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> list[LogEntry]:
        kept = super().log_deletions(request, queryset)
        log.note(kept, address=client_address(request.META))
        return kept


def _noted(request: HttpRequest, kept: LogEntry) -> LogEntry:
    log.note([kept], address=client_address(request.META))
    return kept


# Boxes to be ticked: two lists with arrows between them are not read aloud.
_BOXES: Any = {ManyToManyField: {"widget": CheckboxSelectMultiple}}


class StaffAdmin(ForSuperusers, Noted, _UserAdmin):
    list_display = ("username", "email", "is_staff", "is_superuser", "last_login")
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    formfield_overrides = _BOXES

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody's: with an account would go what it did. Who has left is not active."""
        return False


class RoleAdmin(ForSuperusers, Noted, GroupAdmin):
    filter_horizontal = ()
    formfield_overrides = _BOXES


class FailureAdmin(ReadOnlyAdmin[Failure]):
    """Jobs that died. Their work is in our rows, and is taken up again from there."""

    list_display = ("func", "cluster", "stopped_at", "what_happened")
    ordering = ("-stopped",)
    fields = ("func", "cluster", "started_at", "stopped_at", "arguments", "result")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        # Their keys are drawn at random, so the newest are not the highest.
        return UnderstoodChangeList

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


class OfKind(admin.SimpleListFilter):
    """What kind of deed it was."""

    title = "what was done"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(kind.value), kind.label) for kind in log.Kind]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[LogEntry]
    ) -> QuerySet[LogEntry]:
        chosen = [kind for kind in log.Kind if str(kind.value) == self.value()]
        return queryset.filter(action_flag__in=chosen) if self.value() else queryset


class DeedsDoneAdmin(ReadOnlyAdmin[LogEntry]):
    """Who did what to which row, when, why and from where; exports and refusals too."""

    list_display = (
        "when",
        "user",
        "kind",
        "what_it_was",
        "row",
        "said",
        "from_where",
    )
    list_select_related = ("user", "content_type")
    list_beside = ("origin",)
    list_filter = (
        OfKind,
        "user",
        "content_type",
        days("action_time", "days"),
    )
    finds = ("object_id",)
    indexed = ("q", "kind", "user__id__exact", "content_type__id__exact")
    search_help_text = "A row's key, in full"
    fields = ("when", "user", "kind", "what_it_was", "row", "said", "from_where")
    list_display_links = ("when",)

    @admin.display(description="what was done")
    def kind(self, row: LogEntry) -> SafeString:
        if row.action_flag == log.Kind.REFUSED:
            return stamp("held", "!", log.Kind.REFUSED.label)
        known = row.action_flag in log.Kind.values
        return SafeString(log.Kind(row.action_flag).label if known else "")

    @admin.display(description="from where")
    def from_where(self, row: LogEntry) -> str:
        origin: log.Origin | None = getattr(row, "origin", None)
        return origin.address if origin else ""

    @admin.display(description="when")
    def when(self, row: LogEntry) -> SafeString:
        return moment(row.action_time)

    @admin.display(description="to what")
    def what_it_was(self, row: LogEntry) -> str:
        return str(row.content_type.name) if row.content_type else ""

    @admin.display(description="row")
    def row(self, row: LogEntry) -> SafeString:
        address = row.get_admin_url()
        shown = short(row.object_repr)
        if not address or not row.object_id:
            return format_html("{}", shown)
        return format_html('<a href="{}">{}</a>', address, shown)

    @admin.display(description="and why")
    def said(self, row: LogEntry) -> str:
        return str(row.get_change_message())

    def heading(self, row: LogEntry) -> str:
        return f"Done by {row.user}"


def register() -> None:
    """Put ours in the place of what Django and django-q2 registered."""
    for model in (User, Group, OrmQ, Schedule, Success, Failure):
        if admin.site.is_registered(model):
            admin.site.unregister(model)
    admin.site.register(User, StaffAdmin)
    admin.site.register(Group, RoleAdmin)
    # A Schedule runs any function there is: permission to add one is a shell. The
    # queue's rows are signed pickles, and no successes are kept.
    admin.site.register(Failure, FailureAdmin)
    admin.site.register(LogEntry, DeedsDoneAdmin)
