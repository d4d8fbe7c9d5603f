"""Every list and every page, requested by every role."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from executions.models import Campaign, Delivery, Execution, Listener, Trigger
from promoportal.admin.audit_log import AuditKind
from promoportal.admin.links import list_of, page_of
from promoportal.admin.roles import Role
from promoportal.optimove.rate_limiter import Allowance
from promoportal.resilience.circuit_breaker import Breaker, Side
from redemptions.models import Redemption, Report
from rewards.models import (
    Activation,
    Assignment,
    Collection,
    Promotion,
    Retrial,
    Retried,
)
from tests.factories import (
    AssignmentFactory,
    AttemptFactory,
    CampaignFactory,
    CollectionFactory,
    DeliveryFactory,
    ExecutionFactory,
    ListenerFactory,
    PromotionFactory,
    RedemptionFactory,
    ReportFactory,
    TriggerFactory,
    UserFactory,
    uuid,
)
from tests.staff_client import StaffClient


def failure(number: int = 0) -> Failure:
    now = timezone.now()
    Task.objects.create(
        id=uuid(number).hex,
        name="job",
        func="rewards.tasks.activate",
        kwargs={"pk": 1},
        started=now,
        stopped=now,
        success=False,
        result="It died.",
    )
    return Failure.objects.get(pk=uuid(number).hex)


def logged() -> LogEntry:
    row = AssignmentFactory()
    return LogEntry.objects.create(
        user=UserFactory(),
        content_type=ContentType.objects.get_for_model(row),
        object_id=str(row.pk),
        object_repr=str(row),
        action_flag=AuditKind.DONE,
        change_message="Retry: The customer asked.",
    )


def retried() -> Retried:
    retrial = Retrial.objects.create(form=uuid4(), by=UserFactory(), why="Mended.")
    return Retried.objects.create(
        retrial=retrial, assignment=AssignmentFactory(state="HELD", reason="REFUSED")
    )


def activation() -> Activation:
    row = AssignmentFactory(state="ACTIVE")
    return Activation.objects.create(row=row, before="ACTIVATING", after="ACTIVE")


MAKE: dict[type[Model], Callable[..., Any]] = {
    Execution: lambda: ExecutionFactory(stop="HELD", reason="OVER_LIMIT"),
    Delivery: lambda: DeliveryFactory(execution=ExecutionFactory(), state="HELD"),
    Trigger: lambda: TriggerFactory(delivery=DeliveryFactory(), state="HELD"),
    Campaign: CampaignFactory,
    Listener: ListenerFactory,
    Assignment: lambda: AssignmentFactory(state="HELD", reason="REFUSED"),
    Collection: CollectionFactory,
    Promotion: PromotionFactory,
    Redemption: lambda: RedemptionFactory(report=ReportFactory(), state="HELD"),
    Report: ReportFactory,
    Breaker: lambda: Breaker.objects.create(side=Side.VENDOR),
    Allowance: lambda: Allowance.objects.get_or_create(pk=1)[0],
    Failure: failure,
    LogEntry: logged,
    Retrial: lambda: retried().retrial,
    Retried: retried,
    Activation: activation,
}
FOR_FEW = {Failure, LogEntry}
FOR_SUPERUSERS = {User, Group}
ROOT = "superuser"
# Tables that never have more than a few rows.
BOUNDED = {Breaker, Allowance, Failure}


@pytest.fixture
def everyone(
    client_of: Callable[[Role], StaffClient], superuser: StaffClient
) -> dict[str, StaffClient]:
    """Return a client for each role, and for a superuser."""
    return {**{role: client_of(role) for role in Role}, ROOT: superuser}


def registered() -> set[type[Model]]:
    return {model for model in apps.get_models() if admin.site.is_registered(model)}


every_model = pytest.mark.parametrize(
    "model", [pytest.param(model, id=model.__name__) for model in MAKE]
)


def test_every_registered_model_is_tested() -> None:
    assert registered() == MAKE.keys() | FOR_SUPERUSERS


def test_jobs_and_schedules_are_not_registered() -> None:
    # A Schedule runs any function: permission to add one is as good as a shell.
    assert not registered() & {Schedule, OrmQ, Success}


@every_model
def test_every_role_may_open_its_lists_and_pages(
    model: type[Model], everyone: dict[str, StaffClient]
) -> None:
    row = MAKE[model]()
    for who, staff in everyone.items():
        may = model not in FOR_FEW or who in {Role.OPERATIONS, Role.AUDITOR, ROOT}
        expected = 200 if may else 403

        for address in addresses(row):
            assert staff.get(address).status_code == expected, (who, address)
        assert staff.get("/admin/").status_code == 200


@every_model
def test_a_user_without_a_role_sees_nothing(model: type[Model], db: None) -> None:
    row = MAKE[model]()
    nobody = StaffClient(UserFactory(is_staff=True))

    for address in addresses(row):
        assert nobody.get(address).status_code == 403, address
    front = nobody.text("/admin/")
    assert list_of(model) not in front
    assert str(row) not in front


@every_model
def test_every_page_forbids_inline_scripts_and_styles(
    model: type[Model], superuser: StaffClient
) -> None:
    row = MAKE[model]()

    for address in ("/admin/", list_of(model), page_of(row)):
        answer = superuser.get(address)
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.findall(r"<style|\sstyle=|\son\w+=", answer.content.decode())


@every_model
def test_every_page_names_optimove_and_the_overview_consistently(
    model: type[Model], superuser: StaffClient
) -> None:
    row = MAKE[model]()

    for address in ("/admin/", *addresses(row)):
        said = re.sub("<[^>]*>", " ", superuser.text(address))
        assert not re.findall("vendor|home", said, re.IGNORECASE), address


def test_every_label_names_optimove_consistently() -> None:
    labels = [
        str(label)
        for model in MAKE
        for field in model._meta.fields
        for _, label in [*(field.flatchoices or ()), ("", field.help_text)]
    ]

    assert "Rejected by Optimove" in labels
    assert not [said for said in labels if "vendor" in said.lower()]


@pytest.mark.parametrize(
    "address",
    [
        *("/admin/password_change/", "/admin/password_change/done/", "/admin/auth/"),
        *(list_of(User), f"{list_of(User)}add/", list_of(Group)),
    ],
)
def test_breadcrumbs_begin_with_the_overview(
    superuser: StaffClient, address: str
) -> None:
    shown = superuser.text(address)

    assert '<a href="/admin/">Overview</a>' in shown
    assert ">Home<" not in shown


def test_the_pages_of_users_and_groups_have_no_link_to_home(
    superuser: StaffClient,
) -> None:
    account, role = page_of(UserFactory()), page_of(Group.objects.get(name=Role.CRM))
    for address in (
        *(account, account.replace("change", "history")),
        *(account.replace("change", "password"), role.replace("change", "delete")),
    ):
        assert ">Home<" not in superuser.text(address)


@every_model
def test_anonymous_requests_redirect_to_the_login(model: type[Model], db: None) -> None:
    row = MAKE[model]()

    for address in ("/admin/", list_of(model), page_of(row)):
        answer = Client().get(address)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


@every_model
def test_no_user_may_add_change_or_delete_rows(
    model: type[Model], superuser: StaffClient
) -> None:
    row = MAKE[model]()
    before = model._base_manager.filter(pk=row.pk).values().get()
    page = page_of(row)

    added = superuser.client.post(f"{list_of(model)}add/", {"state": "ACTIVE"})
    changed = superuser.client.post(page, {"state": "ACTIVE"})
    deleted = superuser.client.post(page.replace("change", "delete"), {"post": "yes"})

    assert [added.status_code, changed.status_code, deleted.status_code] == [403] * 3
    assert model._base_manager.filter(pk=row.pk).values().get() == before
    assert "_save" not in superuser.page(row)


def test_only_superusers_see_users_and_groups(
    operations: StaffClient, superuser: StaffClient
) -> None:
    other = UserFactory()
    for address in (list_of(User), page_of(other), list_of(Group), "/admin/auth/"):
        assert superuser.get(address).status_code == 200
        assert operations.get(address).status_code in {403, 404}
    assert "auth/user" not in operations.text("/admin/")


@every_model
def test_the_number_of_queries_of_a_list_does_not_depend_on_its_rows(
    model: type[Model], everyone: dict[str, StaffClient]
) -> None:
    if model in BOUNDED:
        pytest.skip("There are never more.")
    MAKE[model]()
    few = costs(everyone, list_of(model))
    for _ in range(7):
        MAKE[model]()

    assert costs(everyone, list_of(model)) == few


def test_the_number_of_queries_of_the_overview_does_not_depend_on_rows(
    everyone: dict[str, StaffClient],
) -> None:
    def fill() -> None:
        for make in MAKE.values():
            if make not in {MAKE[model] for model in BOUNDED}:
                make()

    fill()
    few = costs(everyone, "/admin/")
    for _ in range(4):
        fill()

    assert costs(everyone, "/admin/") == few


def test_the_number_of_queries_of_a_customer_does_not_depend_on_rewards(
    everyone: dict[str, StaffClient],
) -> None:
    def reward(customer: str) -> None:
        row = AssignmentFactory(customer=customer, state="ACTIVE")
        RedemptionFactory(assignment=row)
        AssignmentFactory(customer=customer, state="HELD", reason="REFUSED")

    for customer in ("C1", "C2"):
        reward(customer)
    few = costs(everyone, "/admin/customers/C1/", "/admin/customers/?q=C")
    for customer in ("C1", "C3", "C1", "C4", "C1"):
        reward(customer)

    assert costs(everyone, "/admin/customers/C1/", "/admin/customers/?q=C") == few


def redeemed(row: Execution) -> None:
    assignment = AssignmentFactory(execution=row, state="ACTIVE")
    RedemptionFactory(assignment=assignment)


def moved(row: Any) -> None:
    row.transitions.create(after="HELD", by=UserFactory())


# Functions that add related rows.
GROW: dict[type[Model], list[Callable[[Any], Any]]] = {
    Execution: [
        redeemed,
        moved,
        lambda row: TriggerFactory(execution=row),
        lambda row: DeliveryFactory(execution=row),
    ],
    Delivery: [moved, lambda row: TriggerFactory(delivery=row)],
    Trigger: [
        moved,
        lambda row: AssignmentFactory(execution=row.execution, customer=row.customer),
    ],
    Campaign: [lambda row: ExecutionFactory(campaign=row)],
    Listener: [lambda row: DeliveryFactory(listener=row, execution=ExecutionFactory())],
    Assignment: [moved, lambda row: AttemptFactory(assignment=row)],
    Collection: [moved],
    Promotion: [lambda row: AssignmentFactory(promotion=row)],
    Redemption: [moved],
    Report: [lambda row: RedemptionFactory(report=row)],
}


@every_model
def test_the_number_of_queries_of_a_page_does_not_depend_on_related_rows(
    model: type[Model], everyone: dict[str, StaffClient]
) -> None:
    row = MAKE[model]()
    grow(row)
    few = costs(everyone, *addresses(row))
    for _ in range(5):
        grow(row)

    assert costs(everyone, *addresses(row)) == few


def grow(row: Model) -> None:
    for more in GROW.get(type(row), []):
        more(row)


def addresses(row: Model) -> list[str]:
    """Return the addresses of the list, the page and the history of a row."""
    page = page_of(row)
    return [list_of(type(row)), page, page.replace("change", "history")]


def costs(
    everyone: dict[str, StaffClient], *addresses: str
) -> dict[tuple[str, str], int]:
    """Return the number of queries by role and address."""
    found = {
        (who, address): queries(staff, address)
        for who, staff in everyone.items()
        for address in addresses
    }
    assert all(found[ROOT, address] for address in addresses)
    return found


def queries(staff: StaffClient, address: str) -> int:
    # The first request fills caches, so it is not counted.
    if staff.get(address).status_code == 403:
        return 0
    with CaptureQueriesContext(connection) as captured:
        assert staff.get(address).status_code == 200
    return len(captured)
