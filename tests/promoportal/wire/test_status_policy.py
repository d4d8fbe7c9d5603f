"""Every way in which a call can end, and the error for it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from promoportal import wire
from promoportal.runtime.monotonic_clock import clock
from promoportal.wire import deadline_transport
from tests.promoportal.wire import raw_server as raw

SECRETS = {"X-API-KEY": "a/key+nobody=knows"}


def calling(address: str, *, seconds: float = 5.0) -> wire.Client:
    return wire.Client(address, side="vendor", secrets=SECRETS, seconds=seconds)


def ask(client: wire.Client) -> wire.Answer:
    return client.ask("POST", "/questions", body={"q": 1})


def change(client: wire.Client) -> wire.Answer:
    return client.change("POST", "/changes", body={"c": 1}, safe_to_repeat=True)


def change_once(client: wire.Client) -> wire.Answer:
    return client.change("POST", "/changes", body={"c": 1}, safe_to_repeat=False)


Call = Callable[[wire.Client], wire.Answer]


@pytest.mark.parametrize(
    ("status", "asked", "changed", "changed_once"),
    [
        pytest.param(
            status, asked, changed, changed_once, id=f"{status} is {changed.__name__}"
        )
        for status, asked, changed, changed_once in [
            (400, wire.Rejected, wire.Rejected, wire.Rejected),
            (401, wire.Misconfigured, wire.Misconfigured, wire.Misconfigured),
            (403, wire.Misconfigured, wire.Misconfigured, wire.Misconfigured),
            (404, wire.Rejected, wire.Rejected, wire.Rejected),
            (405, wire.Misconfigured, wire.Misconfigured, wire.Misconfigured),
            (408, wire.Unavailable, wire.Unanswered, wire.Unanswered),
            (409, wire.Unavailable, wire.Unanswered, wire.Unanswered),
            (415, wire.Misconfigured, wire.Misconfigured, wire.Misconfigured),
            (422, wire.Rejected, wire.Rejected, wire.Rejected),
            (429, wire.Unavailable, wire.Unavailable, wire.Unavailable),
            (500, wire.Unavailable, wire.Unanswered, wire.Unanswered),
            (502, wire.Unavailable, wire.Unanswered, wire.Unanswered),
            (503, wire.Unavailable, wire.Unavailable, wire.Unanswered),
            (504, wire.Unavailable, wire.Unanswered, wire.Unanswered),
            (599, wire.Unavailable, wire.Unanswered, wire.Unanswered),
            (799, wire.Unavailable, wire.Unanswered, wire.Unanswered),
            (301, wire.Misconfigured, wire.Misconfigured, wire.Misconfigured),
            (302, wire.Malformed, wire.Malformed, wire.Malformed),
            (303, wire.Malformed, wire.Malformed, wire.Malformed),
            (304, wire.Malformed, wire.Malformed, wire.Malformed),
            (307, wire.Misconfigured, wire.Misconfigured, wire.Misconfigured),
            (308, wire.Misconfigured, wire.Misconfigured, wire.Misconfigured),
        ]
    ],
)
def test_each_status_means_what_the_caller_should_do_next(
    status: int,
    asked: type[wire.WireError],
    changed: type[wire.WireError],
    changed_once: type[wire.WireError],
) -> None:
    reply = raw.answer(b"no more", status=status)
    for call, kind in ((ask, asked), (change, changed), (change_once, changed_once)):
        with (
            raw.serving(raw.saying(reply)) as server,
            calling(server.address) as client,
        ):
            with pytest.raises(wire.WireError) as caught:
                call(client)

            assert type(caught.value) is kind
            assert caught.value.status == status
            if status != 304:
                assert caught.value.answer == "no more"
            assert len(server.heads) == 1


def no_response(connection: raw.Connection) -> None:
    connection.hear()


def reset(connection: raw.Connection) -> None:
    connection.hear()
    connection.reset()


def reset_before_the_request_was_read(connection: raw.Connection) -> None:
    connection.sock.recv(10)
    connection.reset()


def garbage(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def half_a_head(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"HTTP/1.1 200 OK\r\nContent-Le")


def only_a_status_line(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"HTTP/1.1 200 OK\r\n")


def half_a_body(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"reference":')


def half_a_chunk(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{")


def invalid_chunks(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}")


def two_lengths(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}")


def a_thousand_headers(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000, b"\r\n{}")


@pytest.mark.parametrize(
    "speech",
    [
        no_response,
        reset,
        reset_before_the_request_was_read,
        garbage,
        half_a_head,
        only_a_status_line,
        half_a_body,
        half_a_chunk,
        invalid_chunks,
        two_lengths,
        a_thousand_headers,
    ],
)
def test_a_broken_connection_leaves_a_change_unanswered(speech: raw.Speech) -> None:
    with raw.serving(speech) as server, calling(server.address) as client:
        with pytest.raises(wire.Unavailable):
            ask(client)
        with pytest.raises(wire.Unanswered):
            change(client)
        with pytest.raises(wire.Unanswered):
            change_once(client)


def silence(connection: raw.Connection) -> None:
    connection.hear()
    connection.sock.recv(1)


def a_dripping_head(connection: raw.Connection) -> None:
    connection.hear()
    connection.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: and slower\r\n" * 99)


def a_dripping_body(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    connection.drip(b" " * 9999)


def dripping_chunks(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.drip(b"1\r\n \r\n" * 999)


def a_body_with_no_end(connection: raw.Connection) -> None:
    connection.hear()
    connection.say(b"HTTP/1.1 200 OK\r\n\r\n")
    connection.drip(b" " * 9999)


def endless_informational_responses(connection: raw.Connection) -> None:
    connection.hear()
    while True:
        connection.drip(b"HTTP/1.1 100 Continue\r\n\r\n", every=0.001)


DRIPS = [
    silence,
    a_dripping_head,
    a_dripping_body,
    dripping_chunks,
    a_body_with_no_end,
    endless_informational_responses,
]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("speech", DRIPS)
def test_no_server_keeps_a_call_beyond_its_deadline(
    speech: raw.Speech, tls: bool
) -> None:
    with (
        raw.serving(speech, tls=tls) as server,
        wire.Client(
            server.address,
            side="vendor",
            secrets=SECRETS,
            seconds=0.4,
            authorities=str(raw.CERTIFICATE),
        ) as client,
    ):
        before = time.monotonic()
        with pytest.raises(wire.Unanswered) as caught:
            change(client)

        assert 0.3 < time.monotonic() - before < 1.5
        assert 300 < caught.value.duration_ms < 1500


def test_a_slow_refusal_is_known_by_its_status() -> None:
    def speak(connection: raw.Connection) -> None:
        connection.hear()
        connection.say(b"HTTP/1.1 422 No\r\nContent-Length: 9999\r\n\r\nNot this one")
        connection.drip(b"." * 9999)

    with raw.serving(speak) as server, calling(server.address, seconds=0.4) as client:
        with pytest.raises(wire.Rejected) as caught:
            change(client)

        assert caught.value.duration_ms < 1500


def test_a_server_that_does_not_read_keeps_no_call_beyond_its_deadline() -> None:
    over = threading.Event()

    def speak(connection: raw.Connection) -> None:
        over.wait(60)

    # On a busy machine, it takes some seconds to build this request.
    with raw.serving(speak) as server, calling(server.address, seconds=4) as client:
        with pytest.raises(wire.Unanswered) as caught:
            client.change("POST", "/", body="x" * 2**24, safe_to_repeat=True)
        over.set()

        assert caught.value.duration_ms < 20_000


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}])
def test_a_connection_with_a_complete_response_is_not_reset(
    headers: dict[str, str],
) -> None:
    ends: list[bytes] = []

    def speak(connection: raw.Connection) -> None:
        connection.hear()
        connection.say(raw.answer(headers=headers))
        ends.append(connection.sock.recv(1))  # raises an error after a reset

    with raw.serving(speak) as server, calling(server.address) as client:
        change(client)
        client.close()

    assert ends == [b""]


def test_no_byte_of_a_request_leaves_after_its_deadline() -> None:
    # As after a slow name lookup, which cannot be interrupted.
    late = deadline_transport.Exchange(ends_at=clock() - 0.01)
    with raw.serving(raw.saying(raw.answer())) as server:
        port = int(server.address.rpartition(":")[2])
        connection = deadline_transport.Connection("127.0.0.1", port)
        token = deadline_transport.current.set(late)
        with pytest.raises(TimeoutError):
            connection.request("POST", "/", b"{}")
        deadline_transport.current.reset(token)
        connection.close()

    assert not late.begun
    assert server.heads == []


@pytest.fixture
def nowhere() -> str:
    """An address without a listener."""
    with raw.serving(no_response) as server:
        return server.address


@pytest.mark.parametrize("call", [ask, change, change_once])
def test_a_request_that_was_not_sent_had_no_effect(call: Call, nowhere: str) -> None:
    with calling(nowhere) as client, pytest.raises(wire.Unavailable) as caught:
        call(client)

    assert caught.value.status is None
    assert "could not be reached" in str(caught.value)


@pytest.mark.parametrize("call", [ask, change, change_once])
def test_a_server_without_a_trusted_certificate_is_sent_nothing(call: Call) -> None:
    with (
        raw.serving(raw.saying(raw.answer()), tls=True) as server,
        calling(server.address) as client,
    ):
        with pytest.raises(wire.Unavailable):
            call(client)

        assert server.heads == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nowhere",
        "http://",
        "ftp://127.0.0.1",
        "http://a..b",
        "http://[::1",
        "http://h:99999",
    ],
)
def test_an_invalid_address_is_a_configuration_error(address: str) -> None:
    with calling(address) as client, pytest.raises(wire.Misconfigured):
        change(client)


@pytest.mark.parametrize("key", ["two\nlines", "ключ", " "])
def test_a_key_that_cannot_be_sent_is_a_configuration_error_and_stays_secret(
    key: str,
) -> None:
    with (
        raw.serving(raw.saying(raw.answer())) as server,
        wire.Client(
            server.address, side="vendor", secrets={"X-API-KEY": key}
        ) as client,
    ):
        with pytest.raises(wire.Misconfigured) as caught:
            change(client)

        assert not key.strip() or key not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("0.5", 0.5, id="part of a second"),
        pytest.param("99999999", 3600.0, id="a year"),
        pytest.param("-5", None, id="before now"),
        pytest.param("soon", None, id="a word"),
        pytest.param("", None, id="nothing"),
        pytest.param("1e9", None, id="an exponent"),
        pytest.param("٣", None, id="another script's digit"),
        pytest.param(formatdate(1_000_030, usegmt=True), 30.0, id="a date"),
        pytest.param(formatdate(999_000, usegmt=True), 0.0, id="a date that is past"),
        pytest.param("Mon, 99 Foo 2026 99:99:99 GMT", None, id="no date at all"),
    ],
)
def test_a_response_can_say_when_to_retry(told: str, seconds: float | None) -> None:
    headers = {"Retry-After": told, "Date": formatdate(1_000_000, usegmt=True)}
    reply = (
        raw.answer(status=429, headers=headers)
        if told.isascii()
        else (
            b"HTTP/1.1 429 Later\r\nContent-Length: 0\r\nRetry-After: "
            + told.encode()
            + b"\r\n\r\n"
        )
    )
    with raw.serving(raw.saying(reply)) as server, calling(server.address) as client:
        with pytest.raises(wire.Unavailable) as caught:
            change(client)

        assert caught.value.retry_after == seconds


def test_a_contract_can_name_other_statuses_that_mean_later() -> None:
    with (
        raw.serving(raw.saying(raw.answer(status=502))) as server,
        wire.Client(
            server.address, side="vendor", secrets={}, later=frozenset({502})
        ) as client,
    ):
        with pytest.raises(wire.Unavailable):
            change(client)
        with pytest.raises(wire.Unanswered):
            change_once(client)


def test_a_call_whose_lease_ends_before_the_first_byte_sends_nothing() -> None:
    with (
        raw.serving(raw.saying(raw.answer())) as server,
        calling(server.address) as client,
    ):
        with wire.only_while(lambda: False), pytest.raises(wire.Unavailable):
            change(client)
        assert not server.heads

        change(client)
        assert len(server.heads) == 1


def test_a_call_whose_lease_ends_after_the_head_sends_no_body() -> None:
    """The head has left, so the effect is unknown."""
    permissions = iter([True, False])
    with (
        raw.serving(raw.saying(raw.answer())) as server,
        calling(server.address) as client,
    ):
        with wire.only_while(lambda: next(permissions)), pytest.raises(wire.Unanswered):
            change(client)

        assert not server.bodies
        assert next(permissions, None) is None


SLEPT = ["unshare", "--fork", "--time", "--boottime", "3600"]
LEFT = """
from promoportal.runtime.monotonic_clock import clock
from promoportal.wire import deadline_transport
print(deadline_transport.Exchange(ends_at=clock() + 5).left())
"""


def can_sleep() -> bool:
    """Return whether a process can be started as if its machine had slept an hour."""
    try:
        subprocess.run([*SLEPT, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.mark.skipif(not can_sleep(), reason="needs unshare, and leave to use it")
def test_a_calls_deadline_uses_the_clock_of_the_leases() -> None:
    """A clock that stops during sleep would let a call outlive its lease."""
    output = subprocess.check_output([*SLEPT, sys.executable, "-c", LEFT], text=True)

    assert 4 < float(output) <= 5
