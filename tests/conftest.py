"""Fixtures: the sandbox at addresses of its own, the portal's workers, and staff."""

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
from tests.staff_client import StaffClient
from tests.world import World

Agree = Callable[..., None]

# Lists are fetched again in tests of that only; the others would wait a minute for it.
os.environ["LIST_AGAIN_AFTER_SECONDS"] = "0"
# Django calls this after each test that commits; the dict takes a command or a path.
get_commands()["flush"] = database_cleanup.Command()  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def no_second_look(settings: Settings) -> None:
    settings.LIST_AGAIN_AFTER = timedelta(0)


@pytest.fixture(scope="session")
def served() -> Iterator[sandbox.SandboxHandle]:
    """Serve the sandbox once for all tests."""
    with sandbox.serving() as box:
        yield box


@pytest.fixture
def box(served: sandbox.SandboxHandle, settings: Settings) -> sandbox.SandboxHandle:
    """The sandbox in its first state, at the addresses that the portal is set to."""
    served.reset()
    settings.OPTIMOVE_API_URL = served.optimove_url
    settings.OPTIMOVE_PROMOTIONS_URL = served.promotions_url
    settings.OPTIMOVE_API_KEY = served.api_key
    settings.PLATFORM_URL = served.platform_url
    settings.PLATFORM_TOKEN = served.platform_token
    return served


@pytest.fixture
def world(db: None, box: sandbox.SandboxHandle) -> World:
    """The portal connected to the sandbox, with workers that run on request."""
    return World(box)


@pytest.fixture
def agree(settings: Settings, tmp_path: Path) -> Agree:
    """Set the tenant's contract file to the built-in one with these changes."""

    def agree(*changes: tuple[str, str]) -> None:
        text = contract.BUILT_IN.read_text()
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        # A new file each time: a process reads each file once.
        path = tmp_path / f"contract-{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(text)
        settings.OPTIMOVE_CONTRACT = str(path)

    return agree


# --- Staff, each logged in with one role ---------------------------------------------


@pytest.fixture(autouse=True)
def quick_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def client_of(db: None) -> Callable[[Role], StaffClient]:
    """The browser of a new user with this role."""
    return lambda role: StaffClient(create_staff(role.name.lower(), role, "secret"))


@pytest.fixture
def crm(client_of: Callable[[Role], StaffClient]) -> StaffClient:
    return client_of(Role.CRM)


@pytest.fixture
def support(client_of: Callable[[Role], StaffClient]) -> StaffClient:
    return client_of(Role.SUPPORT)


@pytest.fixture
def operations(client_of: Callable[[Role], StaffClient]) -> StaffClient:
    return client_of(Role.OPERATIONS)


@pytest.fixture
def auditor(client_of: Callable[[Role], StaffClient]) -> StaffClient:
    return client_of(Role.AUDITOR)


@pytest.fixture
def superuser(db: None) -> StaffClient:
    return StaffClient(User.objects.create_superuser("root"))
