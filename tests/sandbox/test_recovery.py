"""What the far sides said they know, they know after any end of their process."""

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


class Desk:
    """A sandbox that can be killed and comes back at the same port."""

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
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "kept")
    yield desk
    desk.kill()


def execute(desk: Desk, customers: int = 20) -> tuple[str, list[dict[str, Any]]]:
    done = desk.control("execute", customers=customers, announce=False)
    occurrence = str(done["occurrence"])
    return occurrence, [r for r in desk.listed(occurrence) if r["status"] == "Assigned"]


def test_what_was_listed_credited_and_redeemed_is_so_after_a_kill(desk: Desk) -> None:
    occurrence, rows = execute(desk)
    listed = desk.listed(occurrence)
    keys = {row["assignmentId"]: str(uuid.uuid4()) for row in rows}
    given = {
        k: desk.credit(occurrence, r, k) for r in rows if (k := keys[r["assignmentId"]])
    }
    assert desk.redeem(occurrence, rows[0], "R1") == {"status": "Accepted"}
    books = desk.ledger(occurrence)

    desk.restart()

    assert desk.listed(occurrence) == listed
    assert desk.ledger(occurrence) == books
    again = {
        k: desk.credit(occurrence, r, k) for r in rows if (k := keys[r["assignmentId"]])
    }
    assert again == given
    assert desk.redeem(occurrence, rows[0], "R1") == {"status": "Duplicate"}
    assert desk.ledger(occurrence)["platform"]["credits"] == len(rows)


def test_what_was_moved_by_hand_stays_moved(desk: Desk) -> None:
    occurrence, rows = execute(desk)
    first, second, third = (str(row["assignmentId"]) for row in rows[:3])
    desk.control("change", occurrence=occurrence, assignment=first, status="Cancelled")
    desk.control(
        "change",
        occurrence=occurrence,
        assignment=second,
        reward={**REWARD, "value": "5"},
    )
    desk.control("unlist", occurrence=occurrence, assignment=third)
    desk.control("assign", occurrence=occurrence, rows=[{"customerId": "BY HAND"}])
    listed = desk.listed(occurrence)

    desk.restart()

    assert desk.listed(occurrence) == listed
    assert {"customerId": "BY HAND"} in listed
    desk.control("cancel", occurrence=occurrence, relist=True, announce=False)
    desk.restart()
    assert {row.get("status") for row in desk.listed(occurrence)} >= {"Cancelled"}
    assert not [r for r in desk.listed(occurrence) if r.get("status") == "Assigned"]


def test_who_listens_is_told_of_what_happens_later(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        desk.control("listeners", event=13, url=url)
        desk.control("listeners", event=4, url=url)
        desk.restart()

        desk.control("execute", customers=1)

        listening.settimeout(5)
        caller, _ = listening.accept()
        caller.settimeout(5)
        with caller:
            assert caller.recv(100).startswith(b"POST / HTTP")


def test_new_customers_of_a_triggered_campaign_come_after_the_old(desk: Desk) -> None:
    done = desk.control("trigger", customers=3, announce=False)
    occurrence = str(done["occurrence"])
    desk.restart()

    desk.control("trigger", customers=3, occurrence=occurrence, announce=False)

    rows = desk.listed(occurrence)
    assert len({row["assignmentId"] for row in rows}) == len(rows) == 6
    assert len({row["customerId"] for row in rows}) == 6


def test_a_line_that_was_cut_off_was_never_said(desk: Desk) -> None:
    occurrence, rows = execute(desk)
    desk.credit(occurrence, rows[0], "k1")
    desk.kill()
    journal = desk.folder / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'["credited",{"reference":"R0000')

    desk.start()

    assert desk.ledger(occurrence)["platform"]["credits"] == 1
    desk.credit(occurrence, rows[1], "k2")
    desk.restart()
    assert desk.ledger(occurrence)["platform"]["credits"] == 2


def test_killed_at_work_it_forgets_no_credit_that_it_answered_for(desk: Desk) -> None:
    occurrence, rows = execute(desk, customers=600)
    answered: list[str] = []

    def credit(row: dict[str, Any]) -> None:
        key = f"key-{row['assignmentId']}"
        with suppress(requests.RequestException):
            desk.credit(occurrence, row, key)
            answered.append(key)

    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(credit, row) for row in rows]
        while len(answered) < 60 and not all(one.done() for one in work):
            time.sleep(0.01)
        desk.kill()
        assert len(answered) < len(rows)
    assert all(one.exception() is None for one in work)

    desk.start()

    known = {key for key in answered if looked_up(desk, key)}
    assert known == set(answered)
    assert desk.ledger(occurrence)["platform"]["most_per_assignment"] == 1


def looked_up(desk: Desk, key: str) -> bool:
    answer = requests.get(
        f"{desk.url}/platform/rewards/{key}",
        headers={"Authorization": "Bearer t"},
        timeout=10,
    )
    return answer.ok


def test_a_reset_forgets_all_for_good(desk: Desk) -> None:
    occurrence, _ = execute(desk)
    desk.control("reset")

    desk.restart()

    assert desk.listed(occurrence) == []


def test_what_was_under_way_at_a_reset_is_forgotten_with_it(desk: Desk) -> None:
    done = desk.control("trigger", customers=2, listed_after=0.5, announce=False)
    desk.control("reset")
    time.sleep(1)

    desk.restart()

    assert desk.listed(str(done["occurrence"])) == []


def test_an_execution_that_lists_nobody_yet_is_known(desk: Desk) -> None:
    done = desk.control("trigger", customers=2, listed_after=60, announce=False)

    desk.restart()

    assert desk.ledger(str(done["occurrence"]))["vendor"]["occurrences"] == 1


def test_promotions_that_were_added_and_deleted_are_so(desk: Desk) -> None:
    def call(method: str, what: str, body: object = None) -> Any:
        url = f"{desk.url}/optimove/Integrations/{what}"
        return requests.request(
            method, url, data=json.dumps(body), headers=KEY, timeout=10
        )

    codes = [{"PromoCode": c, "PromotionName": f"The {c}"} for c in ("A1", "B2")]
    call("POST", "AddPromotions", codes)
    call("POST", "DeletePromotions", codes[:1])
    before = call("GET", "GetPromotions").json()

    desk.restart()

    assert call("GET", "GetPromotions").json() == before
    assert [one["PromoCode"] for one in before] == ["B2"]


def test_two_never_keep_in_one_folder(desk: Desk) -> None:
    with started("--keep", str(desk.folder)) as second:
        assert second.wait(20) != 0


def test_a_scenario_is_not_kept_and_says_so(tmp_path: Path) -> None:
    with started("--scenario", "welcome_back", "--keep", str(tmp_path)) as process:
        assert process.wait(20) != 0
