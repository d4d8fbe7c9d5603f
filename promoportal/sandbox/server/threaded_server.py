"""A sandbox in a thread, for tests; every method may be called from any thread."""

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
    """A handle on a sandbox that is being served."""

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
        Start again without campaigns, listeners, faults and credits.

        `options` apply until the next reset: small pages, a short window, other keys.
        """
        self._do(lambda _: self._server.reset(options))

    # --- Optimove ---------------------------------------------------------------------

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
        """Execute a scheduled campaign for new customers; return the occurrence."""
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
        """Let customers, by number or ID, trigger a campaign; return the occurrence."""
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
        """Execute all steps of a campaign of the scenario; return the execution."""
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
        """Let customers of the scenario cause an event; return the executions."""
        order = Event(
            name=name, customers=customers, values=values or None, announce=announce
        )
        return self._wait(
            lambda sandbox: sandbox.happen(order),
            lambda executions: [state_view.execution(one) for one in executions],
        )

    def promotion(self, promotion: str, do: str | None = None) -> dict[str, Any]:
        """Activate, deactivate or archive a promotion, if requested, and return it."""

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
        """Start an occurrence without rows; return its ID."""
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
        List a row made by hand; return its assignment ID.

        `fields` have Optimove's names (`reward={...}`, `uniqueCode="U1"`) and replace
        the default values. The occurrence is opened if it does not exist.
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
        """List any value as a row: a string, null, an object without its keys."""
        self._do(lambda sandbox: sandbox.list_row(occurrence, row))

    def change(
        self,
        occurrence: str | int,
        assignment: str,
        *,
        status: str | None = None,
        reward: Reward | None = None,
    ) -> None:
        """Change the status or the reward that later fetches see."""
        self._do(
            lambda sandbox: sandbox.change(
                occurrence, assignment, status=status, reward=reward
            )
        )

    def unlist(self, occurrence: str | int, assignment: str) -> None:
        """Unlist a row, so that later fetches do not see it."""
        self._do(lambda sandbox: sandbox.unlist(occurrence, assignment))

    def announce(
        self,
        occurrence: str | int,
        *,
        event: int = 13,
        channels: Sequence[int] | None = None,
    ) -> None:
        """Send the webhooks of an occurrence (again): 13 once per channel, or 4."""
        self._do(
            lambda sandbox: sandbox.announce(occurrence, event=event, channels=channels)
        )

    def cancel(
        self, occurrence: str | int, *, relist: bool = False, announce: bool = True
    ) -> None:
        """Cancel an occurrence; `relist` changes its Assigned rows to Cancelled."""
        self._do(
            lambda sandbox: sandbox.cancel(occurrence, relist=relist, announce=announce)
        )

    def rows(self, occurrence: str | int) -> list[object]:
        """Return every row as Optimove would list it, regardless of limit and pages."""
        return self._do(
            lambda sandbox: [
                row.listed() for row in sandbox.campaigns.known(occurrence).rows
            ]
        )

    def register(self, event: int, url: str, *, channel: int | None = None) -> None:
        """Register a listener without a call of the API."""
        listener = Listener(event, channel, url)
        self._do(lambda sandbox: sandbox.listeners.register(listener))

    @property
    def listeners(self) -> list[Listener]:
        return self._do(lambda sandbox: sandbox.listeners.all())

    # --- Faults -----------------------------------------------------------------------

    def order(self, fault: Fault) -> None:
        """Order a fault."""
        self._do(lambda sandbox: sandbox.faults.order(fault))

    def clear_faults(self) -> None:
        self._do(lambda sandbox: sandbox.faults.clear())

    @property
    def faults(self) -> list[Fault]:
        """The ordered faults that have not ended."""
        return self._do(lambda sandbox: sandbox.faults.waiting())

    def become(self, capability: Capability | str) -> None:
        """Set whether the platform honours keys and answers look-ups."""
        new = Capability(capability)

        def change(sandbox: Sandbox) -> None:
            sandbox.platform.capability = new

        self._do(change)

    def forget_keys(self) -> None:
        """Let the platform forget all keys, as after a day; the credits stay."""
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
        """Optimove's rate limit, with `total`, `refused` and `most` in any window."""
        return self._do(lambda sandbox: sandbox.limit)

    def books(self, occurrence: str | int | None = None) -> Books:
        """Return both services' records; for one occurrence also the differences."""
        return self._do(lambda sandbox: sandbox.books(occurrence))

    def wait_for_notices(self, count: int = 0, *, timeout: float = 5.0) -> list[Posted]:
        """
        Wait until at least `count` webhooks were sent and none is pending.

        :raises TimeoutError: if that takes longer than `timeout` seconds
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
        """Run a coroutine in the sandbox's loop, with other steps in between."""

        async def do() -> Result:
            return then(await what(self._server.sandbox))

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(_PATIENCE)

    def _do(self, what: Callable[[Sandbox], Result]) -> Result:
        """Run a function in the sandbox's thread, as one step among the others."""
        done: Future[Result] = Future()

        def run() -> None:
            try:
                done.set_result(what(self._server.sandbox))
            except Exception as error:  # noqa: BLE001 - raised in the caller
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(_PATIENCE)


@contextmanager
def serving(
    options: Options | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[SandboxHandle]:
    """
    Serve a new sandbox from a thread as long as the block lasts.

    :raises OSError: if the port is taken
    """
    server = Server(options or Options(), host=host, port=port)
    life = _Lifetime(server)
    thread = threading.Thread(target=life.run, name="sandbox", daemon=True)
    thread.start()
    try:
        yield SandboxHandle(server, life.started.result(_PATIENCE))
    finally:
        life.end()
        thread.join(_PATIENCE)


class _Lifetime:
    """The lifetime of a server in its thread."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.started: Future[asyncio.AbstractEventLoop] = Future()
        self._over = asyncio.Event()

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 - raised in `serving`
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
