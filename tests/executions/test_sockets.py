"""The webhook behind the real web server, with unusual requests over real sockets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker, live_server_helper

from bench.clusters import database_url
from executions import listeners
from executions.models import Delivery, EventType
from executions.request_body import DRAINED, LARGEST
from tests.engine.conftest import kill_family

MIB = 1024 * 1024
PATIENCE = 20.0
NOWHERE = "postgresql://portal@127.0.0.1:1/portal"


class Web:
    """The portal's web server, as `manage.py run` starts it."""

    def __init__(self, database: str, log: Path) -> None:
        self.log = log
        listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = listener.getsockname()
        inherited = listener.fileno()
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn"),
                    *("--config", "python:promoportal.runtime.gunicorn_config"),
                    *("--bind", f"fd://{inherited}"),
                ],
                cwd=settings.BASE_DIR,
                env=os.environ | {"DATABASE_URL": database, "WEB_CONCURRENCY": "1"},
                pass_fds=[inherited],
                stdout=out,
                stderr=out,
                text=True,
            )
        listener.close()

    def post(self, path: str, *parts: bytes, **headers: str) -> int:
        """Send the complete request before reading a byte, as a simple client does."""
        return ask(self.address, path, parts, headers)

    def get(self, path: str) -> int:
        return ask(self.address, path, (), {}, method="GET")


@pytest.fixture(scope="module")
def web(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Web]:
    with django_db_blocker.unblock():
        url = database_url()
    server = Web(url, tmp_path_factory.mktemp("web") / "log")
    yield server
    kill_family(server.process)


@pytest.fixture
def opened(transactional_db: None) -> listeners.Opened:
    return listeners.open_listener(EventType.SCHEDULED)


def ask(
    address: tuple[str, int],
    path: str,
    parts: Iterable[bytes],
    headers: dict[str, str],
    method: str = "POST",
) -> int:
    with socket.create_connection(address, timeout=PATIENCE) as sender:
        all_headers = {"Host": "localhost", "Connection": "close", **headers}
        lines = [
            f"{name.replace('_', '-')}: {value}" for name, value in all_headers.items()
        ]
        head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
        sender.sendall(head.encode())
        for part in parts:
            sender.sendall(part)
        sender.shutdown(socket.SHUT_WR)
        return status(sender)


def status(sender: socket.socket) -> int:
    answer = sender.makefile("rb").readline()
    return int(answer.split()[1])


def chunks(body: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        part = body[start : start + size]
        yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def announced(size: int) -> dict[str, str]:
    return {"Content_Length": str(size)}


CHUNKED = {"Transfer_Encoding": "chunked"}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param(LARGEST, 200, id="a mebibyte"),
        pytest.param(LARGEST + 1, 413, id="a byte more"),
        pytest.param(3 * MIB, 413, id="3 MiB"),
        pytest.param(DRAINED, 413, id="as much as is drained"),
    ],
)
def test_a_sender_that_is_still_writing_gets_the_response(
    web: Web, opened: listeners.Opened, size: int, expected: int
) -> None:
    assert web.post(opened.path, b" " * size, **announced(size)) == expected
    assert Delivery.objects.count() == (expected == 200)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param(LARGEST, 200, id="a mebibyte"),
        pytest.param(LARGEST + 1, 413, id="a byte more"),
        pytest.param(DRAINED, 413, id="as much as is drained"),
    ],
)
def test_a_sender_that_is_still_writing_chunks_gets_the_response(
    web: Web, opened: listeners.Opened, size: int, expected: int
) -> None:
    parts = chunks(b" " * size, 60_000)

    assert web.post(opened.path, *parts, **CHUNKED) == expected
    assert Delivery.objects.count() == (expected == 200)


@pytest.mark.parametrize("size", [1, 7, 70_000])
def test_a_chunked_body_is_stored_completely(
    web: Web, opened: listeners.Opened, size: int
) -> None:
    body = json.dumps({"CampaignID": 7311, "x": "y" * 5 * size}).encode()

    answer = web.post(opened.path, *chunks(body, size), **CHUNKED)

    assert answer == 200
    assert bytes(Delivery.objects.get().body) == body


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        pytest.param(announced(40), b'{"CampaignID":7311}', id="announced"),
        pytest.param(announced(2 * MIB), b'{"CampaignID":7311}', id="announced large"),
        pytest.param(CHUNKED, b"40\r\n{", id="in a chunk"),
        pytest.param(CHUNKED, b'13\r\n{"CampaignID":7311}\r\n', id="between chunks"),
        pytest.param(CHUNKED, b'13\r\n{"CampaignID":7311}\r\n0\r\n', id="at the end"),
        pytest.param(CHUNKED, b"nonsense\r\n", id="no chunk at all"),
        pytest.param(CHUNKED, b"", id="before any chunk"),
    ],
)
def test_an_incomplete_body_is_not_stored(
    web: Web, opened: listeners.Opened, headers: dict[str, str], sent: bytes
) -> None:
    assert web.post(opened.path, sent, **headers) == 400
    assert not Delivery.objects.exists()


def test_a_request_without_body_is_stored_as_empty(
    web: Web, opened: listeners.Opened
) -> None:
    assert web.post(opened.path) == 200
    assert bytes(Delivery.objects.get().body) == b""


def test_a_request_with_an_ambiguous_length_is_refused(
    web: Web, opened: listeners.Opened
) -> None:
    body = b"13\r\n" + b'{"CampaignID":7311}' + b"\r\n0\r\n\r\n"

    answer = web.post(opened.path, body, **CHUNKED, **announced(4))

    assert answer == 400
    assert not Delivery.objects.exists()


def test_a_guessed_secret_is_not_in_the_log(web: Web, transactional_db: None) -> None:
    assert web.post("/webhooks/optimove/guessed-secret/") == 404

    log = web.log.read_text()
    assert "/webhooks/optimove/[secret]" in log
    assert "guessed-secret" not in log


def test_a_server_that_does_not_decode_chunks_refuses_them(
    opened: listeners.Opened, live_server: live_server_helper.LiveServer
) -> None:
    thread = live_server.thread
    sent = chunks(b'{"CampaignID":7311}', 5)

    assert ask((thread.host, thread.port), opened.path, sent, CHUNKED) == 411
    assert not Delivery.objects.exists()


def test_without_a_database_no_delivery_is_accepted(tmp_path: Path) -> None:
    server = Web(NOWHERE, tmp_path / "log")
    try:
        answer = server.post("/webhooks/optimove/whatever/", b"{}", **announced(2))
        alive, ready = server.get("/healthz"), server.get("/readyz")
    finally:
        kill_family(server.process)

    assert (answer, alive, ready) == (503, 200, 503)
    assert "whatever" not in server.log.read_text()
