"""The control API at `/control/`, for requests with a token or from this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import TypeVar
from urllib.parse import urlsplit

from promoportal.sandbox.commands import Event, Launch, Life, Plan, Trigger
from promoportal.sandbox.control import state_view
from promoportal.sandbox.control.type_check import check
from promoportal.sandbox.faults import Fault
from promoportal.sandbox.messages import (
    Answer,
    Handler,
    Request,
    Unreadable,
    find,
    is_same,
    reply,
)
from promoportal.sandbox.operator_platform import Capability
from promoportal.sandbox.optimove.assignment_rows import Row
from promoportal.sandbox.optimove.occurrences import Occurrence
from promoportal.sandbox.optimove.registered_listeners import Listener
from promoportal.sandbox.optimove.webhook_sender import Posted
from promoportal.sandbox.simulation import Call, Sandbox

_MAX_SHOWN = 1_000
_UNPROTECTED = (
    "The sandbox accepts connections from other machines, but SANDBOX_CONTROL_TOKEN "
    "is not set."
)
Order = TypeVar("Order")
Waiting = Callable[[Request], Awaitable[Answer]]


@dataclass
class Control:
    """The control API of one sandbox."""

    sandbox: Sandbox
    reset: Callable[[], None]
    local: bool  # only this machine can connect

    async def answer(self, request: Request) -> Answer:
        refusal = self._gate(request)
        if refusal:
            return reply({"error": refusal}, 403)
        handler = find(self._routes, request, request.path)
        if isinstance(handler, Answer):
            return handler
        try:
            answer = handler(request)
            return answer if isinstance(answer, Answer) else await answer
        except ValueError as error:  # Unreadable is one
            return reply({"error": str(error)}, 400)

    @property
    def _routes(self) -> Mapping[str, Handler | Waiting]:
        return {
            "GET ": self._state,
            "POST execute": self._execute,
            "POST trigger": self._trigger,
            "POST campaign": self._campaign,
            "POST event": self._event,
            "POST promotion": self._promotion,
            "POST announce": partial(self._call, self.sandbox.announce),
            "POST cancel": partial(self._call, self.sandbox.cancel),
            "POST assign": self._assign,
            "POST change": partial(self._call, self.sandbox.change),
            "POST unlist": partial(self._call, self.sandbox.unlist),
            "GET ledger": self._ledger,
            "GET rewards": self._rewards,
            "GET calls": partial(self._last, self.sandbox.calls),
            "GET notices": partial(self._last, self.sandbox.notices.posted),
            "GET faults": self._faults,
            "POST faults": self._order_fault,
            "DELETE faults": self._clear_faults,
            "POST listeners": self._register,
            "POST platform": self._platform,
            "POST reset": self._reset,
        }

    # --- Access ---------------------------------------------------------------------

    def _gate(self, request: Request) -> str:
        token = self.sandbox.options.control_token
        if token:
            right = is_same(request.header("Authorization"), f"Bearer {token}")
            return "" if right else "Invalid control token."
        if not self.local:
            return _UNPROTECTED
        # Pages in a browser on this machine are not trusted: another site can point its
        # own host name to this address, and can send forms but not JSON.
        if not is_here(request.header("Host")):
            return "Without a control token, use a local address such as 127.0.0.1."
        if request.method == "POST" and "json" not in request.header("Content-Type"):
            return "The content type must be application/json."
        return ""

    # --- Optimove ---------------------------------------------------------------------

    def _execute(self, request: Request) -> Answer:
        launch = _order(Launch, request.fields())
        return reply(state_view.occurrence(self.sandbox.execute(launch)))

    def _trigger(self, request: Request) -> Answer:
        trigger = _order(Trigger, request.fields())
        return reply(state_view.occurrence(self.sandbox.trigger(trigger)))

    async def _campaign(self, request: Request) -> Answer:
        order = _order(Plan, request.fields())
        tenant = self.sandbox.required_tenant
        if order.due is not None:
            return reply(state_view.planned(tenant.plan(order.plan, order.due)), 202)
        running = tenant.execute(order.plan, announce=order.announce)
        return reply(state_view.execution(await running))

    async def _event(self, request: Request) -> Answer:
        executions = await self.sandbox.happen(_order(Event, request.fields()))
        return reply({"executions": [state_view.execution(one) for one in executions]})

    def _promotion(self, request: Request) -> Answer:
        order = _order(Life, request.fields())
        offer = self.sandbox.required_tenant.offers.move(order.id, order.do)
        return reply(state_view.offer(offer, self.sandbox.redemptions))

    def _assign(self, request: Request) -> Answer:
        body = request.fields()
        occurrence, rows = _occurrence(body), body.get("rows")
        if not isinstance(rows, list):
            raise Unreadable("rows must be a list.")
        for row in rows:
            self.sandbox.list_row(occurrence, row)
        return reply(state_view.occurrence(self.sandbox.campaigns.known(occurrence)))

    def _register(self, request: Request) -> Answer:
        body = request.fields()
        if not isinstance(body.get("url"), str):
            raise Unreadable("url must be a string.")
        listener = _order(Listener, {"channel": None} | body)
        self.sandbox.listeners.register(listener)
        return reply({})

    # --- Records ----------------------------------------------------------------------

    def _state(self, request: Request) -> Answer:
        return reply(state_view.state(self.sandbox))

    def _ledger(self, request: Request) -> Answer:
        return reply(asdict(self.sandbox.books(request.query.get("occurrence"))))

    def _rewards(self, request: Request) -> Answer:
        query = request.query
        occurrence = self.sandbox.campaigns.known(query.get("occurrence", ""))
        customer = query.get("customer")
        rows = occurrence.among([customer] if customer else None)
        skip = _whole(query.get("skip", "0"))
        shown = islice(rows, skip, skip + _MAX_SHOWN)
        rewards = [self._reward(occurrence, row) for row in shown]
        return reply({"total": len(rows), "rewards": rewards})

    def _reward(self, occurrence: Occurrence, row: Row) -> dict[str, object]:
        ledger = self.sandbox.platform.ledger
        count = ledger.count(occurrence.id, row.promotion or "", row.customer or "")
        return {"row": row.listed(), "credits": count, "redemption": row.reference}

    def _last(self, records: Iterable[Call | Posted], request: Request) -> Answer:
        count = max(1, _whole(request.query.get("last", "100")))
        return reply([one._asdict() for one in list(records)[-count:]])

    # --- Faults -----------------------------------------------------------------------

    def _faults(self, request: Request) -> Answer:
        return reply([fault.shown() for fault in self.sandbox.faults.waiting()])

    def _order_fault(self, request: Request) -> Answer:
        self.sandbox.faults.order(_order(Fault, request.fields()))
        return self._faults(request)

    def _clear_faults(self, request: Request) -> Answer:
        self.sandbox.faults.clear()
        return reply([])

    def _platform(self, request: Request) -> Answer:
        body = request.fields()
        platform = self.sandbox.platform
        if "capability" in body:
            platform.capability = Capability(str(body["capability"]))
        if body.get("forget_keys"):
            platform.forget_keys()
        return reply({"capability": platform.capability})

    def _reset(self, request: Request) -> Answer:
        self.reset()
        return reply({})

    def _call(self, what: Callable[..., None], request: Request) -> Answer:
        body = request.fields()
        occurrence = _occurrence(body)
        _order(what, body)
        return reply(state_view.occurrence(self.sandbox.campaigns.known(occurrence)))


def _order(what: Callable[..., Order], body: Mapping[str, object]) -> Order:
    """Call a class or a function with the fields of a body as its arguments."""
    check(what, body)
    try:
        return what(**body)
    except TypeError as error:
        # Without the function's name, for example `__init__()`.
        reason = str(error).partition("() ")[2] or error
        raise Unreadable(f"Invalid request: {reason}.") from error


def _occurrence(body: Mapping[str, object]) -> str | int:
    occurrence = body.get("occurrence")
    if not isinstance(occurrence, str | int):
        raise Unreadable("occurrence is missing.")
    return occurrence


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdecimal()):
        raise Unreadable(f"{value!r} is not a whole number.")
    return int(value)


def is_here(host: str) -> bool:
    """Return whether a `Host` header has a loopback address or `localhost`."""
    return is_loopback(urlsplit(f"//{host}").hostname or "")


def is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
