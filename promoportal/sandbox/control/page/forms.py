"""Access to the page, and the actions of its forms."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from promoportal.sandbox.commands import Event, Launch, Plan, Trigger
from promoportal.sandbox.control.api import is_here
from promoportal.sandbox.control.page.content import page
from promoportal.sandbox.control.page.style import STYLE
from promoportal.sandbox.faults import Fault
from promoportal.sandbox.messages import Answer, Request, is_same
from promoportal.sandbox.simulation import Sandbox

SIDES = frozenset({"", "page.css"})
# Seconds that the response waits for an action. A longer action continues later.
_PATIENCE = 3.0
_STILL_RUNNING = "Still running. Refresh the page to see the result."
_POLICY = (
    "default-src 'none'; style-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
Fields = Mapping[str, str]
Action = Callable[[Fields], Awaitable[str]]


@dataclass
class PageEndpoint:
    """The page of one sandbox."""

    sandbox: Sandbox
    local: bool  # only this machine can connect
    _nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _result: str = ""
    _running: set[asyncio.Task[str]] = field(default_factory=set)

    async def answer(self, request: Request) -> Answer:
        refusal = self._gate(request)
        if refusal is not None:
            return refusal
        if request.side == "page.css":
            kind = {"Content-Type": "text/css; charset=utf-8"}
            return Answer(body=STYLE.encode(), headers=_HEADERS | kind)
        if request.method == "POST":
            return await self._post(request)
        if request.method not in ("GET", "HEAD"):
            return _plain("Method Not Allowed", 405)
        return self._page(request)

    # --- Access -----------------------------------------------------------------------

    def _gate(self, request: Request) -> Answer | None:
        token = self.sandbox.options.control_token
        if token:
            return None if is_same(_password(request), token) else _UNKNOWN
        # Another site can point its own host name to this address. Its scripts could
        # then read the page.
        if self.local and is_here(request.header("Host")):
            return None
        return _plain("Open this page from the same machine, at 127.0.0.1.", 403)

    # --- Page -------------------------------------------------------------------------

    def _page(self, request: Request) -> Answer:
        every = request.query.get("every", "")
        refresh = 5 if every == "5" else None
        result, self._result = self._result, ""
        html = page(self.sandbox, nonce=self._nonce, result=result, refresh=refresh)
        return Answer(body=html.encode(), headers=_HEADERS)

    # --- Forms ------------------------------------------------------------------------

    async def _post(self, request: Request) -> Answer:
        fields = dict(parse_qsl(request.body.decode(errors="replace")))
        if not is_same(fields.get("nonce", ""), self._nonce):
            return _plain("This form has expired. Reload the page.", 403)
        action = self._actions.get(fields.get("do", ""))
        if action is None:
            return _plain("Unknown action.", 400)
        self._result = await self._do(action(fields))
        return Answer(303, headers=_HEADERS | {"Location": "/"})

    async def _do(self, action: Awaitable[str]) -> str:
        task = asyncio.ensure_future(_in_words(action))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE)
        return task.result() if done else _STILL_RUNNING

    @property
    def _actions(self) -> Mapping[str, Action]:
        return {
            "campaign": self._campaign,
            "event": self._event,
            "execute": self._execute,
            "trigger": self._trigger,
            "promotion": self._promotion,
            "fault": self._fault,
            "clear": self._clear,
        }

    async def _campaign(self, fields: Fields) -> str:
        order = Plan(plan=_number(fields, "plan", 0))
        done = await self.sandbox.required_tenant.execute(order.plan)
        return f"Campaign {order.plan} started as execution {done.occurrence.id}."

    async def _event(self, fields: Fields) -> str:
        customers = _number(fields, "customers", 0) or None
        event = Event(name=fields.get("name", ""), customers=customers)
        done = await self.sandbox.happen(event)
        went_on = sum(len(one.audience.going) for one in done)
        return f'Event "{event.name}": {went_on:,} customers received a promotion.'

    async def _execute(self, fields: Fields) -> str:
        launch = Launch(customers=_number(fields, "customers", 100))
        done = self.sandbox.execute(launch)
        return f"Execution {done.id} was started for {len(done.rows):,} customers."

    async def _trigger(self, fields: Fields) -> str:
        trigger = Trigger(customers=_number(fields, "customers", 1))
        done = self.sandbox.trigger(trigger)
        return f"Execution {done.id} was triggered by {len(done.rows):,} customers."

    async def _promotion(self, fields: Fields) -> str:
        offers = self.sandbox.required_tenant.offers
        offer = offers.move(fields.get("id", ""), fields.get("to", ""))
        return f"{offer.promotion.code} is now {offer.promotion.state}."

    async def _fault(self, fields: Fields) -> str:
        lasts = _number(fields, "lasts", 0) or None
        fault = Fault(
            kind=fields.get("kind", ""),
            side=fields.get("side", ""),
            route=fields.get("route", "*"),
            times=_number(fields, "times", 0) or None,
            lasts=lasts,
            status=_number(fields, "status", 0) or None,
            text=fields.get("text"),
        )
        self.sandbox.faults.order(fault)
        often = f"{fault.times:,} times" if fault.times else "every time"
        until = f", for {lasts:,} seconds" if lasts else ""
        return f"Fault added: {fault.kind} ({fault.side}), {often}{until}."

    async def _clear(self, _fields: Fields) -> str:
        self.sandbox.faults.clear()
        return "All faults removed."


async def _in_words(action: Awaitable[str]) -> str:
    try:
        return await action
    except ValueError as error:
        return f"No changes were made. {error}"


def _number(fields: Fields, name: str, default: int) -> int:
    text = fields.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{name} must be a whole number.")
    return int(text)


def _password(request: Request) -> str:
    """Return the password of basic authentication, or "" if there is none."""
    kind, _, given = request.header("Authorization").partition(" ")
    try:
        known = base64.b64decode(given, validate=True).decode()
    except ValueError:
        return ""
    return known.partition(":")[2] if kind.lower() == "basic" else ""


def _plain(text: str, status: int, **headers: str) -> Answer:
    kind = {"Content-Type": "text/plain; charset=utf-8"}
    return Answer(status, f"{text}\n".encode(), _HEADERS | kind | headers)


_UNKNOWN = _plain(
    "Log in with any user name. The password is the control token.",
    401,
    **{"WWW-Authenticate": 'Basic realm="sandbox", charset="UTF-8"'},
)
