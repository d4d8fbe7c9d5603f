"""
Optimove and the platform, at the wire: one small HTTP server in this process.

The platform has a ledger of its credits. A request waits in the server until the
explorer chooses what becomes of it: an answer, a lost answer, or work that comes late.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.explorer.interleaving import Actor, Turns
from promoportal.platforms import Capability

# The platform executes a delayed request at the latest after this time: before
# "not found" counts, as docs/guarantees.md assumes.
LATEST = timedelta(seconds=75)
DROPPED = 0  # instead of a status: the connection ends without a response


@dataclass(frozen=True)
class Credit:
    """A reward that the platform credited, as the request named it."""

    key: str
    customer: str
    promotion: str
    value: str
    at: datetime


@dataclass(frozen=True)
class Delayed:
    """A request that the platform has, and executes at `until`."""

    key: str
    body: dict[str, Any]
    until: datetime


@dataclass
class World:
    """The knowledge of the integrations. With the database, it is the whole state."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    credits: list[Credit] = field(default_factory=list)
    delayed: list[Delayed] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)

    def copy(self) -> World:
        return deepcopy(self)

    def credits_of(self, key: str) -> int:
        return sum(credit.key == key for credit in self.credits)


@dataclass
class Integrations:
    """The behaviour of both integrations, apart from HTTP."""

    turns: Turns
    clock: Callable[[], datetime]
    capability: Capability
    breaks_promise: bool = False  # it declares keys, and does not recognise them
    world: World = field(default_factory=World)

    def execute(self, key: str, body: dict[str, Any]) -> None:
        """Credit the reward of a request, unless the platform knows the key."""
        if not self._knows(key):
            reward = body["reward"] or {}
            value = f"{reward.get('value')} {reward.get('currency')}"
            credit = Credit(
                key, body["customerId"], body["promotionId"], value, self.clock()
            )
            self.world.credits.append(credit)

    def execute_delayed(self, *, now: bool = False) -> None:
        """Execute the delayed requests whose time has come, or all of them now."""
        due = [one for one in self.world.delayed if now or one.until <= self.clock()]
        for one in due:
            self.world.delayed.remove(one)
            self.execute(one.key, one.body)

    def _knows(self, key: str) -> bool:
        if not self.capability.idempotent or self.breaks_promise:
            return False
        first = [credit.at for credit in self.world.credits if credit.key == key]
        return bool(first) and self.clock() < first[0] + self.capability.remembers_for

    # --- Requests ---------------------------------------------------------------------

    def answer(
        self, method: str, path: str, headers: Any, body: Any
    ) -> tuple[int, Any]:
        """Return the status and the body of the response to a request."""
        caller = headers["Authorization"] or ""
        if path == "/platform/rewards":
            return self._activate(headers["Idempotency-Key"], body, caller)
        if path.startswith("/platform/rewards/"):
            return self._look_up(path.rpartition("/")[2], caller)
        if path == "/optimove/v1/customerAssignments":
            return self._list(body)
        return self._report(body)

    def _activate(self, key: str, body: dict[str, Any], caller: str) -> tuple[int, Any]:
        where = f"platform has the request for {body['customerId']}"
        choice = self._choice(where, self._of_pool(caller))
        if choice in {"late", "soon"}:
            until = self.clock() + (LATEST if choice == "late" else timedelta())
            self.world.delayed.append(Delayed(key, body, until))
        elif choice in {"", "lost", "500 after"}:
            self.execute(key, body)
        status = {"": 201, "refused": 422, "503": 503, "500": 500, "500 after": 500}
        return status.get(choice, DROPPED), {"reference": f"receipt-{key[:8]}"}

    def _look_up(self, key: str, caller: str) -> tuple[int, Any]:
        choice = self._choice("platform is asked", self._of_pool(caller))
        status = 200 if self.world.credits_of(key) else 404
        return 503 if choice else status, {"reference": f"receipt-{key[:8]}"}

    def _list(self, body: dict[str, Any]) -> tuple[int, Any]:
        rows = deepcopy(self.world.rows)
        occurrence = body["occurrenceId"]
        return 200, {
            "occurrenceId": occurrence,
            "assignments": rows,
            "totalCount": len(rows),
        }

    def _report(self, body: dict[str, Any]) -> tuple[int, Any]:
        choice = self._choice("Optimove has a report", self.turns.running)
        reports = body.get("redemptions", [body])
        self.world.reports += [one["reference"] for one in reports]
        answer = {"status": "Accepted", "accepted": len(reports), "rejected": []}
        return DROPPED if choice else 200, answer

    def _of_pool(self, caller: str) -> Actor | None:
        """Return the actor that has this token; None if it was killed since then."""
        actor = self.turns.by_token.get(caller.rpartition(" ")[2])
        return actor if actor and self.turns.await_caller(actor) else None

    def _choice(self, where: str, actor: Actor | None) -> str:
        if actor is None:
            return "unsent"
        choice = self.turns.reach(actor, where, is_far=True)
        actor.is_dirty = True
        return choice


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one segment per response
    sides: Integrations

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._answer(json.loads(self.rfile.read(length) or b"null"))

    def do_GET(self) -> None:
        self._answer(None)

    def _answer(self, body: Any) -> None:
        status, data = self.sides.answer(self.command, self.path, self.headers, body)
        if status == DROPPED:
            self.close_connection = True
            return
        raw = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


class Server:
    """The HTTP server of the integrations, in threads of this process."""

    def __init__(self, sides: Integrations) -> None:
        handler = type("Handler", (_Handler,), {"sides": sides})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
