"""Tests of the fault test: its victims, its faults and its verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from bench.chaos import FaultTest, SystemUnderTest, Verdict
from bench.chaos.fault_injection import _FAULTS
from bench.chaos.processes import descendants, everyone, send
from bench.chaos.verdict import is_over
from promoportal.db.embedded import binaries
from promoportal.db.embedded.data_directory import Layout
from tests.promoportal.db.embedded.conftest import clear

CLEAN: dict[str, Any] = {
    "seed": 1,
    "rewards": 5,
    "credits": 5,
    "most_credits": 1,
    **dict.fromkeys(("doubled", "lost", "uncalled_for", "different"), 0),
    **dict.fromkeys(
        ("unreported", "premature", "uncertain", "moving", "held", "drift"), 0
    ),
    "held_why": {},
    **dict.fromkeys(("over_limit", "not_stopped", "written_off", "cancelled"), 0),
    **dict.fromkeys(("rate_before", "rate_during", "rate_after"), 10.0),
    "sent_again": 0,
    "recoveries": [("shutdown", 5.0)],
    "recovered": [5.0],
    "unlisted": 0,
    "unproven": 0,
    "seconds_to_settle": 1.0,
    "patience": 120.0,
    "opened_by_hand": 0,
    "blows": {},
}
# A shell that starts two processes and waits for them.
FAMILY = ["sh", "-c", "sleep 60 & sh -c 'sleep 60 & wait' & wait"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    if binaries.find() is None:
        pytest.skip("There is no embedded PostgreSQL for this platform.")
    yield tmp_path / "chaos"
    clear(Layout(tmp_path / "chaos"))


@pytest.mark.timeout(400)
def test_without_faults_every_reward_is_credited_and_reported_once(home: Path) -> None:
    words = ("--rewards", "60", "--seconds", "0", "--home", str(home), "--json")
    done = subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "chaos", *words],
        env={k: v for k, v in os.environ.items() if k != "DATABASE_URL"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rewards"] == found["credits"] > 40
    assert (found["most_credits"], found["lost"], found["drift"]) == (1, 0, 0)
    assert found["clean"] is found["settled"] is True
    assert found["opened_by_hand"] == 8  # the triggered ones
    assert set(found["blows"]) == {"campaign: execute", "campaign: trigger"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"most_credits": 2, "doubled": 1},
        *({name: 1} for name in ("lost", "uncalled_for", "different", "premature")),
        *({name: 1} for name in ("unproven", "over_limit", "not_stopped")),
        {"rewards": 0, "credits": 0},
    ],
    ids=str,
)
def test_one_wrong_reward_makes_the_verdict_unclean(wrong: dict[str, Any]) -> None:
    assert Verdict(**CLEAN).is_clean
    assert not Verdict(**CLEAN | wrong).is_clean


@pytest.mark.parametrize("left", ["uncertain", "moving", "held", "unreported", "drift"])
def test_work_left_for_staff_is_clean_but_not_settled(left: str) -> None:
    verdict = Verdict(**CLEAN | {left: 1})

    assert verdict.is_clean
    assert not verdict.is_settled


def test_a_verdict_after_the_time_limit_is_not_settled() -> None:
    assert Verdict(**CLEAN).is_settled
    assert not Verdict(**CLEAN | {"seconds_to_settle": 120.1}).is_settled


@pytest.mark.parametrize("recovered", [30.1, None])
def test_a_slow_recovery_from_an_outage_is_not_settled(recovered: float | None) -> None:
    assert Verdict(**CLEAN | {"recovered": [5.0, 30.0]}).is_settled
    assert not Verdict(**CLEAN | {"recovered": [5.0, recovered]}).is_settled


def test_an_execution_is_over_a_limit_only_above_what_staff_approved() -> None:
    limits: dict[str, Any] = {"customers": 10, "values": {"eur": Decimal(100)}}
    approved: dict[str, Any] = {"customers": 12, "value": {"EUR": "120"}}

    assert not is_over(10, {"eur": Decimal(100)}, waived={}, **limits)
    assert is_over(11, {"eur": Decimal(100)}, waived={}, **limits)
    assert is_over(10, {"eur": Decimal(101)}, waived={}, **limits)
    assert not is_over(12, {"eur": Decimal(120)}, waived=approved, **limits)
    assert is_over(12, {"eur": Decimal(121)}, waived=approved, **limits)


def test_the_descendants_of_a_process_are_found_and_can_be_killed() -> None:
    with subprocess.Popen(FAMILY, start_new_session=True) as process:
        until = time.monotonic() + 10
        while len(descendants(process.pid)) < 3 and time.monotonic() < until:
            time.sleep(0.02)
        below = descendants(process.pid)
        # The outermost first: a shell exits by itself when its last child is gone.
        killed = [send(one.pid, signal.SIGKILL) for one in below]
        process.kill()

    assert len(below) == 3
    assert {one.parent for one in below} > {process.pid}
    assert all(killed)
    pids = {one.pid for one in below}
    until = time.monotonic() + 10
    while pids & everyone().keys() and time.monotonic() < until:
        time.sleep(0.02)  # a killed process ends when the kernel runs it next
    assert not pids & everyone().keys()
    assert not send(process.pid, signal.SIGKILL)


def test_every_fault_occurs_at_least_once(tmp_path: Path) -> None:
    test = FaultTest(SystemUnderTest(tmp_path), seed=1, rewards=10, seconds=1)
    test._first = test._each_once()

    injected = [test._next() for _ in _FAULTS]

    assert set(injected) == set(_FAULTS)
