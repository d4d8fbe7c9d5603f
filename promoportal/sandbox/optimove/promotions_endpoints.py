"""
Optimove's Promotions API: Customer Assignment and Redemption.

CONFIRMED: the two endpoints exist, and the approximate content of their messages. All
other rules are ASSUMED, and follow optimove.md, section 4. If section 4 has no rule,
the sandbox gives the answer that is harder for clients.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from promoportal.sandbox.messages import (
    Answer,
    Handler,
    Request,
    Unreadable,
    answered,
    identity,
    reply,
)
from promoportal.sandbox.optimove.accepted_redemptions import Redemptions, Refusal
from promoportal.sandbox.optimove.assignment_rows import Row
from promoportal.sandbox.optimove.occurrences import Campaigns, Occurrence, as_number

LARGEST_BATCH = 1_000
# ASSUMED: the same maximum as in Optimove's other bulk calls.
MAX_CUSTOMERS = 10_000


@dataclass
class Promotions:
    """The endpoints of the API. The caller checks the key and the rate limit."""

    campaigns: Campaigns
    redemptions: Redemptions
    page_size: int  # for requests without a page size
    largest_page: int  # the maximum for any request
    seal: str  # new after a restart or reset: older page tokens are refused

    def answer(self, request: Request) -> Answer:
        # ASSUMED: unlike in the External API, paths are case-sensitive.
        try:
            return answered(self._routes, request, request.path)
        except Unreadable as error:
            return reply({"error": str(error)}, 400)

    @property
    def _routes(self) -> Mapping[str, Handler]:
        return {
            "POST v1/customerAssignments": self._assignments,
            "POST v1/redemptions": self._redeem,
            "POST v1/redemptions/batch": self._redeem_batch,
        }

    def _assignments(self, request: Request) -> Answer:
        wanted = _wanted(request.fields(), self.page_size)
        occurrence = self.campaigns.get(wanted.occurrence)
        if occurrence is None:
            # ASSUMED: the answer for an unknown execution is an empty list, not a 404.
            return reply(
                {
                    "occurrenceId": wanted.occurrence,
                    "seriesId": None,
                    "assignments": [],
                    "nextPageToken": None,
                    "totalCount": 0,
                }
            )
        mark = _mark(self.seal, wanted)
        start = _opened(wanted.token, mark) if wanted.token else 0
        size = min(wanted.size, self.largest_page)
        rows = occurrence.among(wanted.customers)
        return reply(_page(occurrence, rows, start, size, mark))

    def _redeem(self, request: Request) -> Answer:
        try:
            return reply({"status": self.redemptions.take(request.json())})
        except Refusal as refusal:
            # ASSUMED: the same code and message as in a batch.
            return reply(self.redemptions.refuse(refusal), 400)

    def _redeem_batch(self, request: Request) -> Answer:
        batch = request.fields().get("redemptions")
        if not isinstance(batch, list) or not 0 < len(batch) <= LARGEST_BATCH:
            raise Unreadable(f"redemptions must be a list of 1 to {LARGEST_BATCH}.")
        rejected = []
        for index, item in enumerate(batch):
            try:
                self.redemptions.take(item)
            except Refusal as refusal:
                rejected.append({"index": index, **self.redemptions.refuse(refusal)})
        # ASSUMED: a duplicate counts as accepted.
        return reply({"accepted": len(batch) - len(rejected), "rejected": rejected})


class _Wanted(NamedTuple):
    occurrence: str
    customers: tuple[str, ...] | None
    size: int
    token: str | None


def _wanted(body: Mapping[str, object], page_size: int) -> _Wanted:
    size = body.get("pageSize")
    token = body.get("pageToken")
    if token is not None and not isinstance(token, str):
        raise Unreadable("pageToken must be a string.")
    return _Wanted(
        _occurrence(body.get("occurrenceId")),
        _customers(body.get("customerIds")),
        page_size if size is None else _size(size),
        token or None,
    )


def _occurrence(value: object) -> str:
    occurrence = identity(value)
    if occurrence is None:
        raise Unreadable("occurrenceId must be a number or a string.")
    return occurrence


def _size(value: object) -> int:
    # ASSUMED: more than 1,000 is not an error; the page is shorter than requested.
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Unreadable("pageSize must be a whole number of at least 1.")
    return value


def _customers(value: object) -> tuple[str, ...] | None:
    # ASSUMED: an empty list requests no customer. A missing list requests all of them.
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_CUSTOMERS:
        raise Unreadable(f"customerIds must be a list of at most {MAX_CUSTOMERS}.")
    customers = [identity(item) for item in value]
    if None in customers:
        raise Unreadable("customerIds must be numbers or strings.")
    return tuple(dict.fromkeys(one for one in customers if one is not None))


def _page(
    occurrence: Occurrence, rows: Sequence[Row], start: int, size: int, mark: int
) -> dict[str, object]:
    page = rows[start : start + size]
    body: dict[str, object] = {
        "occurrenceId": occurrence.number,
        "seriesId": as_number(occurrence.series),
        "assignments": [row.listed() for row in page],
        "totalCount": len(rows),  # ASSUMED: of the requested customers
    }
    # ASSUMED: a full page has a token for the next page, which may be empty.
    if len(page) == size:
        body["nextPageToken"] = _sealed(start + size, mark)
    elif start:  # null at the end of some lists, absent at the end of others
        body["nextPageToken"] = None
    return body


def _mark(seal: str, wanted: _Wanted) -> int:
    """Return a checksum that binds a page token to `seal` and to the request."""
    return zlib.crc32(repr((seal, wanted.occurrence, wanted.customers)).encode())


def _sealed(offset: int, mark: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([offset, mark]).encode()).decode()


def _opened(token: str, mark: int) -> int:
    try:
        offset, found = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError, binascii.Error):
        offset, found = None, None
    if not isinstance(offset, int) or found != mark:
        raise Unreadable("pageToken is not of this list.")
    return offset
