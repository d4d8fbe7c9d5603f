"""
The contract: the description of Optimove's interfaces for this tenant.

`contract.toml` has it, with the source of each fact. A file that OPTIMOVE_CONTRACT
names replaces it as a whole. All mistakes in a file are reported at once.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings

from promoportal.optimove.contract_reader import Each, Reader, read_file

BUILT_IN = Path(__file__).with_name("contract.toml")

Place = tuple[str, ...]  # empty: the tenant has no such field


class Meaning(enum.StrEnum):
    """The meaning of an assignment's status."""

    ACTIVATE = "activate"
    NOTHING = "nothing"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Target:
    """The place of a value in a request."""

    in_query: bool
    place: Place


# --- Readers of values -------------------------------------------------------------


def _text(expected: str, pattern: str) -> Reader:
    matches = re.compile(pattern).fullmatch
    return Reader(
        expected, lambda data: data if isinstance(data, str) and matches(data) else None
    )


def _one_of(**choices: object) -> Reader:
    expected = " or ".join(f'"{choice}"' for choice in choices)
    return Reader(
        expected, lambda data: choices.get(data) if isinstance(data, str) else None
    )


def _whole(least: int, most: int) -> Reader:
    def read(data: object) -> int | None:
        if not isinstance(data, int) or isinstance(data, bool):
            return None
        return data if least <= data <= most else None

    return Reader(f"a whole number from {least:,} to {most:,}", read)


def _list_of(reader: Reader, *, least: int = 0) -> Reader:
    def read(data: object) -> frozenset[object] | None:
        if not isinstance(data, list) or len(data) < least:
            return None
        items = [reader.read(item) for item in data]
        return None if None in items else frozenset(items)

    some = "a list, not empty," if least else "a list"
    return Reader(f"{some} of which each is {reader.expected}", read)


def _split(data: object) -> Place | None:
    steps = tuple(data.split(".")) if isinstance(data, str) else ("",)
    return steps if all(steps) else None


def _place_or_none(data: object) -> Place | None:
    return () if data == "" else _split(data)


def _target(data: object) -> Target | None:
    where, _, what = data.partition(":") if isinstance(data, str) else ("", "", "")
    if where == "query":
        return Target(in_query=True, place=(what,)) if what else None
    place = _split(what)
    return Target(in_query=False, place=place) if where == "body" and place else None


def _body_target(data: object) -> Target | None:
    target = _target(data)
    return None if target is None or target.in_query else target


def _zone(data: object) -> tzinfo | None:
    if data == "UTC":  # needs no installed list of time zones
        return UTC
    try:
        return ZoneInfo(data) if isinstance(data, str) else None
    except (ValueError, OSError, KeyError):
        return None


def _host(data: object) -> str | None:
    try:
        parts = urlsplit(data) if isinstance(data, str) else None
    except ValueError:
        return None
    known = parts and parts.scheme in {"http", "https"} and parts.hostname
    return cast(str, data) if data == "" or known else None


def _status(data: object) -> int | None:
    status = _whole(400, 599).read(data)
    # These mean that the portal is configured wrongly: a retry does not help.
    return None if status in {401, 403, 405, 415} else cast("int | None", status)


_FLAG = Reader("true or false", lambda data: data if isinstance(data, bool) else None)
_PATH_EXPECTED = 'a path that begins with "/", without ? or #'
_PATH = _text(_PATH_EXPECTED, r"/[^\s?#]*")
_PATH_OR_NONE = _text(f'{_PATH_EXPECTED}, or ""', r"(/[^\s?#]*)?")
_HEADER = _text("the name of a header", r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HOST = Reader('an address such as "https://host", or ""', _host)
_PLACE = Reader('a place such as "reward.value"', _split)
_PLACE_OR_NONE = Reader('a place such as "reward.value", or ""', _place_or_none)
_TARGET = Reader('"body:<place>" or "query:<name>"', _target)
_BODY_TARGET = Reader('"body:<place>"', _body_target)
_ZONE = Reader('a time zone such as "Europe/Lisbon"', _zone)
_WORD = _text("a word", r"(?s).*\S.*")
_WORDS = _list_of(_WORD)
_SOME_WORDS = _list_of(_WORD, least=1)
_STATUS = Reader("a status from 400 to 599 other than 401, 403, 405 and 415", _status)
_MEANING = _one_of(
    activate=Meaning.ACTIVATE, nothing=Meaning.NOTHING, cancelled=Meaning.CANCELLED
)
_NEED = _one_of(currency="currency", unit="unit", nothing="nothing")


# --- The contract: one class for each table of contract.toml -------------------------


@dataclass(frozen=True, slots=True)
class Vendor:
    time_zone: Annotated[tzinfo, _ZONE]
    occurrence_as: Annotated[str, _one_of(number="number", text="text")]
    repeats_are_meant: Annotated[bool, _FLAG]
    retry: Annotated[frozenset[int], _list_of(_STATUS)]


@dataclass(frozen=True, slots=True)
class ExternalCalls:
    key_header: Annotated[str, _HEADER]
    register: Annotated[str, _PATH]
    unregister: Annotated[str, _PATH]
    registered: Annotated[str, _PATH]
    executed: Annotated[str, _PATH]


@dataclass(frozen=True, slots=True)
class Paging:
    by: Annotated[str, _one_of(token="token", skip="skip")]  # noqa: S106 - no secret
    size: Annotated[int, _whole(1, 100_000)]


@dataclass(frozen=True, slots=True)
class AssignmentsRequest:
    occurrence: Annotated[Target, _TARGET]
    customers: Annotated[Target, _BODY_TARGET]
    size: Annotated[Target, _TARGET]
    cursor: Annotated[Target, _TARGET]


@dataclass(frozen=True, slots=True)
class PagePlaces:
    rows: Annotated[Place, _PLACE_OR_NONE]
    occurrence: Annotated[Place, _PLACE_OR_NONE]
    series: Annotated[Place, _PLACE_OR_NONE]
    next: Annotated[Place, _PLACE_OR_NONE]
    total: Annotated[Place, _PLACE_OR_NONE]


@dataclass(frozen=True, slots=True)
class RowPlaces:
    reference: Annotated[Place, _PLACE_OR_NONE]
    customer: Annotated[Place, _PLACE]
    promotion: Annotated[Place, _PLACE]
    promotion_code: Annotated[Place, _PLACE_OR_NONE]
    status: Annotated[Place, _PLACE]
    unique_code: Annotated[Place, _PLACE_OR_NONE]
    properties: Annotated[Place, _PLACE_OR_NONE]
    assigned_at: Annotated[Place, _PLACE_OR_NONE]
    category: Annotated[Place, _PLACE]
    type: Annotated[Place, _PLACE_OR_NONE]
    value: Annotated[Place, _PLACE]
    currency: Annotated[Place, _PLACE_OR_NONE]
    unit: Annotated[Place, _PLACE_OR_NONE]
    tier: Annotated[Place, _PLACE_OR_NONE]
    tier_name: Annotated[Place, _PLACE_OR_NONE]


@dataclass(frozen=True, slots=True)
class Assignments:
    host: Annotated[str, _HOST]
    path: Annotated[str, _PATH]
    key_header: Annotated[str, _HEADER]
    customers_per_call: Annotated[int, _whole(1, 100_000)]
    first_list_may_be_missing: Annotated[bool, _FLAG]
    paging: Paging
    request: AssignmentsRequest
    page: PagePlaces
    row: RowPlaces
    statuses: Annotated[Mapping[str, Meaning], Each(_MEANING)]
    categories: Annotated[Mapping[str, str], Each(_NEED)]


@dataclass(frozen=True, slots=True)
class RedemptionRequest:
    batch: Annotated[Place, _PLACE_OR_NONE]
    occurrence: Annotated[Place, _PLACE]
    promotion: Annotated[Place, _PLACE]
    customer: Annotated[Place, _PLACE]
    assignment: Annotated[Place, _PLACE_OR_NONE]
    redeemed_at: Annotated[Place, _PLACE_OR_NONE]
    reference: Annotated[Place, _PLACE_OR_NONE]


@dataclass(frozen=True, slots=True)
class RedemptionAnswer:
    verdict: Annotated[Place, _PLACE]
    accepted: Annotated[frozenset[str], _SOME_WORDS]
    duplicate: Annotated[frozenset[str], _WORDS]


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    accepted: Annotated[Place, _PLACE]
    rejected: Annotated[Place, _PLACE]
    index: Annotated[Place, _PLACE]
    code: Annotated[Place, _PLACE]
    message: Annotated[Place, _PLACE_OR_NONE]
    duplicate: Annotated[frozenset[str], _WORDS]


@dataclass(frozen=True, slots=True)
class Redemptions:
    host: Annotated[str, _HOST]
    single: Annotated[str, _PATH]
    batch: Annotated[str, _PATH_OR_NONE]
    key_header: Annotated[str, _HEADER]
    batch_limit: Annotated[int, _whole(1, 100_000)]
    repeat_is_safe: Annotated[bool, _FLAG]
    request: RedemptionRequest
    answer: RedemptionAnswer
    batch_answer: BatchAnswer


@dataclass(frozen=True, slots=True)
class Contract:
    vendor: Vendor
    external: ExternalCalls
    assignments: Assignments
    redemptions: Redemptions


def _contradictions(contract: Contract) -> Iterator[tuple[str, str]]:
    """Yield each setting that contradicts another one, with its place."""
    listed, reported = contract.assignments, contract.redemptions
    if listed.paging.by == "token" and not listed.page.next:
        yield "assignments.page.next", 'is "", but pages are asked for by token'
    if Meaning.ACTIVATE not in listed.statuses.values():
        yield "assignments.statuses", "has no status that means activate"
    if reported.repeat_is_safe and not reported.request.reference:
        yield "redemptions.repeat_is_safe", "is true, but no reference is sent"
    if reported.answer.accepted & reported.answer.duplicate:
        yield "redemptions.answer.duplicate", "has a word that also means accepted"
    yield from _collisions(listed.request, "assignments.request")
    yield from _collisions(reported.request, "redemptions.request")


def _collisions(
    request: AssignmentsRequest | RedemptionRequest, table: str
) -> Iterator[tuple[str, str]]:
    """Yield each value that would be written over or into another one."""
    taken: list[tuple[bool, Place]] = []
    for name in (f.name for f in fields(request) if f.name != "batch"):
        target = getattr(request, name)
        if not isinstance(target, Target):
            target = Target(in_query=False, place=target)
        for in_query, other in taken:
            shorter = min(len(other), len(target.place))
            same_part = in_query == target.in_query
            if shorter and same_part and other[:shorter] == target.place[:shorter]:
                yield f"{table}.{name}", "is a place that is already taken"
        taken.append((target.in_query, target.place))


# --- Reading the file ----------------------------------------------------------------


def load(path: Path) -> Contract:
    """
    Return the contract in a file.

    :raises ContractError: with every mistake in it
    """
    return read_file(path, Contract, _contradictions)


def current() -> Contract:
    """
    Return the contract that OPTIMOVE_CONTRACT names; each process reads it once.

    :raises ContractError: with every mistake in it
    """
    return _loaded(settings.OPTIMOVE_CONTRACT)


@functools.cache
def _loaded(path: str) -> Contract:
    return load(Path(path) if path else BUILT_IN)
