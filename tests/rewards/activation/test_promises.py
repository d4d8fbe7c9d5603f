"""An unknown outcome is resolved by the promise under which the reward was sent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from pytest_django import Settings

from promoportal import platforms
from promoportal.db.database_clock import database_now, seconds_from_now
from promoportal.platforms import Capability, HttpPlatform
from promoportal.sandbox import Fault
from rewards.activation import activate, in_doubt
from rewards.activation.claims import claimable
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from tests.rewards.activation.test_in_doubt import become, let_grace_pass
from tests.world import World

LOST = Fault(kind="lost_answer", side="platform", route="rewards")
BROKEN = Fault(kind="error_before", side="platform", route="rewards", status=500)
BOTH, KEYED, ASKED = "idempotent,askable", "idempotent", "askable"
HELD = (AssignmentState.HELD, AssignmentReason.UNANSWERED)


@pytest.fixture
def owed(world: World) -> Assignment:
    world.box.assign("7311", "C1")
    world.collect("7311")
    return world.assignment("C1")


def send(world: World, settings: Settings, capability: str, fault: Fault) -> None:
    """Send the reward to a platform with this capability, and get no response."""
    words = [word for word in capability.split(",") if "=" not in word]
    become(world, settings, ",".join(words))
    settings.PLATFORM_CAPABILITY = capability
    world.box.order(fault)
    world.run_activation()


def move(settings: Settings) -> None:
    """Set another address, at which the platform does not know the keys."""
    settings.PLATFORM_URL = settings.PLATFORM_URL.replace("127.0.0.1", "localhost")


def result(owed: Assignment) -> tuple[str, str]:
    owed.refresh_from_db()
    return owed.state, owed.reason


@pytest.mark.parametrize("then", [ASKED, "neither"])
def test_a_key_that_the_platform_did_not_promise_to_remember_is_not_sent_again(
    world: World, settings: Settings, owed: Assignment, then: str
) -> None:
    send(world, settings, then, LOST)
    become(world, settings, KEYED)

    world.wait()

    assert result(owed) == HELD
    assert "did not include idempotent" in owed.problem
    assert len(world.box.credits) == 1


def test_a_reward_sent_before_the_platform_was_idempotent_is_looked_up(
    world: World, settings: Settings, owed: Assignment
) -> None:
    send(world, settings, ASKED, LOST)
    settings.PLATFORM_CAPABILITY = BOTH

    world.wait()

    assert result(owed) == (AssignmentState.ACTIVE, "")
    assert len(world.box.credits) == 1


@pytest.mark.parametrize("capability", [KEYED, ASKED, BOTH])
def test_a_reward_sent_to_another_address_is_not_sent_again(
    world: World, settings: Settings, owed: Assignment, capability: str
) -> None:
    send(world, settings, capability, LOST)
    move(settings)
    world.box.forget_keys()

    world.wait()

    assert result(owed) == HELD
    assert "It was sent to http://127.0.0.1" in owed.problem
    assert len(world.box.credits) == 1


def test_a_reward_that_another_address_knows_is_activated(
    world: World, settings: Settings, owed: Assignment
) -> None:
    """Often only the name of the platform's host changed."""
    send(world, settings, BOTH, LOST)
    move(settings)

    world.wait()

    assert result(owed) == (AssignmentState.ACTIVE, "")
    assert len(world.box.credits) == 1


@pytest.mark.parametrize(
    ("then", "now"), [("1h", "48h"), ("48h", "1h")], ids=["longer now", "shorter now"]
)
def test_the_shorter_time_of_two_promises_counts(
    world: World, settings: Settings, owed: Assignment, then: str, now: str
) -> None:
    send(world, settings, KEYED, LOST)
    Attempt.objects.update(
        remembers_for=timedelta(hours=int(then[:-1])), begun_at=seconds_from_now(-7000)
    )
    Assignment.objects.update(first_sent_at=seconds_from_now(-7200))
    settings.PLATFORM_CAPABILITY = f"{KEYED},remembers_for={now}"
    world.box.forget_keys()

    world.wait()

    assert result(owed) == HELD
    assert len(world.box.credits) == 1


def test_not_found_proves_nothing_if_the_platform_could_not_be_asked_before(
    world: World, settings: Settings, owed: Assignment
) -> None:
    send(world, settings, "neither", LOST)
    become(world, settings, ASKED)
    world.box.forget_keys()

    world.wait()

    assert result(owed) == HELD
    assert "did not include askable" in owed.problem
    assert len(world.box.credits) == 1


def test_not_found_counts_after_the_longer_of_two_grace_periods(
    world: World, settings: Settings, owed: Assignment
) -> None:
    send(world, settings, f"{ASKED},settle_grace=2h", BROKEN)
    settings.PLATFORM_CAPABILITY = ASKED
    let_grace_pass()

    in_doubt.settle()

    owed.refresh_from_db()
    assert owed.state == AssignmentState.UNCERTAIN
    assert owed.not_before > database_now() + timedelta(minutes=50)


def test_a_worker_with_new_settings_claims_no_reward_sent_under_old_ones(
    world: World, settings: Settings, owed: Assignment
) -> None:
    """In a rolling restart, a reward becomes due by the settings of another process."""
    send(world, settings, f"{KEYED},remembers_for=1h", LOST)
    Assignment.objects.update(not_before=Now())
    in_doubt.settle()
    owed.refresh_from_db()
    assert (owed.state, owed.doubtful) == (AssignmentState.OWED, True)
    known = claimable(platforms.current_capability())
    Attempt.objects.update(remembers_for=None)  # as a process with `askable` records

    assert not known.exists()
    activate.activate_one(owed.pk)
    assert len(world.box.credits) == 1


def test_an_address_that_got_nothing_does_not_matter(
    world: World, settings: Settings, owed: Assignment
) -> None:
    send(
        world, settings, KEYED, Fault(kind="error_before", side="platform", status=429)
    )
    move(settings)
    world.box.order(LOST)

    world.wait()

    assert result(owed) == (AssignmentState.ACTIVE, "")
    assert len(world.box.credits) == 1


def test_a_promise_before_the_last_resolution_does_not_matter(
    world: World, settings: Settings, owed: Assignment
) -> None:
    send(world, settings, ASKED, BROKEN)
    let_grace_pass()
    in_doubt.settle()
    send(world, settings, KEYED, LOST)

    world.wait()

    assert result(owed) == (AssignmentState.ACTIVE, "")
    assert len(world.box.credits) == 1


def test_an_attempt_of_the_previous_release_counts_as_sent_to_this_platform(
    world: World, settings: Settings, owed: Assignment
) -> None:
    """After an upgrade, staff must not have to decide about all unknown outcomes."""
    send(world, settings, KEYED, LOST)
    Attempt.objects.update(address="", remembers_for=None, settle_grace=None)

    world.wait()

    assert result(owed) == (AssignmentState.ACTIVE, "")


def test_an_attempt_records_where_it_was_sent_and_under_which_promise(
    world: World, settings: Settings, owed: Assignment
) -> None:
    send(world, settings, f"{BOTH},remembers_for=48h", LOST)

    attempt = Attempt.objects.get()
    assert attempt.address == settings.PLATFORM_URL.rstrip("/")
    assert (attempt.remembers_for, attempt.settle_grace) == (
        timedelta(hours=48),
        timedelta(seconds=60),
    )


def test_an_address_is_recorded_without_secrets() -> None:
    capability = Capability(idempotent=True, askable=False)
    address = "https://User:secret@Platform.example.com:8443/api/?token=secret"

    platform = HttpPlatform(address, token="t", capability=capability)

    assert platform.capability.address == "https://platform.example.com:8443/api"


def test_another_adapter_without_an_address_counts_as_another_platform(
    settings: Settings, owed: Assignment
) -> None:
    capability = Capability(idempotent=True, askable=False)
    Assignment.objects.update(doubtful=True, first_sent_at=Now() - timedelta(seconds=1))
    Attempt.objects.create(
        assignment=owed,
        number=1,
        address="bonus_engine.OldBonusEngine",
        remembers_for=timedelta(days=1),
    )
    assert not claimable(capability).exists()

    settings.PLATFORM_ADAPTER = "bonus_engine.OldBonusEngine"
    assert claimable(capability).exists()
