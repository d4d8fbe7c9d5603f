"""The settings of the platform, and the error message of each mistake."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from promoportal import platforms
from promoportal.platforms import Capability
from rewards.models import Attempt

KEY = UUID("6f1a1c0e-7d7e-5b58-9a5e-0a4a3c3b2a19")
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "capability"),
    [
        ("idempotent,askable", Capability(True, True, DAY, MINUTE)),
        (" askable , idempotent ", Capability(True, True, DAY, MINUTE)),
        ("idempotent", Capability(True, False, DAY, MINUTE)),
        ("askable", Capability(False, True, DAY, MINUTE)),
        ("neither", Capability(False, False, DAY, MINUTE)),
        ("idempotent,remembers_for=48h", Capability(True, False, 2 * DAY, MINUTE)),
        ("askable,settle_grace=30s", Capability(False, True, DAY, MINUTE / 2)),
        (
            "idempotent,askable,remembers_for=7d,settle_grace=2m",
            Capability(True, True, 7 * DAY, 2 * MINUTE),
        ),
    ],
)
def test_a_capability_is_parsed(text: str, capability: Capability) -> None:
    assert Capability.parse(text) == capability


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("", ["says ''"]),
        ("idempotant", ["says 'idempotant'"]),
        ("Idempotent", ["says 'Idempotent'"]),
        ("idempotent,", ["says ''"]),
        ("idempotent=yes", ["says 'idempotent=yes'"]),
        ("idempotent,idempotent", ["idempotent twice"]),
        ("neither,askable", ["neither, and something else"]),
        ("remembers_for=2h", ["must say idempotent", "nothing without idempotent"]),
        ("askable,remembers_for=2h", ["nothing without idempotent"]),
        ("idempotent,settle_grace=2h", ["nothing without askable"]),
        ("idempotent,remembers_for=2", ["remembers_for=2; it must be a time"]),
        ("idempotent,remembers_for=0h", ["it must be a time"]),
        ("idempotent,remembers_for=-1h", ["it must be a time"]),
        ("idempotent,remembers_for", ["it must be a time"]),
        ("idempotent,remembers_for=999999d", ["it must be a time"]),
        ("idempotent,remembers_for=1h,remembers_for=2h", ["remembers_for twice"]),
        ("askible,remembers_for=x", ["says 'askible'", "remembers_for=x"]),
    ],
)
def test_every_mistake_in_a_capability_is_reported(
    text: str, mistakes: list[str]
) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        Capability.parse(text)

    for mistake in mistakes:
        assert mistake in str(caught.value)
    assert str(caught.value).count("PLATFORM_CAPABILITY") == len(mistakes)


def test_the_http_platform_is_created_from_settings(settings: Settings) -> None:
    settings.PLATFORM_CAPABILITY = "askable"
    settings.PLATFORM_URL = "https://platform.example.com/api/"
    platform = platforms.from_settings()

    assert isinstance(platform, platforms.HttpPlatform)
    assert platform.capability == Capability(
        idempotent=False, askable=True, address="https://platform.example.com/api"
    )
    platform.close()


class NoPlatform:
    @classmethod
    def from_settings(cls) -> NoPlatform:
        return cls()

    def activate(self) -> None: ...


@pytest.mark.parametrize(
    ("adapter", "problem"),
    [
        ("nowhere.at.All", "can't be imported: No module named 'nowhere'"),
        ("promoportal.platforms.Nothing", "can't be imported"),
        ("HttpPlatform", "can't be imported"),
        ("promoportal.platforms.Order", "no from_settings"),
        (
            f"{__name__}.NoPlatform",
            "it lacks look_up, close, capability",
        ),
    ],
)
def test_an_invalid_adapter_is_rejected(
    adapter: str, problem: str, settings: Settings
) -> None:
    settings.PLATFORM_ADAPTER = adapter
    with pytest.raises(ImproperlyConfigured, match="PLATFORM_ADAPTER is") as caught:
        platforms.from_settings()

    assert problem in str(caught.value)


@pytest.mark.parametrize("kind", Attempt.Kind)
def test_every_call_of_the_http_platform_has_a_description(kind: Attempt.Kind) -> None:
    method = "POST /rewards" if kind == Attempt.Kind.ACTIVATE else f"GET /rewards/{KEY}"

    assert platforms.asks(kind, KEY) == method


@pytest.mark.parametrize(
    ("text", "settles"),
    [
        ("idempotent", True),
        ("askable", True),
        ("idempotent,askable", True),
        ("neither", False),
    ],
)
def test_only_a_platform_with_keys_or_look_ups_resolves_an_unknown_outcome(
    text: str, settles: bool
) -> None:
    assert Capability.parse(text).settles_by_itself is settles
