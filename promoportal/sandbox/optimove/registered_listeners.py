"""Registered listeners: the addresses that receive webhooks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from promoportal.sandbox.journal import Keep, forget


class Listener(NamedTuple):
    """An address that receives webhooks of one event type, on one or all channels."""

    event: int
    channel: int | None
    url: str

    @property
    def shown(self) -> str:
        """The scheme and the host of the address, without its secret."""
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
        """Replace all listeners with those of an earlier process."""
        self._known = {(one.event, one.channel): one for one in listeners}

    def unregister(self, event: int, channel: int | None) -> None:
        # ASSUMED: without a channel, the listeners of all channels are removed.
        for key in list(self._known):
            if key[0] == event and channel in {None, key[1]}:
                del self._known[key]
        self._keep()

    def all(self) -> list[Listener]:
        return list(self._known.values())

    def of(self, event: int, channel: int | None) -> list[Listener]:
        """Return an event's listeners for a channel, or all of them if it is None."""
        return [
            listener
            for listener in self._known.values()
            if listener.event == event
            and (channel is None or listener.channel in {None, channel})
        ]

    def _keep(self) -> None:
        self.keep("listening", {"listeners": self.all()})
