"""Listeners, and the command that manages them."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from executions import listeners
from executions.listeners import InvalidListener
from executions.models import EventType, Listener
from promoportal import sandbox, wire
from promoportal.optimove import External, rate_limiter
from promoportal.optimove.throttle import Throttled
from promoportal.resilience.circuit_breaker import Breaker
from promoportal.sandbox import Fault

REGISTER = "General/RegisterEventListener"


def secret(opened: listeners.Opened) -> str:
    return opened.path.strip("/").rpartition("/")[2]


def known(opened: listeners.Opened) -> Listener | None:
    return Listener.objects.known_by(secret(opened))


def run(*arguments: object) -> str:
    out = StringIO()
    call_command("listeners", *map(str, arguments), stdout=out)
    return out.getvalue()


def run_json(*arguments: object) -> Any:
    [line] = run(*arguments, "--json").splitlines()
    return json.loads(line)


# --- Open, rotate, close ------------------------------------------------------------


def test_two_open_listeners_are_told_apart(db: None) -> None:
    old = listeners.open_listener(EventType.SCHEDULED)
    new = listeners.rotate(old.listener, None)

    assert known(old) == old.listener
    assert known(new) == new.listener
    assert Listener.objects.known_by("neither") is None


def test_a_closed_listener_is_not_found_any_more(db: None) -> None:
    old = listeners.open_listener(EventType.SCHEDULED)
    new = listeners.rotate(old.listener, None)

    listeners.close(old.listener)

    assert known(old) is None
    assert known(new) == new.listener


def test_a_rotated_listener_has_the_restrictions_of_the_old_one(db: None) -> None:
    old = listeners.open_listener(
        EventType.TRIGGERED, channel=505, header="X-A: b", networks=["192.0.2.0/24"]
    )

    new = listeners.rotate(old.listener, None).listener

    for name in ("event_type", "channel", "header_name", "header_digest", "networks"):
        assert getattr(new, name) == getattr(old.listener, name)
    assert new.secret_digest != old.listener.secret_digest


def test_only_digests_are_stored(db: None) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED, header="X-A: sesame")

    stored = str(Listener.objects.values().get())

    assert len(secret(opened)) >= 43
    assert secret(opened) not in stored
    assert "sesame" not in stored


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        pytest.param({"event_type": 12}, "Unknown event type 12", id="event type"),
        pytest.param({"channel": 0}, "Invalid channel 0", id="channel 0"),
        pytest.param({"channel": -505}, "Invalid channel -5", id="a negative channel"),
        pytest.param({"channel": 2**31}, "Invalid channel", id="a channel past any"),
        pytest.param({"header": "X-A"}, "must be like", id="a header without value"),
        pytest.param({"header": ": b"}, "must be like", id="a header without name"),
        pytest.param({"header": "X A: b"}, "must be like", id="a name with a space"),
        pytest.param({"header": "X_A: b"}, "must be like", id="a name that is dropped"),
        pytest.param({"header": "X-A: ä"}, "must be like", id="a value of no Latin"),
        pytest.param({"networks": ["192.0.2.1/24"]}, "Invalid network", id="host bits"),
        pytest.param({"networks": ["everywhere"]}, "Invalid network", id="a word"),
    ],
)
def test_an_invalid_listener_is_refused_with_a_sentence(
    db: None, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidListener, match=words) as refused:
        listeners.open_listener(**{"event_type": 13, **wrong})

    assert str(refused.value).endswith(".")
    assert not Listener.objects.exists()


# --- Register with Optimove ---------------------------------------------------------


def test_registering_sends_optimove_a_url_that_is_accepted(
    db: None, box: sandbox.SandboxHandle
) -> None:
    facts = run_json("register", "--event-type", 13, "--channel", 505)

    [registered] = box.listeners
    [listener] = Listener.objects.all()
    assert (registered.event, registered.channel, registered.url) == (
        13,
        505,
        facts["url"],
    )
    assert facts["url"].endswith(facts["path"])
    assert listener.registered_at is not None
    assert Listener.objects.known_by(facts["path"].split("/")[3]) == listener


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="error_before", side="optimove", route=REGISTER, status=400),
        Fault(kind="error_before", side="optimove", route=REGISTER, status=503),
        Fault(kind="too_many", side="optimove", route=REGISTER),
        Fault(kind="sentence", side="optimove", route=REGISTER, text="Bad Request"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
def test_a_listener_that_optimove_rejects_is_closed_again(
    db: None, box: sandbox.SandboxHandle, fault: Fault
) -> None:
    box.order(fault)

    with pytest.raises(CommandError, match=r"did not accept.*No changes were made"):
        run("register", "--event-type", 13)

    assert not box.listeners
    assert not Listener.objects.open().exists()


@pytest.mark.parametrize("kind", ["lost_answer", "error_after"])
def test_a_listener_that_optimove_may_have_registered_stays_open(
    db: None, box: sandbox.SandboxHandle, kind: str
) -> None:
    box.order(Fault(kind=kind, side="optimove", route=REGISTER))

    with pytest.raises(CommandError, match="Outcome unknown"):
        run("register", "--event-type", 13)

    [registered] = box.listeners
    assert Listener.objects.open().count() == 1
    assert Listener.objects.known_by(registered.url.split("/")[-2]) is not None


def test_a_wrong_key_closes_the_listener_and_opens_the_circuit_breaker(
    db: None, box: sandbox.SandboxHandle, settings: Settings
) -> None:
    settings.OPTIMOVE_API_KEY = "expired"

    with pytest.raises(CommandError, match="No changes were made"):
        run("register", "--event-type", 13)

    assert not Listener.objects.open().exists()
    assert Breaker.objects.get().opened_at is not None


def test_a_throttled_registration_leaves_no_listener_open(
    db: None, box: sandbox.SandboxHandle
) -> None:
    rate_limiter.refused(60)
    opened = listeners.open_listener(EventType.SCHEDULED)

    with pytest.raises(Throttled), External.from_settings() as vendor:
        listeners.register(opened, vendor)
    with pytest.raises(CommandError, match="Try again in a few seconds"):
        run("register", "--event-type", 13)

    assert not Listener.objects.open().exists()
    assert not box.calls


def test_unregistering_removes_the_url_and_closes_the_listener(
    db: None, box: sandbox.SandboxHandle
) -> None:
    facts = run_json("register", "--event-type", 13)

    output = run_json("unregister", facts["id"])

    assert output == {"id": facts["id"], "open": False}
    assert not box.listeners
    assert not Listener.objects.open().exists()


def test_unregistering_the_old_listener_keeps_its_successor_registered(
    db: None, box: sandbox.SandboxHandle
) -> None:
    old = run_json("register", "--event-type", 13)
    new = run_json("rotate", old["id"], "--register")

    run("unregister", old["id"])

    [registered] = box.listeners
    assert registered.url == new["url"]
    assert [row.pk for row in Listener.objects.open()] == [new["id"]]


@pytest.mark.parametrize("other", [("--event-type", 11), ("--channel", 504)])
def test_a_listener_for_other_events_is_not_a_successor(
    db: None, box: sandbox.SandboxHandle, other: tuple[str, int]
) -> None:
    options = {"--event-type": 13, "--channel": 505}
    old = run_json("register", *_flat(options))
    run("register", *_flat(options | dict([other])))

    run("unregister", old["id"])

    assert len(box.listeners) == 1
    assert box.listeners[0].url != old["url"]


def _flat(options: dict[str, int]) -> list[object]:
    return [part for option in options.items() for part in option]


def test_a_listener_that_optimove_does_not_unregister_stays_open(
    db: None, box: sandbox.SandboxHandle
) -> None:
    facts = run_json("register", "--event-type", 13)
    box.order(Fault(kind="error_before", side="optimove", status=503))

    with pytest.raises(CommandError, match="did not accept the request"):
        run("unregister", facts["id"])

    assert Listener.objects.open().count() == 1


def test_a_rejected_rotation_keeps_the_old_listener(
    db: None, box: sandbox.SandboxHandle
) -> None:
    old = run_json("register", "--event-type", 13)
    box.order(Fault(kind="error_before", side="optimove", route=REGISTER, status=400))

    with pytest.raises(CommandError):
        run("rotate", old["id"], "--register")

    assert [row.pk for row in Listener.objects.open()] == [old["id"]]


# --- The command's output -----------------------------------------------------------


def test_add_shows_the_secret_once(db: None) -> None:
    facts = run_json("add", "--event-type", 13, "--channel", 505)

    assert facts["path"].startswith("/webhooks/optimove/")
    assert (facts["event_type"], facts["channel"]) == (13, 505)
    assert facts["path"].split("/")[3] not in run("list")
    assert "it is not shown again" in run("add", "--event-type", 11)


@pytest.mark.parametrize("before", [True, False])
def test_json_can_be_given_before_or_after_the_verb(db: None, before: bool) -> None:
    words = ["add", "--event-type", "13"]

    output = run("--json", *words) if before else run(*words, "--json")

    assert set(json.loads(output)) == {"id", "path", "url", "event_type", "channel"}


def test_one_command_registers_all_events_that_the_portal_handles(
    db: None, box: sandbox.SandboxHandle
) -> None:
    facts = run_json("register")

    assert [row["event_type"] for row in facts["listeners"]] == [13, 11, 4]
    assert {row.url for row in box.listeners} == {
        row["url"] for row in facts["listeners"]
    }


def test_listeners_registered_before_a_rejection_are_shown(
    db: None, box: sandbox.SandboxHandle
) -> None:
    box.order(
        Fault(kind="error_before", side="optimove", route=REGISTER, status=400, skip=1)
    )
    out = StringIO()

    with pytest.raises(CommandError):
        call_command("listeners", "register", "--json", stdout=out)

    [first] = json.loads(out.getvalue())["listeners"]
    assert [row.pk for row in Listener.objects.open()] == [first["id"]]


def test_the_list_shows_states_and_no_secrets(
    db: None, box: sandbox.SandboxHandle
) -> None:
    assert run("list") == "No listeners. Create one with `listeners register`.\n"
    registered = run_json("register", "--event-type", 13)
    listeners.close(listeners.open_listener(EventType.TRIGGERED, channel=505).listener)
    listeners.open_listener(EventType.CANCELLED)

    rows = run_json("list")["listeners"]

    assert [(row["event_type"], row["channel"], row["state"]) for row in rows] == [
        (13, "any", "registered"),
        (11, 505, "closed"),
        (4, "any", "open"),
    ]
    assert registered["path"].split("/")[3] not in str(rows)
    assert len(run("list").splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(
            ["add", "--event-type", 12], "Unknown event type 12", id="event type"
        ),
        pytest.param(
            ["add", "--event-type", 13, "--channel", -1],
            "Invalid channel",
            id="channel",
        ),
        pytest.param(["unregister", 404], "Open listener 404 not", id="unknown"),
        pytest.param(["rotate", 10**30], "Open listener", id="unthinkable"),
    ],
)
def test_a_mistake_is_reported_as_a_sentence(
    db: None, words: list[object], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence) as refused:
        run(*words)

    assert str(refused.value).endswith(".")
    assert refused.value.returncode == 1


def test_a_failed_registration_raises_the_error_of_the_call(
    db: None, box: sandbox.SandboxHandle
) -> None:
    box.order(Fault(kind="lost_answer", side="optimove", route=REGISTER))
    opened = listeners.open_listener(EventType.SCHEDULED)

    with pytest.raises(wire.Unanswered), External.from_settings() as vendor:
        listeners.register(opened, vendor)
