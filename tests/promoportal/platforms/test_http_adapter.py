"""The adapter for platforms with the portal's HTTP contract."""

from __future__ import annotations

import json
from contextlib import closing
from uuid import UUID

import pytest

from promoportal import wire
from promoportal.platforms import Capability, HttpPlatform, Order, Receipt, Reward
from tests.promoportal.wire import raw_server

KEY = UUID("6f1a1c0e-7d7e-5b58-9a5e-0a4a3c3b2a19")
BOTH = Capability(idempotent=True, askable=True)
NEITHER = Capability(idempotent=False, askable=False)
ORDER = Order(
    customer="C234638",
    promotion="promo-17",
    occurrence="7311",
    reward=Reward("Amount", "BonusCash", "10.00", currency="EUR", tier="Gold"),
    promotion_code="WB23",
    properties={"expiryDays": 7},
)


def connect(address: str, capability: Capability = BOTH) -> closing[HttpPlatform]:
    return closing(HttpPlatform(address, token="till-token", capability=capability))


def test_a_reward_is_sent_with_its_key() -> None:
    response = raw_server.answer(b'{"reference":"R-1"}', status=201)
    with (
        raw_server.serving(raw_server.saying(response)) as server,
        connect(server.address) as platform,
    ):
        receipt = platform.activate(ORDER, key=KEY)

        assert receipt == Receipt("R-1")
        assert receipt.evidence.status == 201
        line, *headers = server.heads[0].split("\r\n")
        assert line == "POST /rewards HTTP/1.1"
        assert f"Idempotency-Key: {KEY}" in headers
        assert "Authorization: Bearer till-token" in headers
        assert "Content-Type: application/json" in headers
        assert json.loads(server.bodies[0]) == {
            "customerId": "C234638",
            "reward": {
                "category": "Amount",
                "type": "BonusCash",
                "value": "10.00",
                "currency": "EUR",
                "unit": None,
                "tier": "Gold",
            },
            "uniqueCode": None,
            "promotionId": "promo-17",
            "promotionCode": "WB23",
            "occurrenceId": "7311",
            "properties": {"expiryDays": 7},
        }


def test_an_order_may_have_a_code_without_a_reward() -> None:
    order = Order("C1", "promo-17", "7311", unique_code="AB12")
    response = raw_server.answer(b'{"reference":71}')
    with (
        raw_server.serving(raw_server.saying(response)) as server,
        connect(server.address) as platform,
    ):
        assert platform.activate(order, key=KEY) == Receipt("71")

        sent = json.loads(server.bodies[0])
        assert (sent["reward"], sent["uniqueCode"]) == (None, "AB12")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(200, b"", id="nothing"),
        pytest.param(200, b'"OK"', id="a word"),
        pytest.param(200, b"[]", id="a list"),
        pytest.param(200, b"{}", id="no reference"),
        pytest.param(200, b'{"reference":null}', id="null"),
        pytest.param(200, b'{"reference":" "}', id="blank"),
        pytest.param(200, b'{"reference":true}', id="true"),
        pytest.param(200, b'{"reference":1.5}', id="a fraction"),
        pytest.param(200, b'{"reference":{"id":1}}', id="an object"),
        pytest.param(200, b'{"reference":"%s"}' % (b"x" * 201), id="too long"),
        pytest.param(202, b'{"reference":"R-1"}', id="a promise"),
    ],
)
def test_a_response_without_a_usable_reference_is_malformed(
    status: int, body: bytes
) -> None:
    response = raw_server.answer(body, status=status)
    with (
        raw_server.serving(raw_server.saying(response)) as server,
        connect(server.address) as platform,
    ):
        with pytest.raises(wire.Malformed):
            platform.activate(ORDER, key=KEY)
        with pytest.raises(wire.Malformed):
            platform.look_up(KEY)


def test_a_reference_can_be_stored_in_the_database() -> None:
    response = raw_server.answer(b'{"reference":"R\\u0000\\ud800"}')
    with (
        raw_server.serving(raw_server.saying(response)) as server,
        connect(server.address) as platform,
    ):
        assert platform.activate(ORDER, key=KEY) == Receipt("R\ufffd\ufffd")


def test_a_key_can_be_looked_up() -> None:
    response = raw_server.answer(b'{"reference":"R-1"}')
    with (
        raw_server.serving(raw_server.saying(response)) as server,
        connect(server.address) as platform,
    ):
        assert platform.look_up(KEY) == Receipt("R-1")

        assert server.heads[0].startswith(f"GET /rewards/{KEY} HTTP/1.1\r\n")


def test_a_key_may_be_unknown() -> None:
    response = raw_server.answer(b"", status=404)
    with (
        raw_server.serving(raw_server.saying(response)) as server,
        connect(server.address) as platform,
    ):
        assert platform.look_up(KEY) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, wire.Rejected),
        (410, wire.Rejected),
        (401, wire.Misconfigured),
        (409, wire.Unavailable),
        (500, wire.Unavailable),
    ],
)
def test_only_not_found_means_not_found(
    status: int, kind: type[wire.WireError]
) -> None:
    response = raw_server.answer(status=status)
    with (
        raw_server.serving(raw_server.saying(response)) as server,
        connect(server.address) as platform,
        pytest.raises(kind),
    ):
        platform.look_up(KEY)


@pytest.mark.parametrize(
    ("capability", "kind"),
    [
        pytest.param(BOTH, wire.Unavailable, id="both"),
        pytest.param(Capability(True, False), wire.Unavailable, id="idempotent"),
        pytest.param(Capability(False, True), wire.Unanswered, id="askable"),
        pytest.param(NEITHER, wire.Unanswered, id="neither"),
    ],
)
def test_a_503_is_unanswered_if_the_platform_is_not_idempotent(
    capability: Capability, kind: type[wire.WireError]
) -> None:
    response = raw_server.answer(status=503)
    with (
        raw_server.serving(raw_server.saying(response)) as server,
        connect(server.address, capability) as platform,
        pytest.raises(wire.WireError) as caught,
    ):
        platform.activate(ORDER, key=KEY)

    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "order", [ORDER, Order("C1", "p", "7", unique_code="AB12")], ids=["reward", "code"]
)
def test_an_order_survives_being_stored(order: Order) -> None:
    stored = json.loads(json.dumps(order.as_json()))

    assert Order.from_json(stored) == order
