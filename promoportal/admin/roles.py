"""
The four roles of staff, and what each may do.

They are brought up to date after every migration, and not by a data migration:
permissions come into being only after migrations have run, and what a role may do
changes with the code. Whoever needs another role makes another group; these are set
to what is written here each time.
"""

from __future__ import annotations

import enum
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.signals import post_migrate

_ROOMS = ("executions", "rewards", "redemptions", "promoportal")
_EXPORTS = {
    ("rewards", "export_assignment"),
    ("redemptions", "export_redemption"),
}
_NAMES = {
    ("executions", "name_campaign"),
    ("rewards", "name_promotion"),
}
_OF_AUDITOR = _EXPORTS | {("admin", "view_logentry"), ("django_q", "view_failure")}
_OF_SUPPORT = {
    ("executions", "reveal_delivery"),
    ("rewards", "retry_assignment"),
    ("rewards", "reveal_assignment"),
    ("redemptions", "report_again_redemption"),
}
_OF_OPERATIONS = (
    _OF_SUPPORT
    | _OF_AUDITOR
    | _NAMES
    | {
        ("executions", "manage_listener"),
        ("executions", "open_execution"),
        ("executions", "stop_execution"),
        ("executions", "reread_delivery"),
        ("rewards", "set_redemption_mode"),
        ("rewards", "decide_assignment"),
        ("rewards", "write_off_assignment"),
        ("redemptions", "write_off_redemption"),
    }
)


class Role(enum.StrEnum):
    CRM = "CRM staff"  # looks, takes lists along, and gives names
    SUPPORT = "Support"  # and tries again, and reports again
    OPERATIONS = "Operations"  # and all the rest
    AUDITOR = "Auditor"  # looks, also at who did what, and changes nothing


_MAY: dict[Role, set[tuple[str, str]]] = {
    Role.CRM: _EXPORTS | _NAMES,
    Role.SUPPORT: _OF_SUPPORT,
    Role.OPERATIONS: _OF_OPERATIONS,
    Role.AUDITOR: _OF_AUDITOR,
}


def connect() -> None:
    post_migrate.connect(_migrated, dispatch_uid="promoportal.roles")


def create_staff(username: str, role: Role, password: str) -> User:
    """Have a member of staff with this role alone, and this password."""
    with transaction.atomic():
        user, _ = User.objects.get_or_create(username=username)
        user.is_staff, user.is_superuser, user.is_active = True, False, True
        user.set_password(password)
        user.save()
        user.groups.set([group_of(role)])
    return user


def group_of(role: Role) -> Group:
    """The role's group, with what it may do as of now."""
    group, _ = Group.objects.get_or_create(name=role)
    group.permissions.set(_permissions(role))
    return group


def _permissions(role: Role) -> QuerySet[Permission]:
    may = Q(content_type__app_label__in=_ROOMS, codename__startswith="view_")
    for room, name in _MAY[role]:
        may |= Q(content_type__app_label=room, codename=name)
    return Permission.objects.filter(may)


def _migrated(sender: Any, **_: Any) -> None:
    """After each app's permissions were made; after the last, all are there."""
    if sender.label in {*_ROOMS, "django_q"}:
        for role in Role:
            group_of(role)
