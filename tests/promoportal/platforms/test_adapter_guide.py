"""The adapter of docs/platform-adapter.md activates rewards as its page describes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from pytest_django import Settings

from promoportal import platforms, wire
from promoportal.platforms import Capability, Order, Reward
from rewards.models import Assignment, AssignmentReason, AssignmentState, Attempt
from tests.project import tree
from tests.promoportal.wire import raw_server
from tests.world import World

GUIDE = "docs/platform-adapter.md"
MODULE = "bonus_engine"
KEY = UUID("6f1a1c0e-7d7e-5b58-9a5e-0a4a3c3b2a19")
ORDER = Order("C1", "promo-17", "7311", Reward("Amount", "BonusCash", "10.00", "EUR"))
ERRORS = [
    wire.Unavailable,
    wire.Unanswered,
    wire.Rejected,
    wire.Malformed,
    wire.Misconfigured,
]


@dataclass
class BonusServer:
    """The platform that the page describes, on a real socket."""

    bonuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    # What happens to the next requests, one each: "lost_request", "lost_response", or a
    # status, which is the response without any work.
    faults: list[str] = field(default_factory=list)

    def speak(self, connection: raw_server.Connection) -> None:
        while (body := connection.hear()) is not None:
            head = connection.server.heads[-1]
            self.heads.append(head)
            method, target, _ = head.split(" ", 2)
            self.requests.append(f"{method} {target}")
            fault = self.faults.pop(0) if self.faults else ""
            if fault.isdecimal():
                connection.say(raw_server.answer(status=int(fault)))
                continue
            answer = b"" if fault == "lost_request" else self._answer(target, body)
            if fault:
                return  # the connection closes without a response
            connection.say(answer)

    def _answer(self, target: str, body: bytes) -> bytes:
        if not body:
            return _said(self._found(target))
        bonus = json.loads(body)
        if bonus["external_id"] in self.bonuses:
            return _said({"error": "external_id exists"}, 409)
        bonus["id"] = f"B-{len(self.bonuses) + 1}"
        self.bonuses[bonus["external_id"]] = bonus
        return _said(bonus, 201)

    def _found(self, target: str) -> list[dict[str, Any]]:
        [key] = parse_qs(urlsplit(target).query)["external_id"]
        return [self.bonuses[key]] if key in self.bonuses else []


def _said(body: Any, status: int = 200) -> bytes:
    return raw_server.answer(json.dumps(body).encode(), status=status)


@pytest.fixture
def server(box: object, settings: Settings, tmp_path: Path) -> Iterator[BonusServer]:
    """The bonus server, and the portal set to the adapter that the page shows."""
    [example] = re.findall(r"```python\n(.*?)```", tree.say(GUIDE), re.DOTALL)
    (tmp_path / f"{MODULE}.py").write_text(example)
    sys.path.insert(0, str(tmp_path))
    settings.PLATFORM_ADAPTER = f"{MODULE}.BonusEngine"
    server = BonusServer()
    try:
        with raw_server.serving(server.speak) as far:
            settings.PLATFORM_URL = far.address
            settings.PLATFORM_TOKEN = "guide-token"
            yield server
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop(MODULE, None)


def activated(world: World, **fields: Any) -> Assignment:
    """One assignment, after the jobs have fetched it and sent it once."""
    world.box.assign("7311", "C1", **fields)
    world.announce("7311")
    return world.assignment("C1")


def outcomes(assignment: Assignment) -> list[str]:
    history = Attempt.objects.filter(assignment=assignment).order_by("pk")
    return list(history.values_list("outcome", flat=True))


def test_the_example_activates_a_reward(world: World, server: BonusServer) -> None:
    assignment = activated(world)

    assert assignment.state == AssignmentState.ACTIVE
    assert assignment.receipt == "B-1"
    assert "X-Api-Key: guide-token" in server.heads[0].split("\r\n")
    assert list(server.bonuses.values()) == [
        {
            "external_id": str(assignment.key),
            "player": "C1",
            "campaign": "promo-17",
            "kind": "BonusCash",
            "amount": "10.00",
            "unit": "EUR",
            "id": "B-1",
        }
    ]


@pytest.mark.parametrize("fault", ["lost_response", "lost_request"])
def test_a_request_without_a_response_creates_one_bonus(
    world: World, server: BonusServer, fault: str
) -> None:
    server.faults = [fault]
    sent = activated(world)
    assert sent.state == AssignmentState.UNCERTAIN
    assert sent.doubtful

    world.wait()

    assignment = world.assignment("C1")
    assert assignment.state == AssignmentState.ACTIVE
    assert assignment.receipt == "B-1"
    assert not assignment.doubtful
    assert list(server.bonuses) == [str(assignment.key)]
    assert outcomes(assignment) == [Attempt.Outcome.UNANSWERED, Attempt.Outcome.GIVEN]


@pytest.mark.parametrize("fault", ["lost_response", "lost_request"])
def test_a_platform_that_can_only_be_asked_creates_one_bonus(
    world: World, server: BonusServer, settings: Settings, fault: str
) -> None:
    settings.PLATFORM_CAPABILITY = "askable"
    server.faults = [fault]
    assignment = activated(world)

    world.wait()

    assignment.refresh_from_db()
    assert assignment.state == AssignmentState.ACTIVE
    assert list(server.bonuses) == [str(assignment.key)]
    assert f"GET /bonuses?external_id={assignment.key}" in server.requests
    posted = server.requests.count("POST /bonuses")
    assert posted == (1 if fault == "lost_response" else 2)


@pytest.mark.parametrize("fault", ["lost_request", "429", "503", "401", "422"])
def test_an_error_after_a_conflict_never_means_that_nothing_was_sent(
    server: BonusServer, fault: str
) -> None:
    server.bonuses[str(KEY)] = {"external_id": str(KEY), "id": "B-1"}
    server.faults = ["409", fault]

    with (
        closing(platforms.from_settings()) as adapter,
        pytest.raises(wire.Unanswered),
    ):
        adapter.activate(ORDER, key=KEY)

    assert len(server.requests) == 2


def test_a_conflict_without_a_bonus_has_an_unknown_outcome(server: BonusServer) -> None:
    server.faults = ["409"]

    with (
        closing(platforms.from_settings()) as adapter,
        pytest.raises(wire.Unanswered),
    ):
        adapter.activate(ORDER, key=KEY)


@pytest.mark.parametrize(
    ("fields", "faults", "sent"),
    [
        pytest.param({}, ["422"], 1, id="rejected by the platform"),
        pytest.param({"reward": None, "uniqueCode": "AB12"}, [], 0, id="a code alone"),
    ],
)
def test_a_rejected_reward_needs_review(
    world: World,
    server: BonusServer,
    fields: dict[str, Any],
    faults: list[str],
    sent: int,
) -> None:
    server.faults = faults
    assignment = activated(world, **fields)

    assert assignment.state == AssignmentState.HELD
    assert assignment.reason == AssignmentReason.REFUSED
    assert not assignment.doubtful
    assert len(server.requests) == sent


def test_a_response_about_another_bonus_is_no_receipt(server: BonusServer) -> None:
    server.bonuses[str(KEY)] = {"external_id": str(UUID(int=1)), "id": "B-1"}

    with (
        closing(platforms.from_settings()) as adapter,
        pytest.raises(wire.Malformed),
    ):
        adapter.look_up(KEY)


def test_the_pages_of_an_assignment_can_show_its_requests(server: BonusServer) -> None:
    assert platforms.asks("ACTIVATE", KEY) == "POST /bonuses"
    assert platforms.asks("LOOK_UP", KEY) == f"GET /bonuses?external_id={KEY}"


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        pytest.param(
            "Orders and receipts",
            [field.name for of in (Order, Reward) for field in fields(of)],
            id="orders",
        ),
        pytest.param(
            "Capability", [field.name for field in fields(Capability)], id="capability"
        ),
        pytest.param("Errors", [error.__name__ for error in ERRORS], id="errors"),
    ],
)
def test_the_guide_names_each_field_and_error(
    heading: str, expected: list[str]
) -> None:
    told = tree.section(tree.say(GUIDE), heading)
    named = re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE)
    assert sorted({*named}) == sorted({*expected})
