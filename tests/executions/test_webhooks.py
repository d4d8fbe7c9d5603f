"""What is posted to a listener: known, kept as it came, and answered."""

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


# --- Strangers --------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    ["never-opened", "%00", "%ed%a0%80", "%F0%9F%8E%81", "a" * 2000, "..", "%2e%2e"],
)
def test_an_unknown_secret_finds_nothing_and_leaves_nothing(
    db: None, secret: str
) -> None:
    listeners.open_listener(EventType.SCHEDULED)

    answer = post(f"/webhooks/optimove/{secret}/")

    assert answer.status_code == 404
    assert nothing_is_stored()


def test_a_closed_listener_is_an_unknown_one(db: None) -> None:
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
def test_a_listener_that_asks_for_a_header_needs_it_right(
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
def test_a_listener_that_asks_for_a_network_is_called_from_there_alone(
    db: None, address: str, status: int
) -> None:
    opened = listeners.open_listener(
        EventType.SCHEDULED, networks=["192.0.2.0/24", "2001:db8::1"]
    )

    answer = post(opened.path, REMOTE_ADDR=address)

    assert answer.status_code == status
    assert nothing_is_stored() is (status == 404)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_a_listener_takes_posts_alone(db: None, method: str) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    answer = Client().generic(method, opened.path, GOOD)

    assert answer.status_code == 405
    assert nothing_is_stored()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_a_stranger_does_not_learn_that_by_trying_methods(
    db: None, method: str
) -> None:
    answer = Client().generic(method, "/webhooks/optimove/guessed/", GOOD)

    assert answer.status_code == 404


# --- What is kept -----------------------------------------------------------------


@pytest.mark.parametrize("slash", ["/", ""])
def test_a_good_notice_is_kept_as_it_came_with_how_its_sender_was_known(
    db: None, slash: str
) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    answer = post(opened.path.rstrip("/") + slash, REMOTE_ADDR="192.0.2.7")

    [kept] = Delivery.objects.all()
    assert (answer.status_code, json.loads(answer.content)["status"]) == (200, "kept")
    assert (bytes(kept.body), kept.content_type) == (GOOD, "application/json")
    assert kept.verdict["from"] == "192.0.2.7"
    assert kept.state == DeliveryState.UNREAD
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
def test_whatever_is_said_is_kept_and_ends_in_a_sentence(
    world: World, body: bytes
) -> None:
    kept = world.post(body)

    world.run_only("read_deliveries")
    good = world.post(GOOD)
    world.run_only("read_deliveries")

    kept.refresh_from_db()
    good.refresh_from_db()
    assert bytes(kept.body) == body
    assert kept.state in ENDED
    assert kept.reason
    assert kept.problem.endswith(".")
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
def test_what_can_be_understood_is_understood(world: World, body: bytes) -> None:
    kept = world.post(body)

    world.run_only("read_deliveries")

    kept.refresh_from_db()
    assert kept.state == DeliveryState.READ
    assert kept.execution is not None
    assert kept.execution.reference == "7311"


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
def test_what_the_sender_calls_it_does_not_matter(
    world: World, content_type: str
) -> None:
    answer = post(world.path(), content_type=content_type)
    world.run_only("read_deliveries")

    [kept] = Delivery.objects.all()
    assert answer.status_code == 200
    assert (bytes(kept.body), kept.state) == (GOOD, DeliveryState.READ)


@pytest.mark.parametrize("accepted", ["text/html", "application/xml", "", "*/*;q=0"])
def test_what_the_sender_accepts_does_not_matter(db: None, accepted: str) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    answer = post(f"{opened.path}?format=xml", headers={"Accept": accepted})

    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"


def test_a_mebibyte_is_kept_and_a_byte_more_is_too_large(db: None) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    statuses = [
        post(opened.path, b" " * size).status_code for size in (LARGEST, LARGEST + 1)
    ]

    assert statuses == [200, 413]
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize("event_type", EventType.values)
def test_every_listener_takes_anything(world: World, event_type: int) -> None:
    kept = world.post(b'{"anything":[1]}', event_type)

    world.run_only("read_deliveries")

    kept.refresh_from_db()
    assert kept.state in ENDED
    assert kept.problem.endswith(".")


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
@given(body=st.binary() | (JSON | OBJECTS).map(lambda said: json.dumps(said).encode()))
def test_no_body_at_all_is_lost_or_stuck(world: World, body: bytes) -> None:
    kept = world.post(body)

    world.run_only("read_deliveries")

    kept.refresh_from_db()
    assert bytes(kept.body) == body
    assert kept.problem if kept.state in ENDED else kept.execution
    assert kept.state != DeliveryState.UNREAD


# --- Both or neither --------------------------------------------------------------


def test_the_delivery_and_its_job_are_gone_together(db: None) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    with suppress(_Crash), transaction.atomic():
        assert post(opened.path).status_code == 200
        raise _Crash

    assert nothing_is_stored()


def test_what_cannot_be_queued_is_not_kept_and_not_answered_for(db: None) -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    with _queue_that_fails(), pytest.raises(_Crash):
        post(opened.path)

    assert nothing_is_stored()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_while_keeping_is_told_to_the_sender() -> None:
    opened = listeners.open_listener(EventType.SCHEDULED)

    with _database_that_goes_away():
        answer = post(opened.path)

    assert answer.status_code == 503
    assert nothing_is_stored()
    assert post(opened.path).status_code == 200


def test_the_secret_is_nowhere_in_the_database(db: None) -> None:
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
