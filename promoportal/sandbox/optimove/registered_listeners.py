"""Registered listeners: the addresses that receive webhooks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from promoportal.sandbox.journal import Keep, forget


class Listener(NamedTuple):
    """An address for one event type, on one channel or on all."""

    event: int
    channel: int | None
    url: str

    @property
    def shown(self) -> str:
        """The address without its secret: scheme and host only."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/..."


@dataclass
class Listeners:
    """All listeners, one for each event type and channel."""

    keep: Keep = forget
    _known: dict[tuple[int, int | None], Listener] = field(default_factory=dict)

    def register(self, listener: Listener) -> None:
        # ASSUMED: a second listener for the same event and channel replaces the first.
        self._known[listener.event, listener.channel] = listener
        self._keep()

    def restore(self, listeners: Iterable[Listener]) -> None:
        """Replace all listeners by those that an earlier process had."""
        self._known = {(one.event, one.channel): one for one in listeners}

    def unregister(self, event: int, channel: int | None) -> None:
        # ASSUMED: of this channel only; without a channel, of every channel.
        for key in list(self._known):
            if key[0] == event and channel in {None, key[1]}:
                del self._known[key]
        self._keep()

    def all(self) -> list[Listener]:
        return list(self._known.values())

    def of(self, event: int, channel: int | None) -> list[Listener]:
        """Return the listeners of an event on a channel; None: on any channel."""
        return [
            listener
            for listener in self._known.values()
            if listener.event == event
            and (channel is None or listener.channel in {None, channel})
        ]

    def _keep(self) -> None:
        self.keep("listening", {"listeners": self.all()})
