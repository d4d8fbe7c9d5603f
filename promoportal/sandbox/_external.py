"""
The External API: listeners, and what is to be known of campaigns.

CONFIRMED: PascalCase, both styles of path in any case, errors that are bare JSON
strings, 200 with an empty body where there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote, urlsplit

from promoportal.sandbox._campaigns import Campaigns, Occurrence
from promoportal.sandbox._listeners import Listener, Listeners
from promoportal.sandbox._messages import (
    Answer,
    Asked,
    Handler,
    Unreadable,
    find,
    said,
)
from promoportal.sandbox._outcomes import ASSIGNED
from promoportal.sandbox._rows import Row

EVENTS = frozenset({1, 2, 3, 4, 5, 11, 13, 14})
_WITHOUT_CHANNEL = 5  # CONFIRMED: conditional execution is registered for no channel
_LARGEST_PAGE = 1_000  # ASSUMED
_CONTROL_GROUP = 1  # CONFIRMED: ActionID 1 gets nothing
_OFFERED = 2


@dataclass
class External:
    """The API, without its key and its limit."""

    campaigns: Campaigns
    listeners: Listeners

    def answer(self, asked: Asked) -> Answer:
        path = asked.path.lower().removeprefix("current/")
        handler = find(self._routes, asked, path)
        if isinstance(handler, Answer):
            return handler
        try:
            return handler(asked)
        except Unreadable:
            return said("Bad Request", 400)

    @property
    def _routes(self) -> Mapping[str, Handler]:
        return {
            "POST general/registereventlistener": self._register,
            "POST general/unregistereventlistener": self._unregister,
            "GET general/getregisteredeventlisteners": self._registered,
            "GET actions/getcampaigndetails": self._campaign,
            "GET actions/getexecutedcampaigndetails": self._executed,
            "GET customers/getcustomerexecutiondetailsbycampaign": self._customers,
        }

    def _register(self, asked: Asked) -> Answer:
        body = _folded(asked)
        listener = Listener(_event(body), _channel(body), _address(body))
        if listener.event == _WITHOUT_CHANNEL and listener.channel is not None:
            raise Unreadable
        self.listeners.register(listener)
        return Answer()

    def _unregister(self, asked: Asked) -> Answer:
        body = _folded(asked)
        self.listeners.unregister(_event(body), _channel(body))
        return Answer()

    def _registered(self, asked: Asked) -> Answer:
        return said([_listed(listener) for listener in self.listeners.all()])

    def _campaign(self, asked: Asked) -> Answer:
        occurrence = self.campaigns.get(_query(asked).get("campaignid", ""))
        # ASSUMED: a list, like its sibling.
        return said([_details(occurrence)]) if occurrence else said([])

    def _executed(self, asked: Asked) -> Answer:
        day = _query(asked).get("date", "")
        return said(
            [
                _details(occurrence)
                for occurrence in self.campaigns
                if f"{occurrence.started_at:%Y-%m-%d}" == day
            ]
        )

    def _customers(self, asked: Asked) -> Answer:
        query = _query(asked)
        occurrence = self.campaigns.get(query.get("campaignid", ""))
        channel = _number(query.get("channelid"))
        if occurrence is None or channel not in occurrence.channels:
            return said([])
        return said([_execution(row, channel) for row in _slice(occurrence, query)])


def _folded(asked: Asked) -> dict[str, object]:
    """The body, its names in lower case."""
    return {name.lower(): value for name, value in asked.fields().items()}


def _query(asked: Asked) -> dict[str, str]:
    return {name.lower(): value for name, value in asked.query.items()}


def _number(value: object) -> int:
    """Read a number, which may come as a string."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unreadable
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Unreadable
    return int(text)


def _event(body: Mapping[str, object]) -> int:
    event = _number(body.get("eventtypeid"))
    if event not in EVENTS:
        raise Unreadable
    return event


def _channel(body: Mapping[str, object]) -> int | None:
    channel = body.get("channelid")
    return None if channel is None else _number(channel)


def _address(body: Mapping[str, object]) -> str:
    url = body.get("listenerurl")
    if not isinstance(url, str):
        raise Unreadable
    # CONFIRMED: older clients encode it, inside the JSON.
    decoded = url if "://" in url else unquote(url)
    if not _is_address(decoded):
        raise Unreadable
    return decoded


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def _listed(listener: Listener) -> dict[str, object]:
    shown: dict[str, object] = {"EventTypeID": listener.event}
    if listener.channel is not None:  # ASSUMED: absent where it is for all channels
        shown["ChannelID"] = listener.channel
    return {**shown, "ListenerURL": listener.url}


def _details(occurrence: Occurrence) -> dict[str, object]:
    return {
        "CampaignID": int(occurrence.id)
        if occurrence.id.isdecimal()
        else occurrence.id,
        "CampaignPlanID": occurrence.series,
        "TargetGroupID": 15,
        "CampaignType": "Test/Control",
        "Duration": 7,
        "LeadTime": 3,
        "Notes": "",
        "IsMultiChannel": "true" if len(occurrence.channels) > 1 else "false",
        "IsRecurrence": "false",
        "Status": "Cancelled" if occurrence.cancelled else "Successful",
        "Error": "",
    }


def _slice(occurrence: Occurrence, query: Mapping[str, str]) -> Iterable[Row]:
    skip = _number(query.get("$skip", "0"))
    top = min(_number(query.get("$top", "100")), _LARGEST_PAGE)
    # CONFIRMED: the campaign goes out only to customers with a reward.
    sent = (row for row in occurrence.rows if row.status == ASSIGNED)
    return islice(sent, skip, skip + top)


def _execution(row: Row, channel: int) -> dict[str, object]:
    return {
        "CustomerID": row.customer,
        "ActionID": _OFFERED,
        "ChannelID": channel,
        "TemplateID": 12,
        "TemplateName": "Welcome back",
        "ScheduleTime": "2026-01-15 10:00:00",
        "PromoCode": row.code,
    }
