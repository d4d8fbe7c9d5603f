from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings

from redemptions.models import Redemption
from tests.world import World

OCCURRENCE = "7311"

Give = Callable[..., list[Redemption]]


@pytest.fixture
def give(world: World, settings: Settings) -> Give:
    """Return a function that activates rewards and returns their pending redemptions."""

    def give(count: int, *, mode: str = "triggered") -> list[Redemption]:
        settings.REDEMPTION_MODE = mode
        for number in range(count):
            world.box.assign(OCCURRENCE, f"C{number}", assignment_id=f"A{number}")
        world.collect(OCCURRENCE)
        world.run_activation()
        rows = list(Redemption.objects.order_by("pk"))
        assert len(rows) == count
        return rows

    return give
