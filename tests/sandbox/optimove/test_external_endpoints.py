from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
import requests

from promoportal import sandbox
from tests.sandbox.callers import Operator

URL = "https://operator.example/hooks/s3cret/"
LISTENER = {"EventTypeID": 13, "ChannelID": 505, "ListenerURL": URL}


@pytest.mark.parametrize(
    "path",
    [
        "General/RegisterEventListener",
        "current/general/RegisterEventListener",
        "CURRENT/GENERAL/registereventlistener",
    ],
)
def test_a_listener_is_registered_by_either_path_in_any_case(
    box: sandbox.SandboxHandle, operator: Operator, path: str
) -> None:
    answer = operator.post(path, LISTENER)

    assert (answer.status_code, answer.content) == (200, b"")
    assert box.listeners == [sandbox.Listener(13, 505, URL)]


@pytest.mark.parametrize(
    "given", [URL, quote(URL, safe=""), f"{URL}?a=b%20c", quote(f"{URL}?q=1", safe="")]
)
def test_an_address_may_be_percent_encoded(
    box: sandbox.SandboxHandle, operator: Operator, given: str
) -> None:
    operator.post("General/RegisterEventListener", LISTENER | {"ListenerURL": given})

    assert box.listeners[0].url in {URL, f"{URL}?a=b%20c", f"{URL}?q=1"}


def test_a_second_registration_replaces_the_first(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    register = "General/RegisterEventListener"
    operator.post(register, LISTENER)
    operator.post(register, LISTENER | {"ListenerURL": "https://other.example/"})
    operator.post(register, LISTENER | {"ChannelID": "504"})

    assert [(one.channel, one.url) for one in box.listeners] == [
        (505, "https://other.example/"),
        (504, URL),
    ]


def test_listeners_are_shown_as_they_were_registered(operator: Operator) -> None:
    everywhere = {"EventTypeID": 11, "ListenerURL": URL}
    operator.post("General/RegisterEventListener", LISTENER)
    operator.post("General/RegisterEventListener", everywhere)

    shown = operator.ask("General/GetRegisteredEventListeners").json()

    assert shown == [LISTENER, everywhere]


def test_unregistering_removes_one_channel_or_all(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    for channel in (504, 505, None):
        box.register(13, URL, channel=channel)
    box.register(11, URL)

    operator.post(
        "General/UnregisterEventListener", {"EventTypeID": 13, "ChannelID": 505}
    )
    narrowed = [(one.event, one.channel) for one in box.listeners]
    operator.post("General/UnregisterEventListener", {"EventTypeID": 13})

    assert narrowed == [(13, 504), (13, None), (11, None)]
    assert [one.event for one in box.listeners] == [11]


@pytest.mark.parametrize(
    "changes",
    [
        {"EventTypeID": 99},
        {"EventTypeID": None},
        {"EventTypeID": True},
        {"EventTypeID": 5},
        {"ChannelID": "x"},
        {"ListenerURL": None},
        {"ListenerURL": "ftp://operator.example/"},
        {"ListenerURL": "https://[oops/"},
        {"ListenerURL": "nowhere"},
    ],
)
def test_an_invalid_registration_is_a_bad_request(
    box: sandbox.SandboxHandle, operator: Operator, changes: dict[str, object]
) -> None:
    answer = operator.post("General/RegisterEventListener", LISTENER | changes)

    assert (answer.status_code, answer.json()) == (400, "Bad Request")
    assert not box.listeners


@pytest.mark.parametrize("key", [b"", b"wrong", b"\xff\xfe"])
@pytest.mark.parametrize(
    "path",
    ["optimove/General/GetRegisteredEventListeners", "promotions/v1/redemptions"],
)
def test_without_the_key_both_apis_answer_unauthorized(
    box: sandbox.SandboxHandle, path: str, key: bytes
) -> None:
    headers = {"X-API-KEY": key}

    answer = requests.get(f"{box.url}/{path}", headers=headers, timeout=5)

    assert (answer.status_code, answer.json()) == (401, "Unauthorized")


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "text/json", "APPLICATION/JSON", ""]
)
def test_the_content_type_must_be_exact(operator: Operator, kind: str) -> None:
    headers = {"Content-Type": kind}

    answer = operator.post("General/RegisterEventListener", LISTENER, headers=headers)

    assert answer.status_code == 415


def test_an_unknown_path_is_not_found(operator: Operator) -> None:
    assert operator.ask("General/Nothing").status_code == 404
    assert operator.ask("General/RegisterEventListener").status_code == 405


def test_a_day_lists_its_executed_campaigns(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    first, second = box.execute(channels=[504, 505]), box.execute()
    day = f"{datetime.now(UTC):%Y-%m-%d}"

    listed = operator.ask(f"Actions/GetExecutedCampaignDetails?Date={day}").json()

    assert [row["CampaignID"] for row in listed] == [int(first), int(second)]
    assert [row["IsMultiChannel"] for row in listed] == ["true", "false"]
    other = operator.ask("Actions/GetExecutedCampaignDetails?Date=2001-01-01")
    assert other.json() == []


def test_a_campaign_has_details(box: sandbox.SandboxHandle, operator: Operator) -> None:
    occurrence = box.execute(series=120)

    details = operator.ask(f"Actions/GetCampaignDetails?CampaignID={occurrence}")

    assert details.json()["CampaignPlanID"] == "120"
    assert operator.ask("Actions/GetCampaignDetails?CampaignID=1").status_code == 400


def test_the_execution_details_are_paged_by_skip_over_rewarded_customers(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=30, eligible=0.5)
    path = "Customers/GetCustomerExecutionDetailsByCampaign"
    query = {"CampaignID": occurrence, "ChannelID": 505, "$top": 4}

    found: list[str] = []
    while page := operator.ask(path, params=query | {"$skip": len(found)}).json():
        found += [row["CustomerID"] for row in page]

    assert found == [
        row["customerId"]  # type: ignore[index]
        for row in box.rows(occurrence)
        if row["status"] == "Assigned"  # type: ignore[index]
    ]
    assert operator.ask(path, params={"CampaignID": occurrence}).status_code == 400


def test_requests_of_the_public_python_client_are_accepted(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    """Send requests as `optimove` 2.0 from PyPI writes them, with an X-API-KEY."""

    def sent(path: str, body: str) -> bool:
        headers = {"Accept": "application/json", "Content-type": "application/json"}
        answer = operator.ask(f"current/{path}", "POST", data=body, headers=headers)
        return answer.ok and answer.content == b""

    quoted = quote_plus("https://operator.example/hooks/s3cret/?a=1&b=2")
    listener = f'{{"EventTypeID": 13, "ListenerURL": "{quoted}"}}'
    add = '[{"PromoCode": "A1", "PromotionName": "One"}, {"PromoCode": "B2", "PromotionName": "Two"}]'
    assert sent("general/RegisterEventListener", listener)
    assert [one.url for one in box.listeners] == [f"{URL}?a=1&b=2"]
    assert sent("general/UnregisterEventListener", '{"EventTypeID": 13}')
    assert not box.listeners
    assert sent("integrations/AddPromotions", add)
    assert sent("integrations/DeletePromotions", '[{"PromoCode": "A1"}]')
    assert operator.ask("current/integrations/GetPromotions").json() == [
        {"PromoCode": "B2", "PromotionName": "Two"}
    ]
