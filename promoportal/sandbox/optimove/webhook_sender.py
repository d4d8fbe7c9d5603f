"""
The webhooks to listeners, and their delivery.

CONFIRMED: event 13 is sent once for each channel. Event 11 is sent for each customer,
in camelCase or PascalCase. Webhooks are not signed. A failed delivery is not repeated,
so a listener that is down misses the webhook.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from promoportal.sandbox.engine import NOTHING
from promoportal.sandbox.faults import NOTICES, ON_NOTICES, Faults, Way
from promoportal.sandbox.optimove.occurrences import Occurrence
from promoportal.sandbox.optimove.registered_listeners import Listener, Listeners

CANCELLED = 4
TRIGGERED = 11
EXECUTED = 13
Casing = Literal["alternate", "camel", "pascal"]

_MAX_THREADS = 16
_REMEMBERED = 20_000


class Posted(NamedTuple):
    """One delivery of a webhook, and the listener's answer."""

    event: int
    to: str  # the listener's address without its secret
    body: dict[str, object]
    at: float
    status: int | None  # None: no response
    problem: str


class _Posting(NamedTuple):
    number: int  # in the order of the announcements
    listener: Listener
    body: dict[str, object]


# A function that posts a body to an address and returns the status of the response. It
# raises OSError or TimeoutError if there is no response.
Post = Callable[[str, bytes], Awaitable[int]]


@dataclass
class Notices:
    """The webhooks to all listeners: those sent, and those still to be sent."""

    listeners: Listeners
    faults: Faults
    post: Post
    posted: deque[Posted] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    pending: int = 0
    announced: int = 0
    _ready: deque[_Posting] = field(default_factory=deque)
    _behind: list[_Posting] = field(default_factory=list)
    _posters: set[asyncio.Task[None]] = field(default_factory=set)
    _timers: set[asyncio.TimerHandle] = field(default_factory=set)

    def announce_executed(
        self, occurrence: Occurrence, channels: Sequence[int] | None = None
    ) -> None:
        """
        Send event 13 once for each channel.

        ASSUMED: the webhooks are sent even if no customer remains.
        """
        body = _stamped(EXECUTED, occurrence)
        for channel in occurrence.channels if channels is None else channels:
            self._announce(EXECUTED, channel, body | {"ChannelID": channel})

    def announce_cancelled(self, occurrence: Occurrence) -> None:
        """Send event 4. ASSUMED: the body is that of event 13 without the channel."""
        self._announce(CANCELLED, None, _stamped(CANCELLED, occurrence))

    def announce_triggered(
        self,
        occurrence: Occurrence,
        customer: str | int,
        codes: list[str],
        *,
        pascal: bool,
        values: Mapping[str, object] = NOTHING,
    ) -> None:
        """Send event 11 for one customer, once for each channel."""
        more = {f"event_{name}": _as_json(value) for name, value in values.items()}
        for channel in occurrence.channels:
            body = _triggered(occurrence, customer, codes, channel, pascal=pascal)
            self._announce(TRIGGERED, channel, body | more)

    async def close(self) -> None:
        """Cancel all deliveries, also those that are running."""
        for timer in self._timers:
            timer.cancel()
        self._ready.clear()
        posters = list(self._posters)
        for poster in posters:
            poster.cancel()
        await asyncio.gather(*posters, return_exceptions=True)

    def _announce(
        self, event: int, channel: int | None, body: dict[str, object]
    ) -> None:
        for listener in self.listeners.of(event, channel):
            fault = self.faults.take(NOTICES, str(event))
            for way in ON_NOTICES[fault.kind](fault) if fault else [Way()]:
                self.announced += 1
                self._send(_Posting(self.announced, listener, body), way)

    def _send(self, posting: _Posting, way: Way) -> None:
        self.pending += 1
        if way.behind_next:
            self._behind.append(posting)
            self._later(way.after, lambda: self._overtaken(posting))
        elif way.after:
            self._later(way.after, lambda: self._put(posting))
        else:
            self._put(posting)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            then()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)

    def _put(self, posting: _Posting) -> None:
        self._ready.append(posting)
        if len(self._posters) < _MAX_THREADS:
            self._posters.add(asyncio.create_task(self._post_all()))

    async def _post_all(self) -> None:
        while self._ready:
            posting = self._ready.popleft()
            self.posted.append(await self._try(posting))
            self.pending -= 1
            self._send_overtaken(posting)
        # Not in a callback: the next `_put` must see at once that this task has ended.
        if (task := asyncio.current_task()) is not None:
            self._posters.discard(task)

    async def _try(self, posting: _Posting) -> Posted:
        status, problem = None, ""
        try:
            body = json.dumps(posting.body, default=str).encode()
            status = await self.post(posting.listener.url, body)
        except (OSError, TimeoutError, ValueError) as error:
            problem = type(error).__name__
        to, event = posting.listener.shown, posting.listener.event
        return Posted(event, to, posting.body, time.time(), status, problem)

    def _overtaken(self, posting: _Posting) -> None:
        if posting in self._behind:
            self._behind.remove(posting)
            self._put(posting)

    def _send_overtaken(self, passed: _Posting) -> None:
        for posting in list(self._behind):
            if posting.number < passed.number:
                self._overtaken(posting)


def _triggered(
    occurrence: Occurrence,
    customer: str | int,
    codes: list[str],
    channel: int,
    *,
    pascal: bool,
) -> dict[str, object]:
    """
    Return the body of event 11 for one customer and channel.

    CONFIRMED: the event type may be missing, and the body may contain parameters of the
    trigger. ASSUMED: the names of these parameters begin with `event_`.
    """
    body: dict[str, object] = {
        "campaignID": occurrence.id,
        "channelID": channel,
        "templateID": 12,
        "customerID": customer,
        "promoCode": codes,
        "notes": '{"duration":7}',
    }
    if not pascal:
        return body
    body = {name[0].upper() + name[1:]: value for name, value in body.items()}
    return body | {"PromoCode": ",".join(codes), "event_device_type": "mobile"}


def _as_json(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _stamped(event: int, occurrence: Occurrence) -> dict[str, object]:
    return {
        "EventTypeID": event,
        "TimeStamp": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "CampaignID": occurrence.number,
    }
