"""A client of the Promotions API: fetches assignments, and reports redemptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Self

from django.conf import settings

from promoportal import wire
from promoportal.optimove.contract import (
    Assignments,
    Contract,
    RedemptionAnswer,
    RedemptionRequest,
    current,
)
from promoportal.optimove.contract_reader import Place, Target
from promoportal.optimove.records import (
    Page,
    Redemption,
    Row,
    Wrong,
    find,
    identity,
    optional_text,
    read_row,
    reading,
)
from promoportal.wire import Json

_MAX_CURSOR_LENGTH = 4000
_WORDS_KEPT = 2000


class CursorRefused(wire.WireError):
    """Optimove rejected a cursor, so the caller must start with the first page."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A redemption that Optimove did not accept. `index` is its place in the batch."""

    index: int
    code: str
    message: str
    duplicate: bool  # Optimove accepted the redemption before


@dataclass(frozen=True, slots=True)
class Verdict:
    """The number of accepted redemptions in a request, the refusals, and evidence."""

    accepted: int
    rejected: tuple[Refusal, ...]
    evidence: wire.Evidence = field(default=wire.Evidence(), compare=False)


class Promotions(AbstractContextManager["Promotions", None]):
    """A client of Optimove's Promotions API, as the contract describes it."""

    def __init__(
        self,
        address: str,
        *,
        key: str,
        contract: Contract,
        seconds: float = 15.0,
    ) -> None:
        self.contract = contract

        def client(host: str, key_header: str) -> wire.Client:
            return wire.Client(
                host or address,
                side="vendor",
                name="Optimove",
                secrets={key_header: key},
                seconds=seconds,
                later=contract.vendor.retry,
            )

        listed, reported = contract.assignments, contract.redemptions
        self._assignments = client(listed.host, listed.key_header)
        self._redemptions = client(reported.host, reported.key_header)

    @classmethod
    def from_settings(cls) -> Self:
        return cls(
            settings.OPTIMOVE_PROMOTIONS_URL,
            key=settings.OPTIMOVE_API_KEY,
            contract=current(),
        )

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._assignments.close()
        self._redemptions.close()

    @property
    def customers_per_call(self) -> int:
        return self.contract.assignments.customers_per_call

    @property
    def batch_limit(self) -> int:
        """Return the most redemptions per request: 1 if the tenant has no batches."""
        reported = self.contract.redemptions
        return reported.batch_limit if reported.batch else 1

    def assignments(
        self,
        occurrence: str,
        *,
        customers: Sequence[str] | None = None,
        cursor: str | None = None,
    ) -> Page:
        """
        Return one page of an execution's assignments, of all customers or of some.

        :raises CursorRefused: if Optimove rejects a call with a cursor
        :raises wire.WireError: if the call fails in another way; never Unanswered
        """
        listed = self.contract.assignments
        if cursor and listed.paging.by == "skip" and not cursor.isdecimal():
            raise CursorRefused("The contract changed: the next page has no number.")
        query, body = _request(self.contract, occurrence, customers, cursor)
        try:
            answer = self._assignments.ask(
                "POST",
                listed.path,
                query=query,
                body=body,
                limit=32 * wire.MIB,
                forgiving=True,
            )
        except wire.Rejected as error:
            if cursor is not None:
                raise CursorRefused(error.problem, error.evidence) from error
            if error.status == 404 and listed.first_list_may_be_missing:
                return Page(occurrence, None, (), None, None)
            raise
        with reading(answer):
            return _page(answer.body, self.contract, occurrence, cursor)

    def report(self, redemption: Redemption) -> Verdict:
        """
        Report one redemption to Optimove.

        :raises wire.WireError: if the call fails
        """
        reported = self.contract.redemptions
        answer = self._change(reported.single, _report(self.contract, redemption))
        with reading(answer):
            verdict = _verdict(answer.body, reported.answer)
        return replace(verdict, evidence=answer.evidence)

    def report_batch(self, redemptions: Sequence[Redemption]) -> Verdict:
        """
        Report up to `batch_limit` redemptions to Optimove in one request.

        :raises wire.WireError: if the call fails
        """
        reported = self.contract.redemptions
        if not reported.batch or len(redemptions) > reported.batch_limit:
            raise ValueError("The contract does not allow for such a batch.")
        reports: list[Json] = [_report(self.contract, each) for each in redemptions]
        body: Json = reports
        for step in reversed(reported.request.batch):
            body = {step: body}
        answer = self._change(reported.batch, body)
        with reading(answer):
            verdict = _batch_verdict(answer.body, self.contract, len(reports))
        return replace(verdict, evidence=answer.evidence)

    def _change(self, path: str, body: Json) -> wire.Answer:
        return self._redemptions.change(
            "POST",
            path,
            safe_to_repeat=self.contract.redemptions.repeat_is_safe,
            body=body,
        )


# --- Assignments ------------------------------------------------------------------


def _request(
    contract: Contract,
    occurrence: str,
    customers: Sequence[str] | None,
    cursor: str | None,
) -> tuple[Mapping[str, str], Json]:
    listed = contract.assignments
    query: dict[str, str] = {}
    body: dict[str, Json] = {}

    def put(target: Target, value: Json) -> None:
        if not target.in_query:
            _put(body, target.place, value)
        elif value is not None:
            query[target.place[0]] = str(value)

    put(listed.request.occurrence, _occurrence(contract, occurrence))
    put(listed.request.size, listed.paging.size)
    by_skip = listed.paging.by == "skip"
    put(listed.request.cursor, int(cursor or 0) if by_skip else cursor)
    if customers is not None:
        if len(customers) > listed.customers_per_call:
            raise ValueError("The contract allows fewer customers in one call.")
        put(listed.request.customers, list(customers))
    return query, body


def _occurrence(contract: Contract, occurrence: str) -> Json:
    whole = occurrence.isascii() and occurrence.isdecimal() and occurrence[0] != "0"
    as_number = whole and contract.vendor.occurrence_as == "number"
    return int(occurrence) if as_number else occurrence


def _put(body: dict[str, Json], place: Place, value: Json) -> None:
    for step in place[:-1]:
        inner = body.setdefault(step, {})
        assert isinstance(inner, dict)  # noqa: S101 - the contract has no collisions
        body = inner
    body[place[-1]] = value


def _page(data: Json, contract: Contract, occurrence: str, cursor: str | None) -> Page:
    listed = contract.assignments
    said_rows = find(data, listed.page.rows) if listed.page.rows else data
    if not isinstance(said_rows, list):
        raise Wrong(f"{'.'.join(listed.page.rows) or 'It'} is not a list.")
    around = data if isinstance(data, dict) else None
    if _text_at(around, listed.page.occurrence) not in {None, occurrence}:
        raise Wrong("It is about another execution.")
    zone = contract.vendor.time_zone
    rows = tuple(read_row(row, listed, zone) for row in said_rows)
    return Page(
        occurrence=occurrence,
        series=_text_at(around, listed.page.series),
        rows=rows,
        next_cursor=_next(around, listed, rows, cursor),
        total=_total(around, listed.page.total),
    )


def _text_at(data: Json, place: Place) -> str | None:
    return optional_text(find(data, place), ".".join(place))


def _total(data: Json, place: Place) -> int | None:
    total = find(data, place)
    if isinstance(total, str) and total.isascii() and total.isdecimal():
        total = int(total)  # a tenant may send numbers as text
    if total is None:
        return None
    if not isinstance(total, int) or isinstance(total, bool) or not 0 <= total < 2**31:
        raise Wrong(f"{'.'.join(place)} is not a number of rows.")
    return total


def _next(
    data: Json, listed: Assignments, rows: tuple[Row, ...], cursor: str | None
) -> str | None:
    if listed.paging.by == "skip":
        return str(int(cursor or 0) + len(rows)) if rows else None
    name = ".".join(listed.page.next)
    token = find(data, listed.page.next)
    if isinstance(token, int) and not isinstance(token, bool):
        token = str(token)
    if token is None or token == "":
        return None
    if not isinstance(token, str) or len(token) > _MAX_CURSOR_LENGTH:
        raise Wrong(f"{name} is no token.")
    if token == cursor or wire.clean_text(token) != token:
        raise Wrong(f"{name} leads nowhere.")
    return token


# --- Redemptions ------------------------------------------------------------------


def _report(contract: Contract, redemption: Redemption) -> dict[str, Json]:
    places: RedemptionRequest = contract.redemptions.request
    at = redemption.redeemed_at.astimezone(UTC).replace(tzinfo=None)
    values: list[tuple[Place, Json]] = [
        (places.occurrence, _occurrence(contract, redemption.occurrence)),
        (places.promotion, redemption.promotion),
        (places.customer, redemption.customer),
        (places.assignment, redemption.assignment),
        (places.redeemed_at, f"{at.isoformat(timespec='seconds')}Z"),
        (places.reference, str(redemption.reference)),
    ]
    body: dict[str, Json] = {}
    for place, value in values:
        if place:
            _put(body, place, value)
    return body


def _verdict(data: Json, places: RedemptionAnswer) -> Verdict:
    word = find(data, places.verdict)
    if isinstance(word, str) and word in places.accepted:
        return Verdict(1, ())
    if isinstance(word, str) and word in places.duplicate:
        return Verdict(0, (Refusal(0, word, "", duplicate=True),))
    raise Wrong("It does not say whether the report counts.")


def _batch_verdict(data: Json, contract: Contract, sent: int) -> Verdict:
    places = contract.redemptions.batch_answer
    accepted = find(data, places.accepted)
    if not isinstance(accepted, int) or isinstance(accepted, bool) or accepted < 0:
        raise Wrong(f"{'.'.join(places.accepted)} is not a number of reports.")
    refused = find(data, places.rejected)
    if not isinstance(refused, list | None):
        raise Wrong(f"{'.'.join(places.rejected)} is not a list.")
    rejected = tuple(_refusal(each, contract, sent) for each in refused or [])
    if len({refusal.index for refusal in rejected}) != len(rejected):
        raise Wrong("It refuses one report twice.")
    if accepted + len(rejected) != sent:
        raise Wrong(
            f"It accounts for {accepted + len(rejected):,} of {sent:,} reports."
        )
    return Verdict(accepted, rejected)


def _refusal(data: Json, contract: Contract, sent: int) -> Refusal:
    places = contract.redemptions.batch_answer
    index = find(data, places.index)
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < sent:
        raise Wrong(f"{'.'.join(places.index)} is no place in the batch.")
    code = identity(find(data, places.code), ".".join(places.code))
    message = find(data, places.message)
    words = message if isinstance(message, str) else ""
    return Refusal(
        index=index,
        code=code,
        message=wire.clean_text(words[:_WORDS_KEPT]),
        duplicate=code in places.duplicate,
    )
