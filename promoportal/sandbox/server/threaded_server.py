"""A sandbox in a thread, for tests. Every thread may call the methods of its handle."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from promoportal.sandbox.commands import Event, Launch, Trigger
from promoportal.sandbox.control import state_view
from promoportal.sandbox.faults import Fault
from promoportal.sandbox.operator_platform import Capability, Credit
from promoportal.sandbox.optimove.accepted_redemptions import Redeemed
from promoportal.sandbox.optimove.occurrences import Occurrence
from promoportal.sandbox.optimove.rate_limit import SlidingWindow
from promoportal.sandbox.optimove.registered_listeners import Listener
from promoportal.sandbox.optimove.webhook_sender import Posted
from promoportal.sandbox.server.http_server import Server
from promoportal.sandbox.simulation import Call, Options, Sandbox

Order = TypeVar("Order")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
Waited = TypeVar("Waited")
_PATIENCE = 60.0


def _in_its_thread(
    method: Callable[Concatenate[Sandbox, Arguments], Result],
) -> Callable[Concatenate[SandboxHandle, Arguments], Result]:
    """Return a method of the handle that calls a method in the sandbox's thread."""

    @wraps(method)
    def ordered(
        handle: SandboxHandle, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        return handle._do(lambda sandbox: method(sandbox, *args, **kwargs))

    return ordered


def _ordering(
    kind: Callable[Arguments, Order], execute: Callable[[Sandbox, Order], Occurrence]
) -> Callable[Concatenate[SandboxHandle, Arguments], str]:
    """Return a method that executes a command and returns the execution's ID."""

    def ordered(
        handle: SandboxHandle, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> str:
        order = kind(*args, **kwargs)
        return handle._do(lambda sandbox: execute(sandbox, order).id)

    return ordered


class SandboxHandle:
    """Access to a sandbox that runs in another thread."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self.url = server.url
        self.optimove_url = f"{server.url}/optimove"
        self.promotions_url = f"{server.url}/promotions"
        self.platform_url = f"{server.url}/platform"
        self.control_url = f"{server.url}/control"
        self.api_key = server.options.api_key
        self.platform_token = server.options.platform_token

    def reset(self, options: Options | None = None) -> None:
        """
        Replace the sandbox with an empty one.

        :param options: the settings until the next reset; None: those of the server
        """
        self._do(lambda _: self._server.reset(options))

    # --- Optimove ---------------------------------------------------------------------

    execute = _ordering(Launch, Sandbox.execute)
    trigger = _ordering(Trigger, Sandbox.trigger)

    def campaign(self, plan: int, *, announce: bool = True) -> dict[str, Any]:
        """Execute all steps of a scenario's campaign, and return the execution."""
        return self._wait(
            lambda sandbox: sandbox.required_tenant.execute(plan, announce=announce),
            state_view.execution,
        )

    def event(
        self,
        name: str,
        customers: int | Sequence[str | int] | None = None,
        *,
        announce: bool = True,
        **values: object,
    ) -> list[dict[str, Any]]:
        """Trigger an event for customers of the scenario, and return the executions."""
        order = Event(
            name=name, customers=customers, values=values or None, announce=announce
        )
        return self._wait(
            lambda sandbox: sandbox.happen(order),
            lambda executions: [state_view.execution(one) for one in executions],
        )

    def promotion(self, promotion: str, do: str | None = None) -> dict[str, Any]:
        """Return a promotion. If `do` is set, first change the promotion's state."""

        def look(sandbox: Sandbox) -> dict[str, Any]:
            offers = sandbox.required_tenant.offers
            offer = offers.move(promotion, do) if do else offers.known(promotion)
            return state_view.offer(offer, sandbox.redemptions)

        return self._do(look)

    def open(
        self,
        occurrence: str | int | None = None,
        *,
        channels: Sequence[int] = (505,),
        series: str | int | None = None,
    ) -> str:
        """Start an execution without rows, unless it exists already; return its ID."""
        return self._do(
            lambda sandbox: (
                sandbox.campaigns.open(occurrence, channels=channels, series=series).id
            )
        )

    assign = _in_its_thread(Sandbox.assign)
    list_row = _in_its_thread(Sandbox.list_row)
    change = _in_its_thread(Sandbox.change)
    unlist = _in_its_thread(Sandbox.unlist)
    announce = _in_its_thread(Sandbox.announce)
    cancel = _in_its_thread(Sandbox.cancel)
    books = _in_its_thread(Sandbox.books)

    def rows(self, occurrence: str | int) -> list[object]:
        """Return all rows of an execution in Optimove's format."""
        return self._do(
            lambda sandbox: [
                row.listed() for row in sandbox.campaigns.known(occurrence).rows
            ]
        )

    def register(self, event: int, url: str, *, channel: int | None = None) -> None:
        """Register a listener without a call to the API."""
        listener = Listener(event, channel, url)
        self._do(lambda sandbox: sandbox.listeners.register(listener))

    @property
    def listeners(self) -> list[Listener]:
        return self._do(lambda sandbox: sandbox.listeners.all())

    # --- Faults -----------------------------------------------------------------------

    def order(self, fault: Fault) -> None:
        self._do(lambda sandbox: sandbox.faults.order(fault))

    def clear_faults(self) -> None:
        self._do(lambda sandbox: sandbox.faults.clear())

    @property
    def faults(self) -> list[Fault]:
        return self._do(lambda sandbox: sandbox.faults.waiting())

    def become(self, capability: Capability | str) -> None:
        """Set whether the platform honours idempotency keys and answers lookups."""
        new = Capability(capability)

        def change(sandbox: Sandbox) -> None:
            sandbox.platform.capability = new

        self._do(change)

    def forget_keys(self) -> None:
        """Remove all idempotency keys from the platform; the credits stay."""
        self._do(lambda sandbox: sandbox.platform.forget_keys())

    # --- Records ----------------------------------------------------------------------

    @property
    def credits(self) -> list[Credit]:
        return self._do(lambda sandbox: list(sandbox.platform.ledger.credits))

    @property
    def redemptions(self) -> list[Redeemed]:
        return self._do(lambda sandbox: list(sandbox.redemptions.accepted.values()))

    @property
    def calls(self) -> list[Call]:
        """The last requests to the simulated services, without keys and bodies."""
        return self._do(lambda sandbox: list(sandbox.calls))

    @property
    def notices(self) -> list[Posted]:
        """The webhooks that were sent, with the listeners' answers."""
        return self._do(lambda sandbox: list(sandbox.notices.posted))

    @property
    def rate(self) -> SlidingWindow:
        """Optimove's rate limit, with its counts `total`, `refused` and `most`."""
        return self._do(lambda sandbox: sandbox.limit)

    def wait_for_notices(self, count: int = 0, *, timeout: float = 5.0) -> list[Posted]:
        """Wait until at least `count` webhooks were sent and none is pending."""
        until = time.perf_counter() + timeout
        while not self._do(lambda sandbox: _all_posted(sandbox, count)):
            if time.perf_counter() > until:
                msg = f"Not all webhooks were sent within {timeout} seconds."
                raise TimeoutError(msg)
            time.sleep(0.002)
        return self.notices

    def _wait(
        self,
        what: Callable[[Sandbox], Coroutine[Any, Any, Waited]],
        then: Callable[[Waited], Result],
    ) -> Result:
        """Run a coroutine in the sandbox's thread; return `then` of its result."""

        async def do() -> Result:
            return then(await what(self._server.sandbox))

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(_PATIENCE)

    def _do(self, what: Callable[[Sandbox], Result]) -> Result:
        """Run a function in the sandbox's thread, and return its result."""

        async def do() -> Result:
            return what(self._server.sandbox)

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(_PATIENCE)


@contextmanager
def serving(
    options: Options | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[SandboxHandle]:
    """Serve a new sandbox from a thread until the `with` block ends."""
    server = Server(options or Options(), host=host, port=port)
    started: Future[asyncio.AbstractEventLoop] = Future()
    over = asyncio.Event()
    thread = threading.Thread(
        target=_run, args=(server, started, over), name="sandbox", daemon=True
    )
    thread.start()
    loop = started.result(_PATIENCE)
    try:
        yield SandboxHandle(server, loop)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(_PATIENCE)


def _run(
    server: Server, started: Future[asyncio.AbstractEventLoop], over: asyncio.Event
) -> None:
    async def serve() -> None:
        async with server:
            started.set_result(asyncio.get_running_loop())
            await over.wait()

    try:
        asyncio.run(serve())
    except Exception as error:  # noqa: BLE001 - raised in `serving`
        started.set_exception(error)


def _all_posted(sandbox: Sandbox, count: int) -> bool:
    return not sandbox.notices.pending and len(sandbox.notices.posted) >= count
