"""
Staff at their screens: a real browser before the real site, on a database of its own.

Chromium comes from the system (on Debian the package `chromium`): Playwright's own need
not be fetched. Without one these tests are skipped, unless PORTAL_TESTS_NEED_BROWSER
is set, as it is in `.ci/run`.
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
from tests.browser.screen import DESK, Screen
from tests.factories import UserFactory
from tests.staff_client import StaffClient

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# It asks nobody for news of itself: a test talks to this machine alone.
_QUIET = (
    *("--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
)

# Milliseconds: on a machine that does much else, a page takes its time.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)

SitDown = Callable[..., Screen]


def _program() -> str:
    found = [path for name in _NAMES if (path := shutil.which(name))]
    if not found:
        say = pytest.fail if "PORTAL_TESTS_NEED_BROWSER" in os.environ else pytest.skip
        say("There is no Chromium here; on Debian it is the package `chromium`.")
    return found[0]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One for all tests of this folder that run one after the other."""
    program = _program()
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        # Playwright has an event loop wait in this thread; Django takes that for
        # asynchronous code, which it is not.
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=program, args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture
def sit_down(browser: Browser, live_server: LiveServer) -> Iterator[SitDown]:
    """
    Someone sits down at a screen, logged in; or a stranger, who is not.

    When they leave, nothing may have gone wrong that only the browser knows of: an
    error, or something that the Content-Security-Policy kept the page from doing.
    """
    screens: list[Screen] = []

    def sit_down(who: Role | User | None, **how: Any) -> Screen:
        context = browser.new_context(
            **{
                "base_url": live_server.url,
                "viewport": DESK,
                "reduced_motion": "reduce",
                **how,
            }
        )
        context.set_default_timeout(PATIENCE)
        if who:
            user = who if isinstance(who, User) else _member(who)
            context.add_cookies([_logged_in(user, live_server)])
        screens.append(Screen(context))
        return screens[-1]

    yield sit_down
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
