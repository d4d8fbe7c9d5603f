"""The permissions of each role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.db.models.signals import post_migrate
from django.test import Client

from promoportal.admin.actions import Action
from promoportal.admin.audit_log import AuditKind
from promoportal.admin.links import list_of, page_of
from promoportal.admin.roles import Role, create_staff
from tests.promoportal.admin.test_every_page import MAKE
from tests.staff_client import StaffClient

ROOMS = ["executions", "rewards", "redemptions", "promoportal"]
ACTS = {
    "reveal_assignment",
    "reveal_delivery",
    "open_execution",
    "stop_execution",
    "reread_delivery",
    "manage_listener",
    "retry_assignment",
    "decide_assignment",
    "write_off_assignment",
    "set_redemption_mode",
    "name_campaign",
    "name_promotion",
    "report_again_redemption",
    "write_off_redemption",
}

EXPORTS = {"export_assignment", "export_redemption"}
NAMES = {"name_campaign", "name_promotion"}
AUDITS = {"view_failure", "view_logentry"}


def may(role: Role) -> set[str]:
    permissions = Permission.objects.filter(group__name=role)
    return set(permissions.values_list("codename", flat=True))


def views() -> set[str]:
    models = [
        model for room in ROOMS for model in apps.get_app_config(room).get_models()
    ]
    return {f"view_{model._meta.model_name}" for model in models}


@pytest.mark.django_db
def test_migrating_creates_every_role_with_its_permissions() -> None:
    assert may(Role.CRM) == views() | EXPORTS | NAMES
    assert may(Role.SUPPORT) == views() | {
        "retry_assignment",
        "reveal_assignment",
        "reveal_delivery",
        "report_again_redemption",
    }
    assert may(Role.OPERATIONS) == views() | ACTS | EXPORTS | AUDITS
    assert may(Role.AUDITOR) == views() | EXPORTS | AUDITS


@pytest.mark.django_db
def test_operations_may_perform_every_action() -> None:
    ours = Permission.objects.filter(content_type__app_label__in=ROOMS)
    names = set(ours.values_list("codename", flat=True))
    edits = {
        name for name in names if name.split("_")[0] in {"add", "change", "delete"}
    }

    assert names - edits == may(Role.OPERATIONS) - AUDITS
    assert not edits & may(Role.OPERATIONS)


@pytest.mark.django_db
def test_migrating_again_resets_the_roles_and_keeps_other_groups() -> None:
    support, own = (
        Group.objects.get(name=Role.SUPPORT),
        Group.objects.create(name="Own"),
    )
    a_permission = Permission.objects.get(codename="add_user")
    support.permissions.set([a_permission])
    own.permissions.set([a_permission])

    for app in apps.get_app_configs():
        post_migrate.send(
            app, app_config=app, verbosity=0, interactive=False, using="default"
        )

    assert "retry_assignment" in may(Role.SUPPORT)
    assert "add_user" not in may(Role.SUPPORT)
    assert list(own.permissions.all()) == [a_permission]
    assert Group.objects.filter(name__in=Role).count() == 4


@pytest.mark.django_db
@pytest.mark.parametrize("role", Role)
def test_a_user_of_a_role_can_log_in(role: Role) -> None:
    create_staff("somebody", Role.OPERATIONS, "other")
    user = create_staff("somebody", role, "secret")

    client = Client()
    assert client.login(username="somebody", password="secret")
    assert client.get("/admin/").status_code == 200
    assert [group.name for group in user.groups.all()] == [role]
    assert not user.is_superuser


# --- Every action by every role -------------------------------------------------------


def _has_export(page: Any) -> bool:
    return bool(getattr(page, "export", None))


def every_action() -> Iterator[Any]:
    for model, page in admin.site._registry.items():
        for action in getattr(page, "offered", ()):
            yield pytest.param(model, action, id=f"{model.__name__}-{action.name}")


@pytest.mark.parametrize(("model", "action"), list(every_action()))
def test_every_action_is_performed_for_permitted_roles_and_logged_as_refused_for_others(
    model: Any, action: Action, client_of: Callable[[Role], StaffClient]
) -> None:
    row = MAKE[model]()
    may = {role: client_of(role).user.has_perm(action.permission) for role in Role}
    assert set(may.values()) == {True, False}

    for role, is_allowed in may.items():
        LogEntry.objects.all().delete()
        answer = client_of(role).post(action.name, row, page=row.pk, confirmed="yes")

        (kind,) = LogEntry.objects.values_list("action_flag", flat=True)
        assert answer.status_code == (302 if is_allowed else 403), role
        assert kind == (action.kind if is_allowed else AuditKind.REFUSED), role


@pytest.mark.parametrize(
    "model",
    [model for model, page in admin.site._registry.items() if _has_export(page)],
)
def test_every_export_is_sent_to_permitted_roles_and_logged_as_refused_for_others(
    model: Any, client_of: Callable[[Role], StaffClient]
) -> None:
    MAKE[model]()
    expected = {
        Role.CRM: AuditKind.EXPORTED,
        Role.SUPPORT: AuditKind.REFUSED,
        Role.OPERATIONS: AuditKind.EXPORTED,
        Role.AUDITOR: AuditKind.EXPORTED,
    }

    for role in Role:
        client_of(role).client.post(list_of(model), {"export": "csv"})

    kept = dict(LogEntry.objects.values_list("user__username", "action_flag"))
    assert kept == {role.name.lower(): kind for role, kind in expected.items()}


def test_the_auditor_sees_every_page_and_is_offered_no_action(
    client_of: Callable[[Role], StaffClient],
) -> None:
    auditor = client_of(Role.AUDITOR)

    for model, make in MAKE.items():
        row = make()
        assert auditor.get(list_of(model)).status_code == 200
        assert auditor.get(page_of(row)).status_code == 200
        assert auditor.offered(row) == set()
