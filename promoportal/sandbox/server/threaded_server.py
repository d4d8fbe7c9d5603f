"""A sandbox in a thread, for tests: every method may be called from any thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

from promoportal.sandbox.commands import (
    Event,
    Launch,
    LaunchOrder,
    Trigger,
    TriggerOrder,
)
from promoportal.sandbox.control import state_view
from promoportal.sandbox.faults import Fault
from promoportal.sandbox.operator_platform import Capability, Credit
from promoportal.sandbox.optimove.accepted_redemptions import Redeemed
from promoportal.sandbox.optimove.rate_limit import SlidingWindow
from promoportal.sandbox.optimove.registered_listeners import Listener
from promoportal.sandbox.optimove.webhook_sender import Posted
from promoportal.sandbox.server.http_server import Server
from promoportal.sandbox.simulation import Call, Options, Sandbox

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
Waited = TypeVar("Waited")
_PATIENCE = 60.0


def _in_its_thread(
    method: Callable[Concatenate[Sandbox, Arguments], Result],
) -> Callable[Concatenate[SandboxHandle, Arguments], Result]:
    """Make a method of the sandbox one of the handle, with the same arguments."""

    @wraps(method)
    def ordered(
        handle: SandboxHandle, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        return handle._do(lambda sandbox: method(sandbox, *args, **kwargs))

    return ordered


class SandboxHandle:
    """The handle on a sandbox that is being served."""

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
        Begin anew: no campaigns, no listeners, no faults, empty books.

        `options` hold until the next reset: small pages, a short window, other keys.
        """
        self._do(lambda _: self._server.reset(options))

    # --- The vendor -------------------------------------------------------------------

    def execute(self, *, customers: int = 20, **order: Unpack[LaunchOrder]) -> str:
        """Execute a scheduled campaign over generated customers; gives the occurrence."""
        launch = Launch(customers=customers, **order)
        return self._do(lambda sandbox: sandbox.execute(launch).id)

    def trigger(
        self,
        customers: int | Sequence[str | int] = 1,
        **order: Unpack[TriggerOrder],
    ) -> str:
        """Let so many customers, or these, trigger a campaign; gives the occurrence."""
        trigger = Trigger(customers=customers, **order)
        return self._do(lambda sandbox: sandbox.trigger(trigger).id)

    def campaign(self, plan: int, *, announce: bool = True) -> dict[str, Any]:
        """Execute a campaign of the scenario, every step; gives what came of it."""
        return self._wait(
            lambda sandbox: sandbox.at_work.execute(plan, announce=announce),
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
        """Let customers of the scenario do something; gives what that triggered."""
        order = Event(
            name=name, customers=customers, values=values or None, announce=announce
        )
        return self._wait(
            lambda sandbox: sandbox.happen(order),
            lambda executions: [state_view.execution(one) for one in executions],
        )

    def promotion(self, promotion: str, do: str | None = None) -> dict[str, Any]:
        """Look at a promotion of the scenario; activate, deactivate or archive it."""

        def look(sandbox: Sandbox) -> dict[str, Any]:
            offers = sandbox.at_work.offers
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
        """Start an occurrence with nothing in it yet."""
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
        """Every row as the vendor would list it, past any limit or page."""
        return self._do(
            lambda sandbox: [
                row.listed() for row in sandbox.campaigns.known(occurrence).rows
            ]
        )

    def register(self, event: int, url: str, *, channel: int | None = None) -> None:
        """Register a listener without asking the API."""
        listener = Listener(event, channel, url)
        self._do(lambda sandbox: sandbox.listeners.register(listener))

    @property
    def listeners(self) -> list[Listener]:
        return self._do(lambda sandbox: sandbox.listeners.all())

    # --- Bad days ---------------------------------------------------------------------

    def order(self, fault: Fault) -> None:
        """Order a fault."""
        self._do(lambda sandbox: sandbox.faults.order(fault))

    def clear_faults(self) -> None:
        self._do(lambda sandbox: sandbox.faults.clear())

    @property
    def faults(self) -> list[Fault]:
        """Those that are ordered and have not all happened yet."""
        return self._do(lambda sandbox: sandbox.faults.waiting())

    def become(self, capability: Capability | str) -> None:
        """Let the platform honour keys and answer look-ups, or not."""
        becoming = Capability(capability)

        def change(sandbox: Sandbox) -> None:
            sandbox.platform.capability = becoming

        self._do(change)

    def forget_keys(self) -> None:
        """Let the platform remember no key, as after a day; the credits stay."""
        self._do(lambda sandbox: sandbox.platform.forget_keys())

    # --- The books --------------------------------------------------------------------

    @property
    def credits(self) -> list[Credit]:
        return self._do(lambda sandbox: list(sandbox.platform.ledger.credits))

    @property
    def redemptions(self) -> list[Redeemed]:
        return self._do(lambda sandbox: list(sandbox.redemptions.accepted.values()))

    @property
    def calls(self) -> list[Call]:
        """The last requests to the far sides, without keys and bodies."""
        return self._do(lambda sandbox: list(sandbox.calls))

    @property
    def notices(self) -> list[Posted]:
        """The notices that were posted, and what the listeners answered."""
        return self._do(lambda sandbox: list(sandbox.notices.posted))

    @property
    def rate(self) -> SlidingWindow:
        """How the vendor's limit fared: `total`, `refused`, `most` in any window."""
        return self._do(lambda sandbox: sandbox.limit)

    def wait_for_notices(self, count: int = 0, *, timeout: float = 5.0) -> list[Posted]:
        """
        Wait until at least `count` were posted and none is on its way.

        :raises TimeoutError: if that takes too long
        """
        until = time.perf_counter() + timeout
        while not self._do(lambda sandbox: _all_posted(sandbox, count)):
            if time.perf_counter() > until:
                raise TimeoutError(f"Not all notices were posted within {timeout} s.")
            time.sleep(0.002)
        return self.notices

    def _wait(
        self,
        what: Callable[[Sandbox], Coroutine[Any, Any, Waited]],
        then: Callable[[Waited], Result],
    ) -> Result:
        """Let it be done step by step, with others in between."""

        async def do() -> Result:
            return then(await what(self._server.sandbox))

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(_PATIENCE)

    def _do(self, what: Callable[[Sandbox], Result]) -> Result:
        """Let the sandbox's own thread do it, so that it is one step among the others."""
        done: Future[Result] = Future()

        def run() -> None:
            try:
                done.set_result(what(self._server.sandbox))
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(_PATIENCE)


@contextmanager
def serving(
    options: Options | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[SandboxHandle]:
    """
    Serve a fresh sandbox from a thread, as long as the block lasts.

    :raises OSError: if the port is taken
    """
    server = Server(options or Options(), host=host, port=port)
    life = _Life(server)
    thread = threading.Thread(target=life.run, name="sandbox", daemon=True)
    thread.start()
    try:
        yield SandboxHandle(server, life.started.result(_PATIENCE))
    finally:
        life.end()
        thread.join(_PATIENCE)


class _Life:
    """A server's time in its thread."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.started: Future[asyncio.AbstractEventLoop] = Future()
        self._over = asyncio.Event()

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - it belongs to who wanted the box
            self.started.set_exception(error)

    def end(self) -> None:
        if not self.started.exception():
            self.started.result().call_soon_threadsafe(self._over.set)

    async def _serve(self) -> None:
        async with self.server:
            self.started.set_result(asyncio.get_running_loop())
            await self._over.wait()


def _all_posted(sandbox: Sandbox, count: int) -> bool:
    return not sandbox.notices.pending and len(sandbox.notices.posted) >= count
