"""The External API over a real socket, with its documented peculiarities."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from promoportal import optimove, wire
from promoportal.optimove import ExecutedCampaign, External, RegisteredListener
from tests.promoportal.wire import raw_server as raw

CONTRACT = optimove.load(Path(optimove.__file__).with_name("contract.toml"))
EMPTY = raw.saying(raw.answer(b""))


def connect(address: str) -> External:
    return External(address, key="the-key", contract=CONTRACT, seconds=5.0)


def json_answer(data: object) -> raw.Speech:
    return raw.saying(raw.answer(json.dumps(data).encode()))


@pytest.mark.parametrize(
    ("channel", "sent"),
    [
        pytest.param(505, {"EventTypeID": 13, "ChannelID": 505}, id="one channel"),
        pytest.param(None, {"EventTypeID": 13}, id="all channels"),
    ],
)
def test_a_listener_is_registered_and_unregistered(
    channel: int | None, sent: dict[str, object]
) -> None:
    with raw.serving(EMPTY) as api, connect(api.address + "/optimove") as client:
        client.register_listener(13, channel, "https://operator.example/x/")
        client.unregister_listener(13, channel)

        lines = [head.split(" HTTP")[0] for head in api.heads]
        assert lines == [
            "POST /optimove/General/RegisterEventListener",
            "POST /optimove/General/UnregisterEventListener",
        ]
        for head in api.heads:
            assert "\r\nContent-Type: application/json\r\n" in f"{head}\r\n"
            assert "\r\nX-API-KEY: the-key\r\n" in f"{head}\r\n"
        url = {"ListenerURL": "https://operator.example/x/"}
        assert [json.loads(body) for body in api.bodies] == [sent | url, sent]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b'"Unauthorized"', wire.Misconfigured, id="a JSON word"),
        pytest.param(b"Unauthorized", wire.Misconfigured, id="plain text"),
        pytest.param(b'"Bad Request"', wire.Rejected, id="another word"),
        pytest.param(b"Bad Request\r\n", wire.Rejected, id="another, plain"),
        pytest.param(b'"Something else"', wire.Malformed, id="an unknown word"),
        pytest.param(b"<html></html>", wire.Malformed, id="a page"),
        pytest.param(b"[]", wire.Malformed, id="a list"),
        pytest.param(b"true", wire.Malformed, id="true"),
    ],
)
def test_an_error_sentence_with_a_200_is_an_error(
    body: bytes, kind: type[wire.WireError]
) -> None:
    speech = raw.saying(raw.answer(body))
    with raw.serving(speech) as api, connect(api.address) as client:
        with pytest.raises(kind) as caught:
            client.register_listener(13, None, "https://operator.example/x/")
        assert type(caught.value) is kind
        assert caught.value.status == 200
        if body == b"[]":
            assert client.registered_listeners() == ()
            return
        with pytest.raises(kind):
            client.registered_listeners()
        with pytest.raises(kind):
            client.executed_campaigns(date(2026, 1, 15))


def test_registered_listeners_are_read_in_any_case() -> None:
    data = [
        {"EventTypeID": 13, "ChannelID": 505, "ListenerURL": "https://a.example/"},
        {"eventTypeId": "11", "ChannelId": "506", "listenerUrl": "https://b.example/"},
        {"EventTypeID": 4, "ListenerURL": "https://c.example/\x00"},
    ]
    with raw.serving(json_answer(data)) as api, connect(api.address) as client:
        assert client.registered_listeners() == (
            RegisteredListener("13", "505", "https://a.example/"),
            RegisteredListener("11", "506", "https://b.example/"),
            RegisteredListener("4", None, "https://c.example/\ufffd"),
        )
        assert api.heads[0].startswith("GET /General/GetRegisteredEventListeners HTTP")
        assert "Content-Type" not in api.heads[0]


def test_the_campaigns_of_a_day_are_requested() -> None:
    data = [
        {"CampaignID": 221, "TargetGroupID": 15, "Status": "Successful", "Error": ""},
        {"CampaignID": "222"},
    ]
    with raw.serving(json_answer(data)) as api, connect(api.address) as client:
        assert client.executed_campaigns(date(2026, 1, 15)) == (
            ExecutedCampaign("221", "Successful"),
            ExecutedCampaign("222", None),
        )
        line = api.heads[0].split(" HTTP")[0]
        assert line == "GET /Actions/GetExecutedCampaignDetails?Date=2026-01-15"


def test_an_empty_answer_is_an_empty_list() -> None:
    with raw.serving(EMPTY) as api, connect(api.address) as client:
        assert client.registered_listeners() == ()
        assert client.executed_campaigns(date(2026, 1, 15)) == ()


@pytest.mark.parametrize(
    "said", [{}, 7, [None], ["x"], [{}], [{"CampaignID": True, "EventTypeID": 1.5}]]
)
def test_a_list_that_breaks_the_contract_is_malformed(said: object) -> None:
    with raw.serving(json_answer(said)) as api, connect(api.address) as client:
        with pytest.raises(wire.Malformed):
            client.executed_campaigns(date(2026, 1, 15))
        with pytest.raises(wire.Malformed):
            client.registered_listeners()


def test_a_client_is_made_from_settings() -> None:
    External.from_settings().close()
