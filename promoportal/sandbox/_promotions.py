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
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from promoportal.sandbox._campaigns import Campaigns, Occurrence
from promoportal.sandbox._journal import Keep, forget
from promoportal.sandbox._messages import (
    Answer,
    Asked,
    Handler,
    Unreadable,
    find,
    identity,
    said,
)
from promoportal.sandbox._outcomes import ASSIGNED
from promoportal.sandbox._rows import Row

LARGEST_BATCH = 1_000
# ASSUMED: as many as the vendor's other bulk calls take.
MOST_CUSTOMERS = 10_000


class Redeemed(NamedTuple):
    """One redemption as it was accepted."""

    occurrence: str
    promotion: str
    customer: str
    assignment: str
    redeemed_at: str
    reference: str


class Refusal(Exception):
    """Why a redemption is not accepted: a code, and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Redemptions:
    """What was reported as activated, and what became of it."""

    campaigns: Campaigns
    accepted: dict[str, Redeemed] = field(default_factory=dict)  # by reference
    duplicates: Counter[str] = field(default_factory=Counter)  # by occurrence
    rejected: Counter[str] = field(default_factory=Counter)
    by_promotion: Counter[str] = field(default_factory=Counter)  # accepted ones
    keep: Keep = forget

    def take(self, item: object) -> str:
        """
        Accept one redemption, or know it again.

        :raises Refusal: if it is neither
        """
        redeemed = _read(item)
        if self._known(redeemed):
            self.duplicates[redeemed.occurrence] += 1
            return "Duplicate"
        row = self._row(redeemed)
        self.keep("redeemed", redeemed._asdict())
        self._accept(row, redeemed)
        return "Accepted"

    def know(self, redeemed: Redeemed) -> None:
        """Accept what was accepted before."""
        occurrence = self.campaigns.known(redeemed.occurrence)
        self._accept(occurrence.row(redeemed.assignment), redeemed)

    def _accept(self, row: Row | None, redeemed: Redeemed) -> None:
        self.accepted[redeemed.reference] = redeemed
        self.by_promotion[redeemed.promotion] += 1
        if row is not None:
            row.reference = redeemed.reference

    def refuse(self, refusal: Refusal) -> dict[str, object]:
        self.rejected[refusal.code] += 1
        return {"code": refusal.code, "message": str(refusal)}

    def _known(self, redeemed: Redeemed) -> bool:
        earlier = self.accepted.get(redeemed.reference)
        # The time is left out: a report that is made again may carry another.
        if earlier and earlier[:4] != redeemed[:4]:
            raise Refusal("ReferenceReused", "The reference was of another redemption.")
        return earlier is not None

    def _row(self, redeemed: Redeemed) -> Row:
        occurrence = self.campaigns.get(redeemed.occurrence)
        row = occurrence and occurrence.row(redeemed.assignment)
        if not row or (row.customer, row.promotion) != _whose(redeemed):
            raise Refusal("UnknownAssignment", "There is no such assignment.")
        # ASSUMED, like the next: a real vendor has no reason to count what it never gave.
        if row.status != ASSIGNED:
            raise Refusal("NotAssigned", f"The assignment is {row.status}.")
        if row.reference:
            raise Refusal("AlreadyRedeemed", "It was redeemed under another reference.")
        return row


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
        handler = find(self._routes, asked, asked.path)
        if isinstance(handler, Answer):
            return handler
        try:
            return handler(asked)
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
            msg = f"redemptions must be a list of 1 to {LARGEST_BATCH}."
            raise Unreadable(msg)
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
        msg = "pageToken must be a string."
        raise Unreadable(msg)
    return _Wanted(
        _occurrence(body.get("occurrenceId")),
        _customers(body.get("customerIds")),
        page_size if size is None else _size(size),
        token or None,
    )


def _occurrence(value: object) -> str:
    occurrence = identity(value)
    if occurrence is None:
        msg = "occurrenceId must be a number or a string."
        raise Unreadable(msg)
    return occurrence


def _size(value: object) -> int:
    # ASSUMED: more than 1,000 is not an error, the page is merely shorter than asked.
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        msg = "pageSize must be a whole number of at least 1."
        raise Unreadable(msg)
    return value


def _customers(value: object) -> tuple[str, ...] | None:
    # ASSUMED: an empty list asks about no one, it does not ask about everyone.
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MOST_CUSTOMERS:
        msg = f"customerIds must be a list of at most {MOST_CUSTOMERS}."
        raise Unreadable(msg)
    customers = [identity(item) for item in value]
    if None in customers:
        msg = "customerIds must be numbers or strings."
        raise Unreadable(msg)
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
        "occurrenceId": _as_number(occurrence.id),
        "seriesId": _as_number(occurrence.series),
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
        msg = "pageToken is not of this list."
        raise Unreadable(msg)
    return offset


def _as_number(name: str) -> str | int:
    return int(name) if name.isdecimal() and len(name) < 16 else name


def _read(item: object) -> Redeemed:
    if not isinstance(item, dict):
        raise Refusal("Invalid", "A redemption must be an object.")
    at = item.get("redeemedAt")
    if not isinstance(at, str) or not _is_time(at):
        raise Refusal("Invalid", "redeemedAt must be a time with its zone.")
    return Redeemed(
        _required(item, "occurrenceId"),
        _required(item, "promotionId"),
        _required(item, "customerId"),
        _required(item, "assignmentId"),
        at,
        _required(item, "reference"),
    )


def _required(item: Mapping[str, object], name: str) -> str:
    value = identity(item.get(name))
    if value is None:
        raise Refusal("Invalid", f"{name} is missing.")
    return value


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _whose(redeemed: Redeemed) -> tuple[str, str]:
    return redeemed.customer, redeemed.promotion
