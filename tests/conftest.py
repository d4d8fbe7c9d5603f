"""The far sides at their own addresses, and the portal's workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import get_commands
from pytest_django import Settings

from promoportal import sandbox
from promoportal.admin.roles import Role, create_staff
from promoportal.optimove import contract
from tests import database_cleanup
from tests.staff_client import Desk
from tests.world import World

Agree = Callable[..., None]

# A second look is for the tests that are about it; others would wait a minute for it.
os.environ["LIST_AGAIN_AFTER_SECONDS"] = "0"
# What Django calls after each test that commits; it takes a command as well as a path.
get_commands()["flush"] = database_cleanup.Command()  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def no_second_look(settings: Settings) -> None:
    settings.LIST_AGAIN_AFTER = timedelta(0)


@pytest.fixture(scope="session")
def served() -> Iterator[sandbox.SandboxHandle]:
    """Both far sides, served once for all tests."""
    with sandbox.serving() as box:
        yield box


@pytest.fixture
def box(served: sandbox.SandboxHandle, settings: Settings) -> sandbox.SandboxHandle:
    """Both far sides as on their first day, at the addresses the portal is set to."""
    served.reset()
    settings.OPTIMOVE_API_URL = served.optimove_url
    settings.OPTIMOVE_PROMOTIONS_URL = served.promotions_url
    settings.OPTIMOVE_API_KEY = served.api_key
    settings.PLATFORM_URL = served.platform_url
    settings.PLATFORM_TOKEN = served.platform_token
    return served


@pytest.fixture
def world(db: None, box: sandbox.SandboxHandle) -> World:
    """The portal between its two far sides, with workers that work when told."""
    return World(box)


@pytest.fixture
def agree(settings: Settings, tmp_path: Path) -> Agree:
    """The tenant's contract is the built-in one but for these lines."""

    def agree(*changes: tuple[str, str]) -> None:
        text = contract.BUILT_IN.read_text()
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        path = tmp_path / "contract.toml"
        path.write_text(text)
        settings.OPTIMOVE_CONTRACT = str(path)

    return agree


# --- Staff, each logged in with one role ---------------------------------------------


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
