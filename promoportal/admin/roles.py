"""
The four roles of staff and their permissions.

The roles are updated after every `migrate`. A data migration would run before the
permissions exist, and would not follow later changes of the code. Each update resets
the groups of these roles. For another role, create another group.
"""

from __future__ import annotations

import enum
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.signals import post_migrate

_APPS = ("executions", "rewards", "redemptions", "promoportal")
_EXPORTS = {"rewards.export_assignment", "redemptions.export_redemption"}
_NAMES = {"executions.name_campaign", "rewards.name_promotion"}
_OF_AUDITOR = {*_EXPORTS, "admin.view_logentry", "django_q.view_failure"}
_OF_SUPPORT = {
    "executions.reveal_delivery",
    "rewards.retry_assignment",
    "rewards.reveal_assignment",
    "redemptions.report_again_redemption",
}
_OF_OPERATIONS = {
    *(*_OF_SUPPORT, *_OF_AUDITOR, *_NAMES),
    "executions.manage_listener",
    "executions.open_execution",
    "executions.stop_execution",
    "executions.reread_delivery",
    "rewards.set_redemption_mode",
    "rewards.decide_assignment",
    "rewards.write_off_assignment",
    "redemptions.write_off_redemption",
}


class Role(enum.StrEnum):
    CRM = "CRM staff"  # views, exports lists, and sets names
    SUPPORT = "Support"  # views, retries, reports again, and reveals hidden fields
    OPERATIONS = "Operations"  # all of this, and all other actions
    AUDITOR = "Auditor"  # views, exports, reads the audit log; changes nothing


_PERMISSIONS = {
    Role.CRM: _EXPORTS | _NAMES,
    Role.SUPPORT: _OF_SUPPORT,
    Role.OPERATIONS: _OF_OPERATIONS,
    Role.AUDITOR: _OF_AUDITOR,
}


def connect() -> None:
    post_migrate.connect(_migrated, dispatch_uid="promoportal.roles")


def create_staff(username: str, role: Role, password: str) -> User:
    """Create or update a member of staff, with this password and only this role."""
    with transaction.atomic():
        user, _ = User.objects.get_or_create(username=username)
        user.is_staff, user.is_superuser, user.is_active = True, False, True
        user.set_password(password)
        user.save()
        user.groups.set([group_of(role)])
    return user


def group_of(role: Role) -> Group:
    """Return the group of the role, with its permissions updated."""
    group, _ = Group.objects.get_or_create(name=role)
    group.permissions.set(_permissions(role))
    return group


def _permissions(role: Role) -> QuerySet[Permission]:
    condition = Q(content_type__app_label__in=_APPS, codename__startswith="view_")
    for permission in _PERMISSIONS[role]:
        app, name = permission.split(".")
        condition |= Q(content_type__app_label=app, codename=name)
    return Permission.objects.filter(condition)


def _migrated(sender: Any, **_: Any) -> None:
    """Update the roles after `migrate` of an app whose permissions they contain."""
    if sender.label in {*_APPS, "django_q"}:
        for role in Role:
            group_of(role)
