"""
The contract: the description of Optimove's interfaces for this tenant.

`contract.toml` contains the default, with the source of each fact. If OPTIMOVE_CONTRACT
names a file, this file replaces the whole default.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import tzinfo
from pathlib import Path
from typing import Annotated

from django.conf import settings

from promoportal.optimove.contract_reader import (
    BODY_TARGET,
    FLAG,
    HEADER,
    HOST,
    PATH,
    PATH_OR_NONE,
    PLACE,
    PLACE_OR_NONE,
    SOME_WORDS,
    STATUS,
    TARGET,
    WORDS,
    ZONE,
    Each,
    Place,
    Target,
    list_of,
    one_of,
    read_file,
    whole,
)

BUILT_IN = Path(__file__).with_name("contract.toml")


class Meaning(enum.StrEnum):
    """The effect that a contract gives to the status of an assignment."""

    ACTIVATE = "activate"
    NOTHING = "nothing"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


_MEANING = one_of(
    activate=Meaning.ACTIVATE, nothing=Meaning.NOTHING, cancelled=Meaning.CANCELLED
)
_NEED = one_of(currency="currency", unit="unit", nothing="nothing")


# --- The contract: one class for each table of contract.toml -------------------------


@dataclass(frozen=True, slots=True)
class Vendor:
    time_zone: Annotated[tzinfo, ZONE]
    occurrence_as: Annotated[str, one_of(number="number", text="text")]
    repeats_are_meant: Annotated[bool, FLAG]
    retry: Annotated[frozenset[int], list_of(STATUS)]


@dataclass(frozen=True, slots=True)
class ExternalCalls:
    key_header: Annotated[str, HEADER]
    register: Annotated[str, PATH]
    unregister: Annotated[str, PATH]
    registered: Annotated[str, PATH]
    executed: Annotated[str, PATH]


@dataclass(frozen=True, slots=True)
class Paging:
    by: Annotated[str, one_of(token="token", skip="skip")]  # noqa: S106 - no secret
    size: Annotated[int, whole(1, 100_000)]


@dataclass(frozen=True, slots=True)
class AssignmentsRequest:
    occurrence: Annotated[Target, TARGET]
    customers: Annotated[Target, BODY_TARGET]
    size: Annotated[Target, TARGET]
    cursor: Annotated[Target, TARGET]


@dataclass(frozen=True, slots=True)
class PagePlaces:
    rows: Annotated[Place, PLACE_OR_NONE]
    occurrence: Annotated[Place, PLACE_OR_NONE]
    series: Annotated[Place, PLACE_OR_NONE]
    next: Annotated[Place, PLACE_OR_NONE]
    total: Annotated[Place, PLACE_OR_NONE]


@dataclass(frozen=True, slots=True)
class RowPlaces:
    reference: Annotated[Place, PLACE_OR_NONE]
    customer: Annotated[Place, PLACE]
    promotion: Annotated[Place, PLACE]
    promotion_code: Annotated[Place, PLACE_OR_NONE]
    status: Annotated[Place, PLACE]
    unique_code: Annotated[Place, PLACE_OR_NONE]
    properties: Annotated[Place, PLACE_OR_NONE]
    assigned_at: Annotated[Place, PLACE_OR_NONE]
    category: Annotated[Place, PLACE]
    type: Annotated[Place, PLACE_OR_NONE]
    value: Annotated[Place, PLACE]
    currency: Annotated[Place, PLACE_OR_NONE]
    unit: Annotated[Place, PLACE_OR_NONE]
    tier: Annotated[Place, PLACE_OR_NONE]
    tier_name: Annotated[Place, PLACE_OR_NONE]


@dataclass(frozen=True, slots=True)
class Assignments:
    host: Annotated[str, HOST]
    path: Annotated[str, PATH]
    key_header: Annotated[str, HEADER]
    customers_per_call: Annotated[int, whole(1, 100_000)]
    first_list_may_be_missing: Annotated[bool, FLAG]
    paging: Paging
    request: AssignmentsRequest
    page: PagePlaces
    row: RowPlaces
    statuses: Annotated[Mapping[str, Meaning], Each(_MEANING)]
    categories: Annotated[Mapping[str, str], Each(_NEED)]


@dataclass(frozen=True, slots=True)
class RedemptionRequest:
    batch: Annotated[Place, PLACE_OR_NONE]
    occurrence: Annotated[Place, PLACE]
    promotion: Annotated[Place, PLACE]
    customer: Annotated[Place, PLACE]
    assignment: Annotated[Place, PLACE_OR_NONE]
    redeemed_at: Annotated[Place, PLACE_OR_NONE]
    reference: Annotated[Place, PLACE_OR_NONE]


@dataclass(frozen=True, slots=True)
class RedemptionAnswer:
    verdict: Annotated[Place, PLACE]
    accepted: Annotated[frozenset[str], SOME_WORDS]
    duplicate: Annotated[frozenset[str], WORDS]


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    accepted: Annotated[Place, PLACE]
    rejected: Annotated[Place, PLACE]
    index: Annotated[Place, PLACE]
    code: Annotated[Place, PLACE]
    message: Annotated[Place, PLACE_OR_NONE]
    duplicate: Annotated[frozenset[str], WORDS]


@dataclass(frozen=True, slots=True)
class Redemptions:
    host: Annotated[str, HOST]
    single: Annotated[str, PATH]
    batch: Annotated[str, PATH_OR_NONE]
    key_header: Annotated[str, HEADER]
    batch_limit: Annotated[int, whole(1, 100_000)]
    repeat_is_safe: Annotated[bool, FLAG]
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
    """Yield each key whose value contradicts another one, and the problem."""
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
    """Yield each key whose place in the request overlaps the place of another key."""
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
    Return the contract that a file contains.

    :raises ContractError: with every mistake in the file
    """
    return read_file(path, Contract, _contradictions)


def current() -> Contract:
    """
    Return the contract that OPTIMOVE_CONTRACT names. Each process reads it once.

    :raises ContractError: with every mistake in the file
    """
    path = settings.OPTIMOVE_CONTRACT
    return _loaded(Path(path) if path else BUILT_IN)


_loaded = functools.cache(load)
