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
from django_q.models import Failure, OrmQ, Schedule, Success

from promoportal.admin import audit_log
from promoportal.admin.audit_log_admin import AuditLogAdmin
from promoportal.admin.failed_jobs import FailureAdmin
from promoportal.runtime.client_address import client_address

if TYPE_CHECKING:
    _UserAdmin = UserAdmin[User]
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _UserAdmin = UserAdmin
    _ModelAdmin = admin.ModelAdmin


class ForSuperusers:
    """Pages for superusers alone: who grants permissions can grant themselves any."""

    def has_module_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    has_view_permission = has_add_permission = has_module_permission
    has_change_permission = has_delete_permission = has_module_permission


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
        audit_log.note(kept, address=client_address(request.META))
        return kept


def _noted(request: HttpRequest, kept: LogEntry) -> LogEntry:
    audit_log.note([kept], address=client_address(request.META))
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
    admin.site.register(LogEntry, AuditLogAdmin)
