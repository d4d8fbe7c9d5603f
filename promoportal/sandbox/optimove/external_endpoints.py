"""
Optimove's External API: listeners, promotions, and data about campaigns.

CONFIRMED: names are in PascalCase. Paths may begin with `current/`, and ignore case.
Errors are JSON strings. Endpoints without a result answer 200 with an empty body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from promoportal.sandbox.journal import Keep, forget
from promoportal.sandbox.messages import (
    Answer,
    Handler,
    Request,
    Unreadable,
    answered,
    identity,
    reply,
)
from promoportal.sandbox.optimove.occurrences import Campaigns, Occurrence
from promoportal.sandbox.optimove.registered_listeners import Listener, Listeners
from promoportal.sandbox.optimove.weighted_outcomes import ASSIGNED

EVENTS = frozenset({1, 2, 3, 4, 5, 11, 13, 14})
_WITHOUT_CHANNEL = 5  # CONFIRMED: conditional execution is registered without a channel
MAX_PROMOTIONS = 100  # CONFIRMED, in a call
MAX_UPDATED = 10_000  # CONFIRMED, in a call
_LARGEST_PAGE = 1_000  # ASSUMED
# CONFIRMED: ActionID 1 is the control group, which gets nothing. No campaign of the
# sandbox has a control group.
_OFFERED = 2
Field = TypeVar("Field")


@dataclass
class External:
    """The endpoints of the API. The caller checks the key and the rate limit."""

    campaigns: Campaigns
    listeners: Listeners
    # The names of the promotions in the campaign builder, by code.
    promotions: dict[str, str] = field(default_factory=dict)
    keep: Keep = forget

    def answer(self, request: Request) -> Answer:
        path = request.path.lower().removeprefix("current/")
        try:
            return answered(self._routes, request, path)
        except Unreadable:
            return reply("Bad Request", 400)

    @property
    def _routes(self) -> Mapping[str, Handler]:
        return {
            "POST general/registereventlistener": self._register,
            "POST general/unregistereventlistener": self._unregister,
            "GET general/getregisteredeventlisteners": self._registered,
            "POST integrations/addpromotions": self._add_promotions,
            "GET integrations/getpromotions": self._get_promotions,
            "POST integrations/deletepromotions": self._delete_promotions,
            "POST integrations/updatecustomerpromotionstatus": self._update_status,
            "GET actions/getcampaigndetails": self._campaign,
            "GET actions/getexecutedcampaigndetails": self._executed,
            "GET customers/getcustomerexecutiondetailsbycampaign": self._customers,
        }

    def _register(self, request: Request) -> Answer:
        body = _folded(request.fields())
        listener = Listener(_event(body), _channel(body), _address(body))
        if listener.event == _WITHOUT_CHANNEL and listener.channel is not None:
            raise Unreadable
        self.listeners.register(listener)
        return Answer()

    def _unregister(self, request: Request) -> Answer:
        body = _folded(request.fields())
        self.listeners.unregister(_event(body), _channel(body))
        return Answer()

    def _registered(self, request: Request) -> Answer:
        return reply([_listed(listener) for listener in self.listeners.all()])

    def _add_promotions(self, request: Request) -> Answer:
        """Add promotions. CONFIRMED: the name of a known code is replaced."""
        items = _objects(request.json(), MAX_PROMOTIONS)
        named = {_text(one, "promocode"): _text(one, "promotionname") for one in items}
        self.promotions.update(named)
        self._keep_promotions()
        return Answer()

    def _get_promotions(self, request: Request) -> Answer:
        known = self.promotions.items()
        return reply(
            [{"PromoCode": code, "PromotionName": name} for code, name in known]
        )

    def _delete_promotions(self, request: Request) -> Answer:
        # ASSUMED: an unknown code is not an error.
        items = _objects(request.json(), MAX_PROMOTIONS)
        for code in [_text(one, "promocode") for one in items]:
            self.promotions.pop(code, None)
        self._keep_promotions()
        return Answer()

    def _keep_promotions(self) -> None:
        self.keep("promotions", {"names": self.promotions})

    def _update_status(self, request: Request) -> Answer:
        """Set customers' statuses. After `Audience.go`, this has no effect."""
        body = _folded(request.fields())
        occurrence = self.campaigns.get(identity(body.get("campaignid")) or "")
        if occurrence is None or not isinstance(body.get("timestamp"), str):
            raise Unreadable
        updated = _objects(body.get("promosupdated"), MAX_UPDATED)
        for customer, status in [_status(one) for one in updated]:
            if occurrence.audience is not None:
                occurrence.audience.set_status(customer, status)
        return Answer()

    def _campaign(self, request: Request) -> Answer:
        occurrence = self.campaigns.get(_folded(request.query).get("campaignid", ""))
        # CONFIRMED: one object (nicolasramy/optimove). ASSUMED: 400 for an unknown ID.
        return reply(_details(occurrence)) if occurrence else reply("Bad Request", 400)

    def _executed(self, request: Request) -> Answer:
        day = _folded(request.query).get("date", "")
        executed = (
            one for one in self.campaigns if f"{one.started_at:%Y-%m-%d}" == day
        )
        return reply([_details(one) for one in executed])

    def _customers(self, request: Request) -> Answer:
        query = _folded(request.query)
        occurrence = self.campaigns.get(query.get("campaignid", ""))
        channel = _number(query.get("channelid"))
        if occurrence is None or channel not in occurrence.channels:
            return reply([])
        skip = _number(query.get("$skip", "0"))
        top = min(_number(query.get("$top", "100")), _LARGEST_PAGE)
        sent = islice(_sent(occurrence), skip, skip + top)
        return reply([_execution(occurrence, *one, channel) for one in sent])


def _folded(fields: Mapping[str, Field]) -> dict[str, Field]:
    return {name.lower(): value for name, value in fields.items()}


def _number(value: object) -> int:
    """Return a whole number, which may be sent as a string."""
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
    # CONFIRMED: older clients percent-encode the address inside the JSON.
    decoded = url if "://" in url else unquote(url)
    with suppress(ValueError):
        parts = urlsplit(decoded)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return decoded
    raise Unreadable


def _listed(listener: Listener) -> dict[str, object]:
    shown: dict[str, object] = {"EventTypeID": listener.event}
    if listener.channel is not None:  # ASSUMED: absent if it is for all channels
        shown["ChannelID"] = listener.channel
    return {**shown, "ListenerURL": listener.url}


def _details(occurrence: Occurrence) -> dict[str, object]:
    return {
        "CampaignID": occurrence.number,
        "CampaignPlanID": occurrence.series,
        "TargetGroupID": occurrence.audience.group if occurrence.audience else 15,
        "CampaignType": "Test/Control",
        "Duration": 7,
        "LeadTime": 3,
        "Notes": "",
        "IsMultiChannel": "true" if len(occurrence.channels) > 1 else "false",
        "IsRecurrence": "false",
        "Status": "Cancelled" if occurrence.cancelled else "Successful",
        "Error": "",
    }


def _sent(occurrence: Occurrence) -> Iterator[tuple[str, str]]:
    """
    Yield the customers who received the campaign, with one code each or "".

    CONFIRMED: only these customers are listed.
    """
    if occurrence.audience is None:
        rows = (row for row in occurrence.rows if row.status == ASSIGNED)
        return ((row.customer or "", row.code) for row in rows)
    return ((str(one), "") for one in occurrence.audience.ids())


def _execution(
    occurrence: Occurrence, customer: str, code: str, channel: int
) -> dict[str, object]:
    return {
        "CustomerID": customer,
        "ActionID": _OFFERED,
        "ChannelID": channel,
        "TemplateID": 12,
        "TemplateName": occurrence.name,
        "ScheduleTime": f"{occurrence.started_at:%Y-%m-%d %H:%M:%S}",
        "PromoCode": code or ",".join(occurrence.codes_of(customer)),
    }


def _objects(value: object, most: int) -> list[dict[str, object]]:
    """Return a list of at most `most` objects, with names in lower case."""
    if not isinstance(value, list) or len(value) > most:
        raise Unreadable
    if not all(isinstance(one, dict) for one in value):
        raise Unreadable
    return [_folded(one) for one in value]


def _text(item: Mapping[str, object], name: str) -> str:
    text = item.get(name)
    if not isinstance(text, str) or not text:
        raise Unreadable
    return text


def _status(item: Mapping[str, object]) -> tuple[str, bool]:
    customer, status = identity(item.get("customerid")), item.get("status")
    if isinstance(status, str):  # CONFIRMED for other messages: "true" for true
        status = {"true": True, "false": False}.get(status.lower())
    if customer is None or not isinstance(status, bool):
        raise Unreadable
    return customer, status
