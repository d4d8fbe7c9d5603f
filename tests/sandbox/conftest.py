from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from promoportal import sandbox
from tests.sandbox.callers import Operator


class RecordingListener(ThreadingHTTPServer):
    """A listener that keeps the webhooks that it receives, in their order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[dict[str, object]] = []
        self.answers = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/secret/"


class _Handler(BaseHTTPRequestHandler):
    server: RecordingListener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(json.loads(body))
        self.send_response(self.server.answers)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


@pytest.fixture(scope="session")
def served() -> Iterator[sandbox.SandboxHandle]:
    with sandbox.serving() as box:
        yield box


@pytest.fixture
def box(served: sandbox.SandboxHandle) -> sandbox.SandboxHandle:
    served.reset()
    return served


@pytest.fixture
def operator(box: sandbox.SandboxHandle) -> Iterator[Operator]:
    with requests.Session() as session:
        session.trust_env = False
        yield Operator(box, session)


@pytest.fixture
def listener() -> Iterator[RecordingListener]:
    with RecordingListener() as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()
