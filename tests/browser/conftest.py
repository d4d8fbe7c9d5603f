"""
A real browser with the real site, on a separate database.

Chromium comes from the system (on Debian the package `chromium`), so Playwright's own
need not be downloaded. Without Chromium these tests are skipped, unless
PORTAL_TESTS_NEED_BROWSER is set, as it is in `.ci/run`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from promoportal.admin.roles import Role, group_of
from tests.browser.screen import DESKTOP, Screen
from tests.factories import UserFactory
from tests.staff_client import StaffClient

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# The browser sends no requests of its own: a test uses this machine only.
_QUIET = (
    *("--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
)

# Milliseconds: a page may be slow on a busy machine.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)

OpenScreen = Callable[..., Screen]


def _program() -> str:
    found = [path for name in _NAMES if (path := shutil.which(name))]
    if not found:
        say = pytest.fail if "PORTAL_TESTS_NEED_BROWSER" in os.environ else pytest.skip
        say("There is no Chromium here; on Debian it is the package `chromium`.")
    return found[0]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Yield one browser for all tests of this folder."""
    program = _program()
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        # Playwright runs an event loop in this thread, so Django would refuse queries as
        # if the code were asynchronous.
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=program, args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_screen(browser: Browser, live_server: LiveServer) -> Iterator[OpenScreen]:
    """
    Return a function that opens a screen for a logged-in or an anonymous user.

    After the test, no screen may have reported an error, or a violation of the
    Content-Security-Policy.
    """
    screens: list[Screen] = []

    def open_screen(who: Role | User | None, **options: Any) -> Screen:
        context = browser.new_context(
            **{
                "base_url": live_server.url,
                "viewport": DESKTOP,
                "reduced_motion": "reduce",
                **options,
            }
        )
        context.set_default_timeout(PATIENCE)
        if who:
            user = who if isinstance(who, User) else _member(who)
            context.add_cookies([_logged_in(user, live_server)])
        screens.append(Screen(context))
        return screens[-1]

    yield open_screen
    for screen in screens:
        screen.context.close()
    assert [said for screen in screens for said in screen.complaints] == []


def _member(role: Role) -> User:
    user = UserFactory(username=role.name.lower(), is_staff=True)
    user.groups.set([group_of(role)])
    return user


def _logged_in(user: User, live_server: LiveServer) -> Any:
    session = StaffClient(user).client.cookies[settings.SESSION_COOKIE_NAME]
    return {"name": session.key, "value": session.value, "url": live_server.url}
