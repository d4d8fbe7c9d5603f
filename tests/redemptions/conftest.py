from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from promoportal.optimove import _contract
from redemptions.models import Redemption
from tests.world import World

OCCURRENCE = "7311"

Give = Callable[..., list[Redemption]]
Agree = Callable[..., None]


@pytest.fixture
def give(world: World, settings: Settings) -> Give:
    """So many rewards are given, and none is reported yet."""

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


@pytest.fixture
def agree(settings: Settings, tmp_path: Path) -> Agree:
    """The tenant's contract is the built-in one but for these lines."""

    def agree(*changes: tuple[str, str]) -> None:
        text = _contract.BUILT_IN.read_text()
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        path = tmp_path / "contract.toml"
        path.write_text(text)
        settings.OPTIMOVE_CONTRACT = str(path)

    return agree
