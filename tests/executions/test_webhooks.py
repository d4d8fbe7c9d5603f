"""A POST to a listener: authenticated, stored as received, and answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django_q.models import OrmQ
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executions import listeners, signals
from executions.models import Delivery, DeliveryState, EventType, Listener
from executions.request_body import LARGEST
from tests.world import World

GOOD = b'{"EventTypeID":13,"TimeStamp":"2022-07-19 08:54","CampaignID":7311,"ChannelID":505}'
ENDED = {DeliveryState.HELD, DeliveryState.IGNORED}
NESTED = b"[" * 100_000 + b"]" * 100_000


def post(path: str, body: bytes = GOOD, **more: Any) -> HttpResponse:
    kind = more.pop("content_type", "application/json")
    answer = Client().generic("POST", path, body, content_type=kind, **more)
    assert isinstance(answer, HttpResponse)
    return answer


def queued() -> list[str]:
    return [job.task["func"] for job in OrmQ.objects.all()]


def nothing_is_stored() -> bool:
    return not Delivery.objects.exists() and not OrmQ.objects.exists()


# --- Unknown senders --------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    ["never-opened", "%00", "%ed%a0%80", "%F0%9F%8E%81", "a" * 2000, "..", "%2e%2e"],
)
def test_a_request_with_an_unknown_secret_gets_404_and_is_not_stored(
    db: None, secret: str
) -> None:
    listeners.open_listener(EventType.SCHEDULED)

    answer = post(f"/webhooks/optimove/{secret}/")

    assert answer.status_code == 404
    assert nothing_is_stored()


def test_a_closed_listener_is_unknown(db: None) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)
    listeners.close(opened.listener)

    assert post(opened.path).status_code == 404
    assert nothing_is_stored()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"X-Portal-Secret": "open sesame"}, 200, id="right"),
        pytest.param({"x-portal-secret": "open sesame"}, 200, id="in lower case"),
        pytest.param({"X-Portal-Secret": "Open Sesame"}, 404, id="another case"),
        pytest.param({"X-Portal-Secret": ""}, 404, id="empty"),
        pytest.param({"X-Portal-Secrets": "open sesame"}, 404, id="another name"),
        pytest.param({}, 404, id="missing"),
    ],
)
def test_a_listener_with_a_header_accepts_the_right_value_only(
    db: None, headers: dict[str, str], status: int
) -> None:
    opened = listeners.open_listener(
        EventType.SCHEDULED, header="X-Portal-Secret: open sesame"
    )

    answer = post(opened.path, headers=headers)

    assert answer.status_code == status
    assert nothing_is_stored() is (status == 404)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        pytest.param("192.0.2.7", 200, id="inside"),
        pytest.param("2001:db8::1", 200, id="the one of IPv6"),
        pytest.param("::ffff:192.0.2.7", 200, id="inside, through a socket for both"),
        pytest.param("192.0.3.7", 404, id="outside"),
        pytest.param("2001:db8::2", 404, id="another of IPv6"),
        pytest.param("", 404, id="not known"),
        pytest.param("unix", 404, id="not an address"),
    ],
)
def test_a_listener_with_networks_accepts_calls_from_there_only(
    db: None, address: str, status: int
) -> None:
    opened = listeners.open_listener(
        EventType.SCHEDULED, networks=["192.0.2.0/24", "2001:db8::1"]
    )

    answer = post(opened.path, REMOTE_ADDR=address)

    assert answer.status_code == status
    assert nothing_is_stored() is (status == 404)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_listener_accepts_post_only(db: None, method: str) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    answer = Client().generic(method, opened.path, GOOD)

    assert answer.status_code == 405
    assert nothing_is_stored()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_an_unknown_secret_gets_404_for_every_method(db: None, method: str) -> None:
    answer = Client().generic(method, "/webhooks/optimove/guessed/", GOOD)

    assert answer.status_code == 404


# --- Stored deliveries ------------------------------------------------------------


@pytest.mark.parametrize("slash", ["/", ""])
def test_a_delivery_is_stored_as_received_with_the_checks_of_its_sender(
    db: None, slash: str
) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    answer = post(opened.path.rstrip("/") + slash, REMOTE_ADDR="192.0.2.7")

    [delivery] = Delivery.objects.all()
    assert (answer.status_code, json.loads(answer.content)["status"]) == (200, "kept")
    assert (bytes(delivery.body), delivery.content_type) == (GOOD, "application/json")
    assert delivery.verdict["from"] == "192.0.2.7"
    assert delivery.state == DeliveryState.UNREAD
    assert OrmQ.objects.count() == 1


BAD = {
    "empty": b"",
    "white space": b" \r\n\t",
    "not JSON": b"It was executed.",
    "half of JSON": GOOD[:-1],
    "two objects": GOOD + GOOD,
    "an array": b"[" + GOOD + b"]",
    "a number": b"7311",
    "null": b"null",
    "a form": b"CampaignID=7311&ChannelID=505",
    "100,000 nested brackets": NESTED,
    "1,000 nested brackets in both casings": (
        b'{"a":' + b"[" * 900 + b"]" * 900 + b',"A":' + b"[" * 900 + b"]" * 900 + b"}"
    ),
    "NUL bytes": b"\0" * 20,
    "NUL bytes in an id": b'{"CampaignID":"73\\u000011"}',
    "a lone surrogate": b'{"CampaignID":"\\ud800"}',
    "a lone surrogate, as bytes": b'{"CampaignID":"\xed\xa0\x80"}',
    "UTF-16": GOOD.decode().encode("utf-16"),
    "an id of 400 digits": b'{"CampaignID":' + b"7" * 400 + b"}",
    "an id of 5,000 digits": b'{"CampaignID":' + b"7" * 5000 + b"}",
    "Infinity": b'{"CampaignID":Infinity}',
    "an endless number": b'{"CampaignID":1e999}',
    "NaN": b'{"CampaignID":7311,"ChannelID":NaN}',
    "a boolean id": b'{"CampaignID":true}',
    "a fraction": b'{"CampaignID":7311.5}',
    "null for an id": b'{"CampaignID":null}',
    "an object for an id": b'{"CampaignID":{"id":7311}}',
    "an empty id": b'{"CampaignID":"  "}',
    "no id": b'{"ChannelID":505}',
    "two casings that differ": b'{"CampaignID":7311,"campaignId":7312}',
    "a name that is not a string": b"{7311:1}",
    "of another listener": b'{"EventTypeID":11,"CampaignID":7311}',
    "of an unknown type": b'{"EventTypeID":99,"CampaignID":7311}',
    "of a boolean type": b'{"EventTypeID":true,"CampaignID":7311}',
    "of a customer": b'{"campaignID":"7311","customerID":"C1"}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_a_bad_body_is_stored_and_ends_with_a_sentence(
    world: World, body: bytes
) -> None:
    delivery = world.post(body)

    world.run_only("read_deliveries")
    good = world.post(GOOD)
    world.run_only("read_deliveries")

    delivery.refresh_from_db()
    good.refresh_from_db()
    assert bytes(delivery.body) == body
    assert delivery.state in ENDED
    assert delivery.reason
    assert delivery.problem.endswith(".")
    assert good.state == DeliveryState.READ
    assert "executions.tasks.read_deliveries" not in queued()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xef\xbb\xbf" + GOOD, id="a byte order mark"),
        pytest.param(b"\r\n " + GOOD + b"\n", id="white space around it"),
        pytest.param(b'{"campaignid":"7311"}', id="lower case and a string"),
        pytest.param(b'{"CAMPAIGNID":7311,"campaignId":7311}', id="twice the same"),
        pytest.param(b'{"CampaignID":7311,"EventTypeID":null}', id="a null type"),
        pytest.param(b'{"CampaignID":7311,"EventTypeID":"13"}', id="a type as text"),
        pytest.param(
            b'{"CampaignID":7311,"TimeStamp":"\\ud800\\u0000"}', id="oddities"
        ),
    ],
)
def test_an_unusual_but_valid_body_is_processed(world: World, body: bytes) -> None:
    delivery = world.post(body)

    world.run_only("read_deliveries")

    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.READ
    assert delivery.execution is not None
    assert delivery.execution.reference == "7311"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json; charset=utf-8",
        "application/json; charset=nonsense",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "text/plain",
        "nonsense \x00 " + "x" * 500,
    ],
)
def test_the_content_type_does_not_matter(world: World, content_type: str) -> None:
    answer = post(world.path(), content_type=content_type)
    world.run_only("read_deliveries")

    [delivery] = Delivery.objects.all()
    assert answer.status_code == 200
    assert (bytes(delivery.body), delivery.state) == (GOOD, DeliveryState.READ)


@pytest.mark.parametrize("accepted", ["text/html", "application/xml", "", "*/*;q=0"])
def test_the_accept_header_does_not_matter(db: None, accepted: str) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    answer = post(f"{opened.path}?format=xml", headers={"Accept": accepted})

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"


def test_a_mebibyte_is_stored_and_a_byte_more_is_too_large(db: None) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    statuses = [
        post(opened.path, b" " * size).status_code for size in (LARGEST, LARGEST + 1)
    ]

    assert statuses == [200, 413]
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize("event_type", EventType.values)
def test_every_listener_accepts_any_body(world: World, event_type: int) -> None:
    delivery = world.post(b'{"anything":[1]}', event_type)

    world.run_only("read_deliveries")

    delivery.refresh_from_db()
    assert delivery.state in ENDED
    assert delivery.problem.endswith(".")


ANYTHING = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["CampaignID", "campaignId", "EventTypeID", "customerID", "x"])
OBJECTS = st.dictionaries(NAMES, JSON)


@ANYTHING
@given(
    body=st.binary() | (JSON | OBJECTS).map(lambda value: json.dumps(value).encode())
)
def test_no_body_is_lost_or_stays_pending(world: World, body: bytes) -> None:
    delivery = world.post(body)

    world.run_only("read_deliveries")

    delivery.refresh_from_db()
    assert bytes(delivery.body) == body
    assert delivery.problem if delivery.state in ENDED else delivery.execution
    assert delivery.state != DeliveryState.UNREAD


# --- One transaction --------------------------------------------------------------


def test_the_delivery_and_its_job_are_rolled_back_together(db: None) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    with suppress(_Crash), transaction.atomic():
        assert post(opened.path).status_code == 200
        raise _Crash

    assert nothing_is_stored()


def test_a_delivery_that_cannot_be_queued_is_not_stored_or_accepted(db: None) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    with _queue_that_fails(), pytest.raises(_Crash):
        post(opened.path)

    assert nothing_is_stored()


@pytest.mark.django_db(transaction=True)
def test_the_sender_gets_503_if_the_database_fails_while_storing() -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    with _database_that_goes_away():
        answer = post(opened.path)

    assert answer.status_code == 503
    assert nothing_is_stored()
    assert post(opened.path).status_code == 200


def test_no_secret_is_in_the_database(db: None) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED, header="X-Secret: sesame")
    post(opened.path, headers={"X-Secret": "sesame"})

    rows = [*Listener.objects.values(), *Delivery.objects.values()]
    payloads = [job.payload for job in OrmQ.objects.all()]

    assert secret_of(opened) not in str((rows, payloads))
    assert "sesame" not in str((rows, payloads))


def secret_of(opened: listeners.Opened) -> str:
    return opened.path.strip("/").rpartition("/")[2]


class _Crash(Exception):
    pass


@contextmanager
def _queue_that_fails() -> Iterator[None]:
    def fail(**_: Any) -> None:
        raise _Crash

    signals.delivered.connect(fail)
    try:
        yield
    finally:
        signals.delivered.disconnect(fail)


@contextmanager
def _database_that_goes_away() -> Iterator[None]:
    def terminate(**_: Any) -> None:
        with transaction.get_connection().cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    signals.delivered.connect(terminate)
    try:
        yield
    finally:
        signals.delivered.disconnect(terminate)
