"""Responses: what is read, what is kept, and what is logged."""

from __future__ import annotations

import gzip
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from promoportal import wire
from tests.promoportal.wire import raw_server as raw

KEY = "a/key+nobody=knows"


def calling(address: str, *, threads: int = 1) -> wire.Client:
    return wire.Client(
        address,
        side="platform",
        secrets={"Authorization": f"Bearer {KEY}"},
        threads=threads,
        seconds=5.0,
    )


def change(client: wire.Client) -> wire.Answer:
    return client.change("POST", "/changes", body={"c": 1}, safe_to_repeat=True)


def test_a_question_is_sent_as_the_contract_defines_it() -> None:
    with (
        raw.serving(raw.saying(raw.answer(b'{"a":1.50}'))) as server,
        calling(server.address + "/base/") as client,
    ):
        answer = client.ask(
            "POST", "/v1/list", query={"$top": "5", "a b": "é&"}, body={"k": ["\ud800"]}
        )

        assert answer.body == {"a": Decimal("1.50")}
        assert str(answer.body) == "{'a': Decimal('1.50')}"
        assert answer.evidence.status == 200
        assert answer.evidence.answer == '{"a":1.50}'
        line, *headers = server.heads[0].split("\r\n")
        assert line == "POST /base/v1/list?$top=5&a%20b=%C3%A9%26 HTTP/1.1"
        assert "Content-Type: application/json" in headers
        assert "Accept-Encoding: identity" in headers
        assert f"Authorization: Bearer {KEY}" in headers
        assert json.loads(server.bodies[0]) == {"k": ["\ud800"]}


def test_a_call_can_go_to_another_host() -> None:
    with (
        raw.serving(raw.saying(raw.answer())) as other,
        calling("http://127.0.0.1:9") as client,
    ):
        client.ask("GET", "/v1/list", address=other.address)

        assert other.heads[0].startswith("GET /v1/list ")
        assert "Content-Type" not in other.heads[0]


@pytest.mark.parametrize(
    "body", [b"", b"  \r\n", b"\xef\xbb\xbf"], ids=["empty", "blank", "only a mark"]
)
def test_an_empty_response_is_none(body: bytes) -> None:
    with (
        raw.serving(raw.saying(raw.answer(body))) as server,
        calling(server.address) as client,
    ):
        assert change(client).body is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"Unauthorized", id="plain words"),
        pytest.param(b"<html><body>Log in</body></html>", id="a page"),
        pytest.param(b'{"a":1', id="half an object"),
        pytest.param(b'{"a":1}{"a":2}', id="two objects"),
        pytest.param(b'{"a":NaN}', id="not a number"),
        pytest.param(b"[-Infinity]", id="infinity"),
        pytest.param(b"[" * 100_000, id="a hundred thousand brackets"),
        pytest.param(b"[" * 500 + b"]" * 500, id="five hundred brackets, closed"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, id="65 objects"),
        pytest.param(b"1" * 4301, id="4301 digits"),
        pytest.param(b"0." + b"1" * 4301, id="a fraction of 4301 digits"),
        pytest.param(b"1e9999999", id="an exponent without sense"),
        pytest.param(b"1e-99999999999999999999", id="a smaller one"),
        pytest.param(b'"caf\xe9"', id="not UTF-8"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'"a\nb"', id="a line break in a string"),
    ],
)
def test_a_body_that_is_not_json_breaks_the_contract(body: bytes) -> None:
    with (
        raw.serving(raw.saying(raw.answer(body))) as server,
        calling(server.address) as client,
    ):
        with pytest.raises(wire.Malformed) as caught:
            change(client)

        assert caught.value.status == 200
        assert len(caught.value.answer) <= 2000
        assert "\x00" not in caught.value.answer
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e20000000", "9" * 5_000, "[" * 70 + "]" * 70]
)
def test_a_forgiving_call_loses_one_value_and_keeps_the_rest(value: str) -> None:
    body = f'{{"good":1,"bad":{value}}}'.encode()
    with (
        raw.serving(raw.saying(raw.answer(body))) as server,
        calling(server.address) as client,
    ):
        answer = client.ask("GET", "/v1/list", forgiving=True)

    assert isinstance(answer.body, dict)
    assert answer.body["good"] == 1
    assert wire.clean(answer.body["bad"]).changed


def test_the_last_of_two_equal_keys_counts() -> None:
    assert wire.parse(b'{"a":1,"a":2}') == {"a": 2}


def test_a_response_that_is_too_long_is_not_read_to_its_end() -> None:
    def speak(connection: raw.Connection) -> None:
        connection.hear()
        connection.say(b"HTTP/1.1 200 OK\r\n\r\n[")
        while True:
            connection.say(b"1," * 100_000)

    with raw.serving(speak) as server, calling(server.address) as client:
        with pytest.raises(wire.Malformed, match="longer than 1,048,576 bytes"):
            change(client)
        with pytest.raises(wire.Malformed, match="longer than 9 bytes"):
            client.ask("GET", "/", limit=9)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        pytest.param(gzip.compress(b" " * 50_000_000), "longer", id="a bomb"),
        pytest.param(b"not packed at all", "unpacked", id="not packed"),
    ],
)
def test_a_compressed_response_is_measured_unpacked(body: bytes, problem: str) -> None:
    reply = raw.answer(body, headers={"Content-Encoding": "gzip"})
    with (
        raw.serving(raw.saying(reply)) as server,
        calling(server.address) as client,
        pytest.raises(wire.Malformed, match=problem),
    ):
        change(client)


def test_a_compressed_response_is_read() -> None:
    reply = raw.answer(gzip.compress(b"[1]"), headers={"Content-Encoding": "gzip"})
    with raw.serving(raw.saying(reply)) as server, calling(server.address) as client:
        assert change(client).body == [1]


def test_a_redirect_is_not_followed() -> None:
    with raw.serving(raw.saying(raw.answer())) as elsewhere:
        headers = {"Location": elsewhere.address}
        reply = raw.answer(status=307, headers=headers)
        with (
            raw.serving(raw.saying(reply)) as server,
            calling(server.address) as client,
            pytest.raises(wire.Misconfigured),
        ):
            change(client)

        assert elsewhere.heads == []


def test_no_cookie_is_stored() -> None:
    reply = raw.answer(headers={"Set-Cookie": "stay=here; Path=/"})
    with raw.serving(raw.saying(reply)) as server, calling(server.address) as client:
        change(client)
        change(client)

        assert "Cookie" not in server.heads[1]


def test_proxies_from_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with (
        raw.serving(raw.saying(raw.answer())) as server,
        calling(server.address) as client,
    ):
        change(client)

        assert len(server.heads) == 1


def test_a_secret_in_a_response_is_removed() -> None:
    escaped = KEY.replace("/", "\\/")
    reply = raw.answer(f"Bad key {KEY}, or {escaped}\x00!".encode(), status=401)
    with raw.serving(raw.saying(reply)) as server, calling(server.address) as client:
        with pytest.raises(wire.Misconfigured) as caught:
            change(client)

        assert caught.value.answer == "Bad key [secret], or [secret]\ufffd!"
        assert KEY not in str(caught.value)


def test_a_long_refusal_is_cut() -> None:
    reply = raw.answer(b"no " * 100_000, status=400)
    with raw.serving(raw.saying(reply)) as server, calling(server.address) as client:
        with pytest.raises(wire.Rejected) as caught:
            change(client)

        assert len(caught.value.answer) == 2000
        assert len(str(caught.value)) < 400


def test_a_log_line_names_the_call_without_its_content(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reply = raw.answer(b"customer C234638 is unknown", status=422)
    caplog.set_level(logging.DEBUG, "promoportal.wire")
    with (
        raw.serving(raw.saying(reply)) as server,
        calling(server.address) as client,
        pytest.raises(wire.Rejected),
    ):
        client.ask("GET", "/list", query={"customer": "C234638"})

    (record,) = caplog.records
    assert record.getMessage() == "platform.called"
    assert record.levelno == logging.INFO
    assert vars(record)["status"] == 422
    assert vars(record)["problem"] == "Rejected"
    assert "C234638" not in str(vars(record))
    assert KEY not in str(vars(record))


# --- Connections ------------------------------------------------------------------


def test_a_connection_is_reused() -> None:
    with (
        raw.serving(raw.saying(raw.answer())) as server,
        calling(server.address) as client,
    ):
        for _ in range(3):
            change(client)

        assert server.connections == 1


def test_a_call_that_must_not_be_repeated_gets_its_own_connection() -> None:
    with (
        raw.serving(raw.saying(raw.answer())) as server,
        calling(server.address) as client,
    ):
        for _ in range(3):
            client.change("POST", "/", safe_to_repeat=False)

        assert server.connections == 3


def test_a_connection_that_the_server_closed_is_not_reused() -> None:
    def speak(connection: raw.Connection) -> None:
        connection.hear()
        connection.say(raw.answer())

    with raw.serving(speak) as server, calling(server.address) as client:
        change(client)
        time.sleep(0.05)
        change(client)

        assert server.connections == 2


def test_an_idle_connection_is_closed() -> None:
    with (
        raw.serving(raw.saying(raw.answer())) as server,
        calling(server.address) as client,
    ):
        change(client)
        time.sleep(1.6)
        change(client)

        assert server.connections == 2


def test_a_kept_connection_that_closes_during_a_write_leaves_a_change_unanswered() -> (
    None
):
    def speak(connection: raw.Connection) -> None:
        connection.hear()
        connection.say(raw.answer())
        connection.sock.recv(1)  # the next request has begun
        connection.reset()

    with raw.serving(speak) as server, calling(server.address) as client:
        change(client)
        with pytest.raises(wire.Unanswered):
            change(client)

        assert server.connections == 1


def test_a_late_response_is_never_used_for_the_next_request() -> None:
    def speak(connection: raw.Connection) -> None:
        connection.hear()
        connection.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        time.sleep(0.1)
        connection.say(raw.answer(b'"the first"'))
        if connection.hear() is not None:
            connection.say(raw.answer(b'"the second"'))

    with raw.serving(speak) as server, calling(server.address) as client:
        for _ in range(2):
            with pytest.raises(wire.Malformed):
                change(client)

        assert server.connections == 2


def test_bytes_after_a_response_are_never_used_for_the_next_request() -> None:
    reply = raw.answer(b'"one"') + raw.answer(b'"forged"')
    with raw.serving(raw.saying(reply)) as server, calling(server.address) as client:
        assert change(client).body == "one"
        assert change(client).body == "one"


def test_threads_share_a_client_and_each_gets_its_own_response() -> None:
    def echo(connection: raw.Connection) -> None:
        while (body := connection.hear()) is not None:
            time.sleep(0.001)
            connection.say(raw.answer(body))

    def call(number: int) -> bool:
        answer = client.change("POST", "/", body=number, safe_to_repeat=True)
        return answer.body == number

    with raw.serving(echo) as server, calling(server.address, threads=4) as client:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(call, range(200)))

        assert server.connections == 4


def test_a_client_can_be_used_after_it_was_closed() -> None:
    with raw.serving(raw.saying(raw.answer())) as server:
        client = calling(server.address)
        change(client)
        client.close()
        change(client)
        client.close()

        assert server.connections == 2
