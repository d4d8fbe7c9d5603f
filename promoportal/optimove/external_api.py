"""The External API: listeners, and what ran on a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NoReturn, Self

from django.conf import settings

from promoportal import wire
from promoportal.optimove.contract import Contract, current
from promoportal.optimove.records import Wrong, identity, optional_text
from promoportal.wire import Json

# Errors that come as a bare word, and with a 2xx at times. CONFIRMED for these two; see
# docs/vendor.md. Closed by default: any other word is an answer that can't be read.
_KNOWN_WORDS: Mapping[str, type[wire.WireError]] = {
    "unauthorized": wire.Misconfigured,
    "bad request": wire.Rejected,
}


@dataclass(frozen=True, slots=True)
class RegisteredListener:
    """An address the vendor would call, as the vendor knows it."""

    event_type: str
    channel: str | None
    url: str


@dataclass(frozen=True, slots=True)
class ExecutedCampaign:
    """A campaign that the vendor says ran on a day."""

    occurrence: str
    status: str | None


class External:
    """The vendor's External API."""

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def register_listener(self, event_type: int, channel: int | None, url: str) -> None:
        """
        Have the vendor call `url`; without a channel, for all of them.

        :raises wire.WireError:
        """
        wanted = {**_listener(event_type, channel), "ListenerURL": url}
        self._change(self._calls.register, wanted)

    def unregister_listener(self, event_type: int, channel: int | None) -> None:
        """
        Have the vendor call no one.

        :raises wire.WireError:
        """
        self._change(self._calls.unregister, _listener(event_type, channel))

    def registered_listeners(self) -> tuple[RegisteredListener, ...]:
        """
        Ask whom the vendor would call.

        :raises wire.WireError: but never Unanswered
        """
        answer, rows = self._list(self._calls.registered, {})
        try:
            return tuple(_registered(row) for row in rows)
        except Wrong as wrong:
            raise _unreadable(answer.evidence, str(wrong)) from None

    def executed_campaigns(self, on: date) -> tuple[ExecutedCampaign, ...]:
        """
        Ask what ran on a day, to find an execution whose notice was lost.

        :raises wire.WireError: but never Unanswered
        """
        answer, rows = self._list(self._calls.executed, {"Date": on.isoformat()})
        try:
            return tuple(_executed(row) for row in rows)
        except Wrong as wrong:
            raise _unreadable(answer.evidence, str(wrong)) from None

    def _change(self, path: str, body: Json) -> None:
        # To register what is registered changes nothing: safe to repeat.
        try:
            answer = self._client.change("POST", path, safe_to_repeat=True, body=body)
        except wire.Malformed as error:
            _name(error)
        # Nothing, as a rule. Some word of thanks in an object is as good.
        if not isinstance(answer.body, dict | None):
            _name(_unreadable(answer.evidence, "It should be empty."))

    def _list(
        self, path: str, query: Mapping[str, str]
    ) -> tuple[wire.Answer, list[Json]]:
        try:
            answer = self._client.ask("GET", path, query=query, limit=32 * wire.MIB)
        except wire.Malformed as error:
            _name(error)
        rows = [] if answer.body is None else answer.body
        if not isinstance(rows, list):
            _name(_unreadable(answer.evidence, "It should be a list."))
        return answer, rows


def _listener(event_type: int, channel: int | None) -> dict[str, Json]:
    # Event type 5 must be registered without a channel: left out, not null.
    narrowed: dict[str, Json] = {} if channel is None else {"ChannelID": channel}
    return {"EventTypeID": event_type, **narrowed}


def _unreadable(evidence: wire.Evidence, why: str) -> wire.Malformed:
    return wire.Malformed(f"Optimove's answer breaks the contract. {why}", evidence)


def _name(error: wire.Malformed) -> NoReturn:
    """Raise an error by what its words say, if they are known, or else as it is."""
    words = error.answer.strip().strip('"')
    kind = _KNOWN_WORDS.get(words.lower())
    if kind is None:
        raise error
    problem = f"Optimove answered {error.status}: {words}"
    raise kind(problem, error.evidence) from None


def _registered(row: Json) -> RegisteredListener:
    told = _folded(row)
    return RegisteredListener(
        event_type=identity(told.get("eventtypeid"), "EventTypeID"),
        channel=optional_text(told.get("channelid"), "ChannelID"),
        url=_url(told.get("listenerurl")),
    )


def _url(said: Json) -> str:
    if not isinstance(said, str):
        raise Wrong("ListenerURL is not text.")
    return wire.clean_text(said)


def _executed(row: Json) -> ExecutedCampaign:
    told = _folded(row)
    return ExecutedCampaign(
        occurrence=identity(told.get("campaignid"), "CampaignID"),
        status=optional_text(told.get("status"), "Status"),
    )


def _folded(row: Json) -> dict[str, Json]:
    """Keys in one case: the vendor writes ChannelID and ChannelId."""
    if not isinstance(row, dict):
        raise Wrong("One of its rows is not an object.")
    return {key.lower(): value for key, value in row.items()}
