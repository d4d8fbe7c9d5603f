"""An explorer with its own database, which the tests of a module share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pytest_django import Settings

from bench.explorer.schedules import Explorer, explorer

Open = Callable[..., Explorer]


@pytest.fixture
def opened(
    settings: Settings, django_db_setup: None, django_db_blocker: Any
) -> Iterator[Open]:
    """Open an explorer of this capability; one at a time."""
    settings.DEBUG = True
    with django_db_blocker.unblock(), ExitStack() as stack:

        def opened(capability: str, **more: Any) -> Explorer:
            name = f"explorer_test_{os.getpid()}"
            return stack.enter_context(explorer(capability, name=name, **more))

        yield opened
