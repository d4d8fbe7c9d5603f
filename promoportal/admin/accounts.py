"""Admin pages of accounts, roles, failed jobs and the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

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


class AccountsAdmin(_ModelAdmin):
    """
    Base of pages for superusers: a user who can grant permissions can get all of them.

    It adds the client address to the audit entries that Django stores.
    """

    filter_horizontal = ()
    # Screen readers cannot read out Django's default: two lists with arrows.
    formfield_overrides: ClassVar[Any] = {
        ManyToManyField: {"widget": CheckboxSelectMultiple}
    }

    def has_module_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    has_view_permission = has_add_permission = has_module_permission
    has_change_permission = has_delete_permission = has_module_permission

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> LogEntry:
        return _with_origin(request, super().log_addition(request, obj, message))

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> LogEntry:
        return _with_origin(request, super().log_change(request, obj, message))

    def log_deletions(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> list[LogEntry]:
        entries = super().log_deletions(request, queryset)
        audit_log.note(entries, address=client_address(request.META))
        return entries


def _with_origin(request: HttpRequest, entry: LogEntry) -> LogEntry:
    audit_log.note([entry], address=client_address(request.META))
    return entry


class StaffAdmin(AccountsAdmin, _UserAdmin):
    list_display = ("username", "email", "is_staff", "is_superuser", "last_login")
    readonly_fields = ("last_login", "date_joined")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: deleting an account would delete its audit entries."""
        return False


class RoleAdmin(AccountsAdmin, GroupAdmin):
    pass


def register() -> None:
    """Unregister the pages of Django and django-q2, and register the portal's own."""
    for model in (User, Group, OrmQ, Schedule, Success, Failure):
        if admin.site.is_registered(model):
            admin.site.unregister(model)
    admin.site.register(User, StaffAdmin)
    admin.site.register(Group, RoleAdmin)
    # Not registered again: pages of schedules (users could run any function), of
    # the queue (its rows are signed pickles) and of successes (the portal keeps none).
    admin.site.register(Failure, FailureAdmin)
    admin.site.register(LogEntry, AuditLogAdmin)
