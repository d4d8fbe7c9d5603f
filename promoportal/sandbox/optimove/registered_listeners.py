"""Who wants to hear of what: the listeners registered for notices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from promoportal.sandbox.journal import Keep, forget


class Listener(NamedTuple):
    """An address for one kind of event, on one channel or on all."""

    event: int
    channel: int | None
    url: str

    @property
    def shown(self) -> str:
        """The address without its secret: where it goes, not how to get in."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/..."


@dataclass
class Listeners:
    """All of them, one for each event type and channel."""

    keep: Keep = forget
    _known: dict[tuple[int, int | None], Listener] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._known)

    def register(self, listener: Listener) -> None:
        # ASSUMED: a second one for the same event and channel replaces the first.
        self.know([listener])
        self._keep()

    def know(self, listeners: Iterable[Listener]) -> None:
        self._known |= {(one.event, one.channel): one for one in listeners}

    def forget_all(self) -> None:
        self._known.clear()

    def unregister(self, event: int, channel: int | None) -> None:
        # ASSUMED: a channel narrows it, and no channel means every one.
        for key in list(self._known):
            if key[0] == event and channel in {None, key[1]}:
                del self._known[key]
        self._keep()

    def all(self) -> list[Listener]:
        return list(self._known.values())

    def of(self, event: int, channel: int | None) -> list[Listener]:
        """Those to be told; an event without a channel is told to every one."""
        return [
            listener
            for listener in self._known.values()
            if listener.event == event
            and (channel is None or listener.channel in {None, channel})
        ]

    def _keep(self) -> None:
        self.keep("listening", {"listeners": self.all()})
