from __future__ import annotations

from typing import Any

import pytest
import requests

from promoportal import sandbox
from tests.sandbox.callers import Operator, order_of, redemption_of
from tests.sandbox.conftest import RecordingListener


def test_a_campaign_can_be_executed_through_control(
    box: sandbox.SandboxHandle, operator: Operator, listener: RecordingListener
) -> None:
    box.register(13, listener.url)

    answer = operator.control("POST", "execute", json={"customers": 10, "eligible": 1})

    done = answer.json()
    assert (done["listed"], done["statuses"]) == (10, {"Assigned": 10})
    assert len(box.wait_for_notices(1)) == 1
    assert len(operator.listed(done["occurrence"])) == 10


def test_a_trigger_can_be_sent_through_control(operator: Operator) -> None:
    order = {"customers": ["C7"], "promotions": ["promo-18"]}

    done = operator.control("POST", "trigger", json=order).json()

    (row,) = operator.listed(done["occurrence"])
    assert (row["customerId"], row["promotionId"]) == ("C7", "promo-18")


def test_rows_can_be_listed_changed_and_removed_through_control(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    row = {"assignmentId": "a1", "customerId": "C1", "status": "Assigned", "v": 1.5}
    order = {"occurrence": 7311, "rows": [row, "odd"]}

    operator.control("POST", "assign", json=order)
    listed = operator.listed("7311")
    change = {"occurrence": 7311, "assignment": "a1", "status": "Failed"}
    operator.control("POST", "change", json=change)
    changed = operator.listed("7311")
    operator.control("POST", "unlist", json={"occurrence": 7311, "assignment": "a1"})

    assert listed == [row, "odd"]
    assert changed == [row | {"status": "Failed"}, "odd"]
    assert operator.listed("7311") == ["odd"]


def test_an_occurrence_can_be_cancelled_and_announced_through_control(
    box: sandbox.SandboxHandle, operator: Operator, listener: RecordingListener
) -> None:
    box.register(4, listener.url)
    occurrence = box.execute()

    done = operator.control("POST", "cancel", json={"occurrence": occurrence})
    operator.control("POST", "announce", json={"occurrence": occurrence, "event": 4})

    assert done.json()["cancelled"] is True
    assert len(box.wait_for_notices(2)) == 2


def test_faults_can_be_ordered_listed_and_cleared(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    fault = {"kind": "slow", "side": "platform", "times": 3, "seconds": 0.5}

    ordered = operator.control("POST", "faults", json=fault).json()
    cleared = operator.control("DELETE", "faults").json()

    assert [one | fault for one in ordered] == ordered
    assert cleared == box.faults == []


def test_the_capability_of_the_platform_can_be_changed(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    operator.control("POST", "platform", json={"capability": "neither"})

    state = operator.control("GET", "").json()

    assert state["platform"]["capability"] == "neither"


def test_the_state_shows_the_limit_and_hides_the_secret(
    box: sandbox.SandboxHandle, operator: Operator, listener: RecordingListener
) -> None:
    box.register(13, listener.url)
    for _ in range(51):
        operator.ask("General/GetRegisteredEventListeners")

    state = operator.control("GET", "").json()

    assert state["rate"] | {"refused": 1, "most_in_any_window": 51} == state["rate"]
    assert [one["event"] for one in state["listeners"]] == [13]
    assert "secret" not in str(state)


def settle(operator: Operator, occurrence: str, row: dict[str, Any]) -> None:
    operator.reward(order_of(row, occurrence))
    operator.redeem(redemption_of(row, occurrence))


def test_the_ledger_agrees_if_all_rewards_are_credited_and_reported(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=10, eligible=1)
    for row in operator.listed(occurrence):
        settle(operator, occurrence, row)

    ledger = operator.control("GET", f"ledger?occurrence={occurrence}").json()

    assert ledger["agreement"].pop("examples") == {}
    assert ledger["agreement"].pop("assigned") == 10
    assert set(ledger["agreement"].values()) == {0}
    assert ledger["vendor"]["accepted"] == ledger["platform"]["credits"] == 10
    assert ledger["platform"]["most_per_assignment"] == 1


def test_the_ledger_names_each_difference(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    for customer in ("missing", "doubled", "different", "unreported", "premature"):
        box.assign("7311", customer)
    box.assign("7311", "uncalled", status="NotEligible")
    missing, doubled, different, unreported, premature, uncalled = operator.listed(
        "7311"
    )
    reward = doubled["reward"]

    settle(operator, "7311", doubled)
    operator.reward(order_of(doubled, "7311"))
    settle(operator, "7311", different | {"reward": reward | {"value": "99.00"}})
    operator.reward(order_of(unreported, "7311"))
    operator.redeem(redemption_of(premature, "7311"))
    operator.reward(order_of(uncalled, "7311", reward=reward))
    operator.reward(order_of(uncalled, "7311", reward=reward, customerId="stranger"))

    agreement = box.books("7311").agreement
    assert agreement is not None
    assert agreement.examples == {
        "missing": [missing["customerId"], "premature"],
        "doubled": ["doubled"],
        "different": ["different"],
        "unreported": ["unreported"],
        "premature": ["premature"],
        "uncalled_for": ["uncalled", "stranger"],
    }


def test_the_rewards_of_one_customer_can_be_read(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=10, eligible=1)
    settle(operator, occurrence, operator.listed(occurrence)[3])

    path = f"rewards?occurrence={occurrence}&customer=C000004"
    found = operator.control("GET", path).json()

    assert found["total"] == 1
    assert found["rewards"][0]["credits"] == 1
    assert found["rewards"][0]["redemption"]


def test_the_last_calls_and_webhooks_can_be_read(
    box: sandbox.SandboxHandle, operator: Operator, listener: RecordingListener
) -> None:
    box.register(13, listener.url)
    operator.assignments("7311")
    operator.look_up("k1")
    box.execute()
    box.wait_for_notices(1)

    (call,) = operator.control("GET", "calls?last=1").json()
    (notice,) = operator.control("GET", "notices").json()

    assert (call["path"], call["status"]) == ("rewards/k1", 404)
    assert notice["status"] == 200


def test_the_sandbox_can_be_reset(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.execute()

    operator.control("POST", "reset", json={})

    assert operator.control("GET", "").json()["occurrences"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("execute", {"customers": -1}),
        ("execute", {"customers": 10**9}),
        ("execute", {"eligible": 2}),
        ("execute", {"promotions": ["promo-404"]}),
        ("execute", {"promotions": 7}),
        ("execute", {"statuses": {}}),
        ("execute", {"statuses": ["Failed"]}),
        ("execute", {"channels": "505"}),
        ("execute", {"ids": "runes"}),
        ("execute", {"eligible": "all"}),
        ("execute", {"luck": 1}),
        ("execute", []),
        ("trigger", {"customers": [None]}),
        ("trigger", {"casing": "snake"}),
        ("trigger", {"listed_after": -1}),
        ("cancel", {}),
        ("cancel", {"occurrence": "404"}),
        ("cancel", {"occurrence": "404", "why": "because"}),
        ("announce", {"occurrence": "404"}),
        ("assign", {"occurrence": "7311"}),
        ("change", {"occurrence": "7311"}),
        ("faults", {"kind": "meteor"}),
        ("faults", {}),
        ("platform", {"capability": "psychic"}),
    ],
)
def test_an_invalid_order_gets_a_sentence(
    operator: Operator, path: str, body: object
) -> None:
    answer = operator.control("POST", path, json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]
    assert "__init__" not in answer.text


def test_an_unknown_control_path_is_not_found(operator: Operator) -> None:
    assert operator.control("GET", "weather").status_code == 404
    assert operator.control("GET", "execute").status_code == 405


def test_a_page_in_a_browser_cannot_order_anything(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    plain = operator.control("POST", "reset", data="{}")
    renamed = operator.control("GET", "", headers={"Host": "evil.example:8100"})

    assert (plain.status_code, renamed.status_code) == (403, 403)


def test_control_needs_a_token_if_other_machines_can_connect() -> None:
    with sandbox.serving(host="0.0.0.0") as public:  # noqa: S104 - that is the point
        here = public.control_url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104

        assert requests.get(f"{here}/", timeout=5).status_code == 403


def test_the_control_token_gives_access() -> None:
    options = sandbox.Options(control_token="t0ken")
    with sandbox.serving(options) as guarded:
        url = f"{guarded.control_url}/"
        right = {"Authorization": "Bearer t0ken"}

        assert requests.get(url, timeout=5).status_code == 403
        assert requests.get(url, headers=right, timeout=5).status_code == 200


def test_the_page_links_to_control(box: sandbox.SandboxHandle) -> None:
    assert "/control/" in requests.get(f"{box.url}/", timeout=5).text
    assert requests.get(f"{box.url}/elsewhere", timeout=5).status_code == 404


@pytest.mark.parametrize(
    ("order", "body", "sentence"),
    [
        ("faults", {"kind": 5}, "kind must be a string."),
        ("faults", {"kind": "slow", "times": True}, "times must be a whole number."),
        ("faults", {"kind": "slow", "route": 1.5}, "route must be a string."),
        (
            "faults",
            {"kind": "slow", "seconds": 1e30},
            "seconds must be from 0 to 86,400.",
        ),
        ("faults", {"kind": "slow", "status": 99}, "status must be from 200 to 599."),
        ("faults", {"kind": "altered", "changes": []}, "changes must be an object."),
        ("listeners", {"event": "13", "url": "x"}, "event must be a whole number."),
        (
            "execute",
            {"channels": ["a"]},
            "channels must be a list in which each value is a whole number.",
        ),
        (
            "execute",
            {"promotions": [7]},
            "promotions must be a list in which each value is a string.",
        ),
        ("trigger", {"casing": "odd"}, "casing must be alternate or"),
        (
            "trigger",
            {"customers": 1.5},
            "customers must be a whole number or a list in which each value is",
        ),
        ("trigger", {"listed_after": 1e9}, "listed_after must be from 0 to 86,400"),
        ("cancel", {"occurrence": 7, "relist": 1}, "relist must be true or false."),
        ("change", {"occurrence": 7, "assignment": 1}, "assignment must be a string."),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_a_sentence(
    box: sandbox.SandboxHandle,
    operator: Operator,
    order: str,
    body: object,
    sentence: str,
) -> None:
    box.open(7)

    answer = operator.control("POST", order, json=body)

    assert answer.status_code == 400
    assert sentence in answer.json()["error"]
    assert not box.faults
