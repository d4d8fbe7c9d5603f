"""A client of Optimove's External API: listeners, and the campaigns of a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from typing import NoReturn, Self, TypeVar

from django.conf import settings

from promoportal import wire
from promoportal.optimove.contract import Contract, current
from promoportal.optimove.records import (
    Wrong,
    identity,
    malformed,
    optional_text,
    reading,
)
from promoportal.wire import Json

_T = TypeVar("_T")
_Fields = dict[str, Json]
# Errors that Optimove sends as a bare word, sometimes with a 2xx. CONFIRMED for these
# two: see docs/vendor.md. A response with another word is malformed.
_KNOWN_WORDS: Mapping[str, type[wire.WireError]] = {
    "unauthorized": wire.Misconfigured,
    "bad request": wire.Rejected,
}


@dataclass(frozen=True, slots=True)
class RegisteredListener:
    """A listener that is registered with Optimove."""

    event_type: str
    channel: str | None
    url: str


@dataclass(frozen=True, slots=True)
class ExecutedCampaign:
    """A campaign that Optimove executed on a day."""

    occurrence: str
    status: str | None


class External(AbstractContextManager["External", None]):
    """A client of Optimove's External API."""

    def __init__(
        self, address: str, *, key: str, contract: Contract, seconds: float = 15.0
    ) -> None:
        self._calls = contract.external
        self._client = wire.Client(
            address,
            side="vendor",
            name="Optimove",
            secrets={self._calls.key_header: key},
            seconds=seconds,
            later=contract.vendor.retry,
        )

    @classmethod
    def from_settings(cls) -> Self:
        return cls(
            settings.OPTIMOVE_API_URL,
            key=settings.OPTIMOVE_API_KEY,
            contract=current(),
        )

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def register_listener(self, event_type: int, channel: int | None, url: str) -> None:
        """
        Register `url` with Optimove for one channel, or for all if `channel` is None.

        :raises wire.WireError: if the call fails
        """
        wanted = {**_listener(event_type, channel), "ListenerURL": url}
        self._change(self._calls.register, wanted)

    def unregister_listener(self, event_type: int, channel: int | None) -> None:
        """
        Unregister the listener of an event type and channel.

        :raises wire.WireError: if the call fails
        """
        self._change(self._calls.unregister, _listener(event_type, channel))

    def registered_listeners(self) -> tuple[RegisteredListener, ...]:
        """
        Return the listeners that are registered with Optimove.

        :raises wire.WireError: if the call fails; never Unanswered
        """
        return self._list(self._calls.registered, {}, _registered)

    def executed_campaigns(self, on: date) -> tuple[ExecutedCampaign, ...]:
        """
        Return the campaigns that Optimove executed on a day.

        :raises wire.WireError: if the call fails; never Unanswered
        """
        query = {"Date": on.isoformat()}
        return self._list(self._calls.executed, query, _executed)

    def _change(self, path: str, body: Json) -> None:
        # A second call of the same kind changes nothing, so it is safe to repeat.
        try:
            answer = self._client.change("POST", path, safe_to_repeat=True, body=body)
        except wire.Malformed as error:
            _raise_by_word(error)
        # The response is usually empty. An object is accepted as well.
        if not isinstance(answer.body, dict | None):
            _raise_by_word(malformed(answer, "It should be empty."))

    def _list(
        self, path: str, query: Mapping[str, str], read: Callable[[_Fields], _T]
    ) -> tuple[_T, ...]:
        try:
            answer = self._client.ask("GET", path, query=query, limit=32 * wire.MIB)
        except wire.Malformed as error:
            _raise_by_word(error)
        rows = [] if answer.body is None else answer.body
        if not isinstance(rows, list):
            _raise_by_word(malformed(answer, "It should be a list."))
        with reading(answer):
            return tuple(read(_folded(row)) for row in rows)


def _listener(event_type: int, channel: int | None) -> dict[str, Json]:
    # Without a channel, the field is left out, not null: event type 5 requires this.
    narrowed: dict[str, Json] = {} if channel is None else {"ChannelID": channel}
    return {"EventTypeID": event_type, **narrowed}


def _raise_by_word(error: wire.Malformed) -> NoReturn:
    """Raise the error that a known word in the response means; otherwise `error`."""
    words = error.answer.strip().strip('"')
    kind = _KNOWN_WORDS.get(words.lower())
    if kind is None:
        raise error
    problem = f"Optimove answered {error.status}: {words}"
    raise kind(problem, error.evidence) from None


def _registered(fields: _Fields) -> RegisteredListener:
    return RegisteredListener(
        event_type=identity(fields.get("eventtypeid"), "EventTypeID"),
        channel=optional_text(fields.get("channelid"), "ChannelID"),
        url=_url(fields.get("listenerurl")),
    )


def _url(value: Json) -> str:
    if not isinstance(value, str):
        raise Wrong("ListenerURL is not text.")
    return wire.clean_text(value)


def _executed(fields: _Fields) -> ExecutedCampaign:
    return ExecutedCampaign(
        occurrence=identity(fields.get("campaignid"), "CampaignID"),
        status=optional_text(fields.get("status"), "Status"),
    )


def _folded(row: Json) -> _Fields:
    """Return a row with keys in lower case: Optimove writes ChannelID and ChannelId."""
    if not isinstance(row, dict):
        raise Wrong("One of its rows is not an object.")
    return {key.lower(): value for key, value in row.items()}
