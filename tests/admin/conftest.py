"""People at their desks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from promoportal.admin.roles import Role, create_staff
from tests.admin.desk import Desk


@pytest.fixture(autouse=True)
def quick_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def desk_of(db: None) -> Callable[[Role], Desk]:
    """The desk of somebody with that role."""
    return lambda role: Desk(create_staff(role.name.lower(), role, "secret"))


@pytest.fixture
def crm(desk_of: Callable[[Role], Desk]) -> Desk:
    return desk_of(Role.CRM)


@pytest.fixture
def support(desk_of: Callable[[Role], Desk]) -> Desk:
    return desk_of(Role.SUPPORT)


@pytest.fixture
def operations(desk_of: Callable[[Role], Desk]) -> Desk:
    return desk_of(Role.OPERATIONS)


@pytest.fixture
def auditor(desk_of: Callable[[Role], Desk]) -> Desk:
    return desk_of(Role.AUDITOR)


@pytest.fixture
def superuser(db: None) -> Desk:
    return Desk(User.objects.create_superuser("root"))
