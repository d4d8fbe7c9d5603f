"""A sandbox in a thread, for tests: every method may be called from any thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from promoportal.sandbox.commands import Event, Launch, Trigger
from promoportal.sandbox.control import state_view
from promoportal.sandbox.faults import Fault
from promoportal.sandbox.ledger_comparison import Books
from promoportal.sandbox.operator_platform import Capability, Credit
from promoportal.sandbox.optimove.accepted_redemptions import Redeemed
from promoportal.sandbox.optimove.rate_limit import SlidingWindow
from promoportal.sandbox.optimove.registered_listeners import Listener
from promoportal.sandbox.optimove.sample_customers import Ids
from promoportal.sandbox.optimove.webhook_sender import Casing, Posted
from promoportal.sandbox.optimove.weighted_outcomes import UNLUCKY, Promotion, Reward
from promoportal.sandbox.server.http_server import Server
from promoportal.sandbox.simulation import Call, Options, Sandbox

Result = TypeVar("Result")
Waited = TypeVar("Waited")
_PATIENCE = 60.0


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

    def execute(
        self,
        *,
        customers: int = 20,
        promotions: Sequence[str | Promotion] = ("promo-17",),
        eligible: float = 0.8,
        statuses: Mapping[str, float] = UNLUCKY,
        channels: Sequence[int] = (505,),
        ids: Ids = "strings",
        seed: int | None = None,
        series: str | int | None = None,
        announce: bool = True,
    ) -> str:
        """Execute a scheduled campaign over generated customers; gives the occurrence."""
        launch = Launch(
            customers=customers,
            promotions=promotions,
            eligible=eligible,
            statuses=statuses,
            channels=channels,
            ids=ids,
            seed=seed,
            series=series,
            announce=announce,
        )
        return self._do(lambda sandbox: sandbox.execute(launch).id)

    def trigger(
        self,
        customers: int | Sequence[str | int] = 1,
        *,
        occurrence: str | int | None = None,
        promotions: Sequence[str | Promotion] = ("promo-17",),
        eligible: float = 1.0,
        statuses: Mapping[str, float] = UNLUCKY,
        channels: Sequence[int] = (505,),
        ids: Ids = "strings",
        casing: Casing = "alternate",
        listed_after: float = 0.0,
        seed: int | None = None,
        series: str | int | None = None,
        announce: bool = True,
    ) -> str:
        """Let so many customers, or these, trigger a campaign; gives the occurrence."""
        trigger = Trigger(
            customers=customers,
            occurrence=occurrence,
            promotions=promotions,
            eligible=eligible,
            statuses=statuses,
            channels=channels,
            ids=ids,
            casing=casing,
            listed_after=listed_after,
            seed=seed,
            series=series,
            announce=announce,
        )
        return self._do(lambda sandbox: sandbox.trigger(trigger).id)

    def campaign(self, plan: int, *, announce: bool = True) -> dict[str, Any]:
        """Execute a campaign of the scenario, every step; gives what came of it."""
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
        """Start an occurrence with nothing in it yet."""
        return self._do(
            lambda sandbox: (
                sandbox.campaigns.open(occurrence, channels=channels, series=series).id
            )
        )

    def assign(
        self,
        occurrence: str | int,
        customer: str | int,
        *,
        promotion: str = "promo-17",
        status: str = "Assigned",
        assignment_id: str | int | None = None,
        **fields: object,
    ) -> str:
        """
        List one row made by hand; gives its assignment id.

        `fields` are named as the vendor names them (`reward={...}`, `uniqueCode="U1"`)
        and replace what would be there. The occurrence is opened if need be.
        """
        return self._do(
            lambda sandbox: sandbox.assign(
                occurrence,
                customer,
                promotion=promotion,
                status=status,
                assignment_id=assignment_id,
                **fields,
            )
        )

    def list_row(self, occurrence: str | int, row: object) -> None:
        """List anything at all: a string, null, an object without its keys."""
        self._do(lambda sandbox: sandbox.list_row(occurrence, row))

    def change(
        self,
        occurrence: str | int,
        assignment: str,
        *,
        status: str | None = None,
        reward: Reward | None = None,
    ) -> None:
        """Let the next pass see another status, or another reward."""
        self._do(
            lambda sandbox: sandbox.change(
                occurrence, assignment, status=status, reward=reward
            )
        )

    def unlist(self, occurrence: str | int, assignment: str) -> None:
        """Let the next pass see this row no longer."""
        self._do(lambda sandbox: sandbox.unlist(occurrence, assignment))

    def announce(
        self,
        occurrence: str | int,
        *,
        event: int = 13,
        channels: Sequence[int] | None = None,
    ) -> None:
        """Send its notices (again): 13 once per channel, or 4."""
        self._do(
            lambda sandbox: sandbox.announce(occurrence, event=event, channels=channels)
        )

    def cancel(
        self, occurrence: str | int, *, relist: bool = False, announce: bool = True
    ) -> None:
        """Cancel it; `relist` lets its Assigned rows say Cancelled from now on."""
        self._do(
            lambda sandbox: sandbox.cancel(occurrence, relist=relist, announce=announce)
        )

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

    def books(self, occurrence: str | int | None = None) -> Books:
        """What both sides' books say; of one occurrence, also where they differ."""
        return self._do(lambda sandbox: sandbox.books(occurrence))

    def wait_for_notices(self, count: int = 0, *, timeout: float = 5.0) -> list[Posted]:
        """
        Wait until at least `count` were posted and none is on its way.

        :raises TimeoutError: if that takes too long
        """
        until = time.perf_counter() + timeout
        while not self._do(lambda sandbox: _all_posted(sandbox, count)):
            if time.perf_counter() > until:
                msg = f"Not all notices were posted within {timeout} s."
                raise TimeoutError(msg)
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
