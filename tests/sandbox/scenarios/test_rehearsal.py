"""`manage.py rehearse`: the result of a scenario's dry run, as text and as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from promoportal.sandbox.scenarios import shipped

ROOT = Path(__file__).resolve().parents[3]
# No database listens there: a dry run must not need one.
NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing"}
DAY = ("--day", "2026-01-15")


def rehearse(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "rehearse", *words],
        cwd=ROOT,
        env=os.environ | NOWHERE,
        capture_output=True,
        text=True,
        check=False,
    )


def figures(*words: str) -> dict[str, Any]:
    done = rehearse(*words, *DAY, "--json")
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_can_be_rehearsed(name: str) -> None:
    found = figures(name)

    assert found["day"] == "2026-01-15"
    assert any(one["recipients"] for one in found["campaigns"])
    for campaign in found["campaigns"]:
        for promotion in campaign["promotions"]:
            assert sum(promotion["statuses"].values()) == promotion["targeted"]
            assigned = sum(tier["assigned"] for tier in promotion["tiers"])
            assert assigned == promotion["statuses"]["Assigned"]


def test_the_text_shows_tiers_limits_warnings_and_an_e_mail() -> None:
    done = rehearse("welcome_back", *DAY)

    text = done.stdout
    assert done.returncode == 0
    for heading in ("CAMPAIGN 120", "CAMPAIGN 121", "LIMITS", "WARNINGS"):
        assert heading in text
    assert "Subject: " in text
    assert "of 8,000.00 EUR" in text
    assert "█" in text
    assert "None" not in text


def test_the_welcome_back_scenario_reaches_every_limit_at_once() -> None:
    found = figures("welcome_back")

    _, spins, thanks, _ = found["promotions"]
    [first, second, third] = found["campaigns"][0]["promotions"]
    assert first["statuses"]["NotEligible"] > 0
    assert spins["codes"] == {"total": 100, "used": 100}
    assert second["fallback_codes"] > 0
    assert thanks["cap"] == {"recipients": 20, "timeframe": "lifetime", "used": 20}
    assert third["statuses"]["BudgetExceeded"] > 0
    assert third["statuses"]["AudienceCapReached"] > 0
    assert {tier["name"] for tier in first["tiers"] if tier["assigned"]} == {
        "Gold",
        "Silver",
        "Starter",
    }


def test_a_dry_run_depends_only_on_its_seed() -> None:
    few = ("welcome_back", "--customers", "300")

    assert figures(*few) == figures(*few)
    assert figures(*few, "--seed", "9") != figures(*few)
    assert figures(*few)["customers"] == 300


def test_every_mistake_is_reported_with_its_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('title = "Mine"\nseed = "one"\n[customers]\ncount = -1\n')

    done = rehearse(str(file))

    assert done.returncode == 1
    assert f"{file}:2: seed must be" in done.stderr
    assert f"{file}:4: customers.count must be" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nowhere",), "Built-in scenarios: discount_codes, free_spins, welcome_back."),
        (("free_spins", "--day", "soon"), "Invalid date 'soon'."),
        (("free_spins", "--customers", "0"), "--customers must be at least 1."),
    ],
)
def test_an_impossible_dry_run_is_refused_with_a_sentence(
    words: tuple[str, ...], sentence: str
) -> None:
    done = rehearse(*words)

    assert done.returncode in (1, 2)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
