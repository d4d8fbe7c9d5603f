"""
The Promotions API: Customer Assignment and Redemption.

CONFIRMED: the two endpoints exist, and roughly what they carry. Everything else here is
ASSUMED, as section 4 of optimove.md words it; where that is silent too, the comment says
so, and the nastier answer was chosen.
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
    Asked,
    Handler,
    Unreadable,
    answered,
    identity,
    said,
)
from promoportal.sandbox.optimove.accepted_redemptions import Redemptions, Refusal
from promoportal.sandbox.optimove.assignment_rows import Row
from promoportal.sandbox.optimove.occurrences import Campaigns, Occurrence, as_number

LARGEST_BATCH = 1_000
# ASSUMED: as many as the vendor's other bulk calls take.
MAX_CUSTOMERS = 10_000


@dataclass
class Promotions:
    """The API, without its key and its limit."""

    campaigns: Campaigns
    redemptions: Redemptions
    page_size: int  # when none is asked for
    largest_page: int  # whatever is asked for
    seal: str  # of this run: a token of an earlier one is refused

    def answer(self, asked: Asked) -> Answer:
        # ASSUMED: unlike the External API's, these paths are read as they are written.
        try:
            return answered(self._routes, asked, asked.path)
        except Unreadable as error:
            return said({"error": str(error)}, 400)

    @property
    def _routes(self) -> Mapping[str, Handler]:
        return {
            "POST v1/customerAssignments": self._assignments,
            "POST v1/redemptions": self._redeem,
            "POST v1/redemptions/batch": self._redeem_batch,
        }

    def _assignments(self, asked: Asked) -> Answer:
        wanted = _wanted(asked.fields(), self.page_size)
        occurrence = self.campaigns.get(wanted.occurrence)
        if occurrence is None:
            return said(_no_such_list(wanted))
        mark = _mark(self.seal, wanted)
        start = _opened(wanted.token, mark) if wanted.token else 0
        size = min(wanted.size, self.largest_page)
        rows = occurrence.among(wanted.customers)
        return said(_page(occurrence, rows, start, size, mark))

    def _redeem(self, asked: Asked) -> Answer:
        try:
            return said({"status": self.redemptions.take(asked.json())})
        except Refusal as refusal:
            # ASSUMED: the same words as for one of a batch.
            return said(self.redemptions.refuse(refusal), 400)

    def _redeem_batch(self, asked: Asked) -> Answer:
        batch = asked.fields().get("redemptions")
        if not isinstance(batch, list) or not 0 < len(batch) <= LARGEST_BATCH:
            raise Unreadable(f"redemptions must be a list of 1 to {LARGEST_BATCH}.")
        rejected = [no for i, item in enumerate(batch) if (no := self._no(i, item))]
        # ASSUMED: one that is known already counts as accepted.
        return said({"accepted": len(batch) - len(rejected), "rejected": rejected})

    def _no(self, index: int, item: object) -> dict[str, object] | None:
        try:
            self.redemptions.take(item)
        except Refusal as refusal:
            return {"index": index, **self.redemptions.refuse(refusal)}
        return None


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
    # ASSUMED: more than 1,000 is not an error, the page is merely shorter than asked.
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Unreadable("pageSize must be a whole number of at least 1.")
    return value


def _customers(value: object) -> tuple[str, ...] | None:
    # ASSUMED: an empty list asks about no one, it does not ask about everyone.
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_CUSTOMERS:
        raise Unreadable(f"customerIds must be a list of at most {MAX_CUSTOMERS}.")
    customers = [identity(item) for item in value]
    if None in customers:
        raise Unreadable("customerIds must be numbers or strings.")
    return tuple(dict.fromkeys(one for one in customers if one is not None))


def _no_such_list(wanted: _Wanted) -> dict[str, object]:
    # ASSUMED: an unknown occurrence is not a 404, it looks like an empty campaign.
    return {
        "occurrenceId": wanted.occurrence,
        "seriesId": None,
        "assignments": [],
        "nextPageToken": None,
        "totalCount": 0,
    }


def _page(
    occurrence: Occurrence, rows: Sequence[Row], start: int, size: int, mark: int
) -> dict[str, object]:
    page = rows[start : start + size]
    said: dict[str, object] = {
        "occurrenceId": occurrence.number,
        "seriesId": as_number(occurrence.series),
        "assignments": [row.listed() for row in page],
        "totalCount": len(rows),  # ASSUMED: of those asked for
    }
    # ASSUMED: a page that is full promises another, which may turn out empty.
    if len(page) == size:
        said["nextPageToken"] = _sealed(start + size, mark)
    elif start:  # null at the end of some lists, absent at the end of others
        said["nextPageToken"] = None
    return said


def _mark(seal: str, wanted: _Wanted) -> int:
    """Bind a token to this run and to what was asked for."""
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
