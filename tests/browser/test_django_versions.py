"""Pages look the same with each supported version of Django."""

from __future__ import annotations

import pytest

from executions.models import Execution
from promoportal.admin.links import list_of
from promoportal.admin.roles import Role
from tests.browser.conftest import OpenScreen


@pytest.mark.django_db
def test_the_navigation_has_the_styles_of_the_portal(open_screen: OpenScreen) -> None:
    screen = open_screen(Role.OPERATIONS)
    screen.open(list_of(Execution))

    found = screen.page.evaluate(
        """() => ['.breadcrumbs', '#tasks a'].map(
            of => getComputedStyle(document.querySelector(of)))
            .map(style => [style.backgroundColor, style.textDecorationLine])"""
    )

    assert found == [["rgb(33, 69, 79)", "none"], ["rgba(0, 0, 0, 0)", "none"]]
