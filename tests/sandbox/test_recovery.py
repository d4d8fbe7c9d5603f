"""The simulated services keep every acknowledged fact, however their process ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox.test_command import NOWHERE, ROOT, started

KEY = {"X-API-KEY": "k", "Content-Type": "application/json"}
REWARD = {
    "category": "Amount",
    "type": "BonusCash",
    "value": "10.00",
    "currency": "EUR",
}


class RestartableSandbox:
    """A sandbox that can be killed, and restarts at the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "sandbox", "--port", str(self.port)),
                *("--keep", str(self.folder), "--calls", "100000"),
            ],
            cwd=ROOT,
            env=os.environ | NOWHERE | {"OPTIMOVE_API_KEY": "k", "PLATFORM_TOKEN": "t"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.process.stdout.readline()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def restart(self) -> None:
        self.kill()
        self.start()

    def control(self, what: str, **body: Any) -> Any:
        answer = requests.post(f"{self.url}/control/{what}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def ledger(self, occurrence: str) -> Any:
        answer = requests.get(
            f"{self.url}/control/ledger", {"occurrence": occurrence}, timeout=10
        )
        return answer.json()

    def promotions(self, what: str, **body: Any) -> Any:
        answer = requests.post(
            f"{self.url}/promotions/v1/{what}",
            data=json.dumps(body),
            headers=KEY,
            timeout=10,
        )
        return answer.json()

    def listed(self, occurrence: str) -> list[dict[str, Any]]:
        answer = self.promotions(
            "customerAssignments", occurrenceId=occurrence, pageSize=1000
        )
        rows: list[dict[str, Any]] = answer["assignments"]
        return rows

    def credit(self, occurrence: str, row: dict[str, Any], key: str) -> str:
        answer = requests.post(
            f"{self.url}/platform/rewards",
            json={
                "customerId": row["customerId"],
                "promotionId": row["promotionId"],
                "occurrenceId": occurrence,
                "uniqueCode": row["uniqueCode"],
                "reward": row["reward"],
            },
            headers={"Authorization": "Bearer t", "Idempotency-Key": key},
            timeout=10,
        )
        assert answer.status_code in {200, 201}, answer.text
        reference: str = answer.json()["reference"]
        return reference

    def redeem(self, occurrence: str, row: dict[str, Any], reference: str) -> Any:
        return self.promotions(
            "redemptions",
            occurrenceId=occurrence,
            promotionId=row["promotionId"],
            customerId=row["customerId"],
            assignmentId=row["assignmentId"],
            redeemedAt="2026-03-01T10:00:00Z",
            reference=reference,
        )


@pytest.fixture
def restartable(tmp_path: Path) -> Iterator[RestartableSandbox]:
    restartable = RestartableSandbox(tmp_path / "kept")
    yield restartable
    restartable.kill()


def execute(
    restartable: RestartableSandbox, customers: int = 20
) -> tuple[str, list[dict[str, Any]]]:
    done = restartable.control("execute", customers=customers, announce=False)
    occurrence = str(done["occurrence"])
    return occurrence, [
        r for r in restartable.listed(occurrence) if r["status"] == "Assigned"
    ]


def test_rows_credits_and_redemptions_survive_a_kill(
    restartable: RestartableSandbox,
) -> None:
    occurrence, rows = execute(restartable)
    listed = restartable.listed(occurrence)
    keys = {row["assignmentId"]: str(uuid.uuid4()) for row in rows}
    credited = {
        k: restartable.credit(occurrence, r, k)
        for r in rows
        if (k := keys[r["assignmentId"]])
    }
    assert restartable.redeem(occurrence, rows[0], "R1") == {"status": "Accepted"}
    ledger = restartable.ledger(occurrence)

    restartable.restart()

    assert restartable.listed(occurrence) == listed
    assert restartable.ledger(occurrence) == ledger
    again = {
        k: restartable.credit(occurrence, r, k)
        for r in rows
        if (k := keys[r["assignmentId"]])
    }
    assert again == credited
    assert restartable.redeem(occurrence, rows[0], "R1") == {"status": "Duplicate"}
    assert restartable.ledger(occurrence)["platform"]["credits"] == len(rows)


def test_manual_changes_of_rows_survive_a_restart(
    restartable: RestartableSandbox,
) -> None:
    occurrence, rows = execute(restartable)
    first, second, third = (str(row["assignmentId"]) for row in rows[:3])
    restartable.control(
        "change", occurrence=occurrence, assignment=first, status="Cancelled"
    )
    restartable.control(
        "change",
        occurrence=occurrence,
        assignment=second,
        reward={**REWARD, "value": "5"},
    )
    restartable.control("unlist", occurrence=occurrence, assignment=third)
    restartable.control(
        "assign", occurrence=occurrence, rows=[{"customerId": "BY HAND"}]
    )
    listed = restartable.listed(occurrence)

    restartable.restart()

    assert restartable.listed(occurrence) == listed
    assert {"customerId": "BY HAND"} in listed
    restartable.control("cancel", occurrence=occurrence, relist=True, announce=False)
    restartable.restart()
    assert {row.get("status") for row in restartable.listed(occurrence)} >= {
        "Cancelled"
    }
    assert not [
        r for r in restartable.listed(occurrence) if r.get("status") == "Assigned"
    ]


def test_a_listener_receives_webhooks_after_a_restart(
    restartable: RestartableSandbox,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        restartable.control("listeners", event=13, url=url)
        restartable.control("listeners", event=4, url=url)
        restartable.restart()

        restartable.control("execute", customers=1)

        listening.settimeout(5)
        caller, _ = listening.accept()
        caller.settimeout(5)
        with caller:
            assert caller.recv(100).startswith(b"POST / HTTP")


def test_a_triggered_campaign_gets_new_customers_after_a_restart(
    restartable: RestartableSandbox,
) -> None:
    done = restartable.control("trigger", customers=3, announce=False)
    occurrence = str(done["occurrence"])
    restartable.restart()

    restartable.control("trigger", customers=3, occurrence=occurrence, announce=False)

    rows = restartable.listed(occurrence)
    assert len({row["assignmentId"] for row in rows}) == len(rows) == 6
    assert len({row["customerId"] for row in rows}) == 6


def test_a_torn_line_of_the_journal_is_dropped(restartable: RestartableSandbox) -> None:
    occurrence, rows = execute(restartable)
    restartable.credit(occurrence, rows[0], "k1")
    restartable.kill()
    journal = restartable.folder / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'["credited",{"reference":"R0000')

    restartable.start()

    assert restartable.ledger(occurrence)["platform"]["credits"] == 1
    restartable.credit(occurrence, rows[1], "k2")
    restartable.restart()
    assert restartable.ledger(occurrence)["platform"]["credits"] == 2


def test_a_kill_under_load_loses_no_acknowledged_credit(
    restartable: RestartableSandbox,
) -> None:
    occurrence, rows = execute(restartable, customers=600)
    answered: list[str] = []

    def credit(row: dict[str, Any]) -> None:
        key = f"key-{row['assignmentId']}"
        with suppress(requests.RequestException):
            restartable.credit(occurrence, row, key)
            answered.append(key)

    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(credit, row) for row in rows]
        while len(answered) < 60 and not all(one.done() for one in work):
            time.sleep(0.01)
        restartable.kill()
        assert len(answered) < len(rows)
    assert all(one.exception() is None for one in work)

    restartable.start()

    known = {key for key in answered if looked_up(restartable, key)}
    assert known == set(answered)
    assert restartable.ledger(occurrence)["platform"]["most_per_assignment"] == 1


def looked_up(restartable: RestartableSandbox, key: str) -> bool:
    answer = requests.get(
        f"{restartable.url}/platform/rewards/{key}",
        headers={"Authorization": "Bearer t"},
        timeout=10,
    )
    return answer.ok


def test_a_reset_clears_the_journal_too(restartable: RestartableSandbox) -> None:
    occurrence, _ = execute(restartable)
    restartable.control("reset")

    restartable.restart()

    assert restartable.listed(occurrence) == []


def test_a_reset_discards_rows_that_are_not_listed_yet(
    restartable: RestartableSandbox,
) -> None:
    done = restartable.control("trigger", customers=2, listed_after=0.5, announce=False)
    restartable.control("reset")
    time.sleep(1)

    restartable.restart()

    assert restartable.listed(str(done["occurrence"])) == []


def test_an_execution_without_rows_survives_a_restart(
    restartable: RestartableSandbox,
) -> None:
    done = restartable.control("trigger", customers=2, listed_after=60, announce=False)

    restartable.restart()

    assert restartable.ledger(str(done["occurrence"]))["vendor"]["occurrences"] == 1


def test_added_and_deleted_promotions_survive_a_restart(
    restartable: RestartableSandbox,
) -> None:
    def call(method: str, what: str, body: object = None) -> Any:
        url = f"{restartable.url}/optimove/Integrations/{what}"
        return requests.request(
            method, url, data=json.dumps(body), headers=KEY, timeout=10
        )

    codes = [{"PromoCode": c, "PromotionName": f"The {c}"} for c in ("A1", "B2")]
    call("POST", "AddPromotions", codes)
    call("POST", "DeletePromotions", codes[:1])
    before = call("GET", "GetPromotions").json()

    restartable.restart()

    assert call("GET", "GetPromotions").json() == before
    assert [one["PromoCode"] for one in before] == ["B2"]


def test_two_sandboxes_cannot_share_a_folder(restartable: RestartableSandbox) -> None:
    with started("--keep", str(restartable.folder)) as second:
        assert second.wait(20) != 0


def test_a_scenario_cannot_be_kept(tmp_path: Path) -> None:
    with started("--scenario", "welcome_back", "--keep", str(tmp_path)) as process:
        assert process.wait(20) != 0
