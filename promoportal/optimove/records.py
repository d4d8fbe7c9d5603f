"""Records of Optimove's APIs; assignments are validated once, when they are read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import partial
from typing import TypeVar
from uuid import UUID

from promoportal import wire
from promoportal.optimove.contract import Assignments, Meaning, current
from promoportal.optimove.contract_reader import Place
from promoportal.wire import Json

MAX_LENGTH = 200
_TOO_MUCH = Decimal(10) ** 14  # numeric(20, 6) holds no more
_FINEST = Decimal("0.000001")
_PLAIN = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of an assignment. `value_text` contains the digits as received."""

    category: str
    type: str
    value: Decimal
    value_text: str
    currency: str | None
    unit: str | None
    tier: str | None
    tier_name: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """
    One assignment as Optimove lists it.

    A row with a `problem` must not be processed. The fields that could be read are set,
    so that staff can see them. Its `reference` still differs from those of other rows.
    """

    reference: str
    customer: str
    promotion: str
    promotion_code: str | None
    status: str
    meaning: Meaning
    reward: Reward | None
    unique_code: str | None
    properties: dict[str, Json]
    assigned_at: datetime | None
    raw: dict[str, Json]
    problem: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some of an execution's assignments, and the cursor of the next page."""

    occurrence: str
    series: str | None
    rows: tuple[Row, ...]
    next_cursor: str | None
    total: int | None


@dataclass(frozen=True, slots=True)
class Redemption:
    """The report to Optimove that one reward was activated."""

    occurrence: str
    promotion: str
    customer: str
    assignment: str
    redeemed_at: datetime
    reference: UUID


class Wrong(ValueError):
    """An error: a value breaks the contract. The message is a sentence."""


def find(data: Json, place: Place) -> Json:
    """
    Return the value at a place; None if the value is absent.

    :raises Wrong: if a value on the path is not an object
    """
    if not place:
        return None
    for depth, step in enumerate(place):
        if data is None:
            return None
        if not isinstance(data, dict):
            raise Wrong(f"{'.'.join(place[:depth]) or 'It'} is not an object.")
        data = data.get(step)
    return data


def malformed(answer: wire.Answer, why: object) -> wire.Malformed:
    """Create the error for a response that breaks the contract."""
    problem = f"Optimove's answer breaks the contract. {why}"
    return wire.Malformed(problem, answer.evidence)


@contextmanager
def reading(answer: wire.Answer) -> Iterator[None]:
    """Raise `wire.Malformed` about this response if the `with` block raises `Wrong`."""
    try:
        yield
    except Wrong as wrong:
        raise malformed(answer, wrong) from None


def identity(data: Json, name: str) -> str:
    """
    Return an ID as text. Optimove may send it as text or as a whole number.

    :raises Wrong: if the ID is missing, blank, or of another type
    """
    text = optional_text(data, name)
    if text is None or not text.strip():
        raise Wrong(f"{name} is missing.")
    return text


def optional_text(data: Json, name: str) -> str | None:
    """
    Return a text, which Optimove may send as a whole number; None if it is absent.

    :raises Wrong: if the value is of another type, too long or unreadable
    """
    if data is None:
        return None
    if isinstance(data, int) and not isinstance(data, bool):
        data = str(data)
    if not isinstance(data, str):
        raise Wrong(f"{name} is neither text nor a whole number.")
    if len(data) > MAX_LENGTH:
        raise Wrong(f"{name} is longer than {MAX_LENGTH} characters.")
    text = wire.clean_text(data)
    if "\ufffd" in text:
        # A stored row that is read again has U+FFFD instead of unreadable characters.
        raise Wrong(f"{name} has characters that can't be read.")
    return text


def read_row(data: Json, contract: Assignments, zone: tzinfo) -> Row:
    """Return one row. Mistakes raise no error: the row's `problem` contains them."""
    cleaned = wire.clean(data)
    value = cleaned.value
    raw: dict[str, Json] = value if isinstance(value, dict) else {"row": value}
    reading = _RowReading(data, contract)
    if cleaned.changed:
        reading.problems.append("It has characters that can't be stored.")
    return reading.row(raw, zone)


def reread(raw: dict[str, Json]) -> Row:
    """Read a stored row again, by the current contract."""
    contract = current()
    # Parsed again for exact numbers: Django reads the database's JSON with floats.
    data = wire.parse(json.dumps(raw).encode())
    return read_row(data, contract.assignments, contract.vendor.time_zone)


@dataclass
class _RowReading:
    """One reading of a row, and the problems found in it."""

    said: Json
    contract: Assignments
    problems: list[str] = field(default_factory=list)

    def row(self, raw: dict[str, Json], zone: tzinfo) -> Row:
        places = self.contract.row
        customer = self._get(identity, places.customer) or ""
        promotion = self._get(identity, places.promotion) or ""
        status = self._get(identity, places.status) or ""
        meaning = self.contract.statuses.get(status, Meaning.UNKNOWN)
        unique_code = self._get(optional_text, places.unique_code) or None
        return Row(
            reference=self._reference(customer, promotion, raw),
            customer=customer,
            promotion=promotion,
            promotion_code=self._get(optional_text, places.promotion_code) or None,
            status=status,
            meaning=meaning,
            reward=self._reward(meaning, unique_code),
            unique_code=unique_code,
            properties=self._get(_object, places.properties) or {},
            assigned_at=self._get(partial(_time, zone), places.assigned_at),
            raw=raw,
            problem=" ".join(dict.fromkeys(self.problems)),
        )

    def _get(self, read: Callable[[Json, str], _T], place: Place) -> _T | None:
        if not place and read is not identity:
            return None
        try:
            return read(find(self.said, place), ".".join(place))
        except Wrong as wrong:
            self.problems.append(str(wrong))
            return None

    def _reference(self, customer: str, promotion: str, raw: dict[str, Json]) -> str:
        if place := self.contract.row.reference:
            own = self._get(identity, place)
        else:
            own = _digest([customer, promotion]) if customer and promotion else None
        return own or stand_in(raw)

    def _reward(self, meaning: Meaning, unique_code: str | None) -> Reward | None:
        if meaning is not Meaning.ACTIVATE:
            # The reward will not be activated, so its mistakes do not matter.
            return None
        try:
            reward = _read_reward(self.said, self.contract)
        except Wrong as wrong:
            self.problems.append(str(wrong))
            return None
        if reward is None and unique_code is None:
            self.problems.append("There is neither a reward nor a code to give.")
        return reward


def _read_reward(data: Json, contract: Assignments) -> Reward | None:
    at = contract.row
    places = (at.category, at.type, at.value, at.currency, at.unit, at.tier)
    if all(find(data, place) is None for place in (*places, at.tier_name)):
        return None

    def text(place: Place) -> str | None:
        return optional_text(find(data, place), ".".join(place)) or None

    category = identity(find(data, at.category), ".".join(at.category))
    value, value_text = _number(find(data, at.value), ".".join(at.value))
    reward = Reward(
        category=category,
        type=text(at.type) or "",
        value=value,
        value_text=value_text,
        currency=text(at.currency),
        unit=text(at.unit),
        tier=text(at.tier),
        tier_name=text(at.tier_name),
    )
    _check_complete(reward, contract)
    return reward


def _check_complete(reward: Reward, contract: Assignments) -> None:
    need = contract.categories.get(reward.category)
    if need is None:
        raise Wrong(f'The contract has no category "{reward.category}".')
    if need != "nothing" and getattr(reward, need) is None:
        raise Wrong(f'A reward of category "{reward.category}" has no {need}.')


def _number(data: Json, name: str) -> tuple[Decimal, str]:
    number, text = _digits(data, name)
    if number.is_signed() or number >= _TOO_MUCH or len(text) > 40:
        raise Wrong(f"{name} is not between 0 and {_TOO_MUCH:,}.")
    if number.quantize(_FINEST) != number:
        raise Wrong(f"{name} has more than six decimals.")
    return number, text


def _digits(data: Json, name: str) -> tuple[Decimal, str]:
    if isinstance(data, str) and _PLAIN.fullmatch(data):
        return Decimal(data), data
    if isinstance(data, int | Decimal) and not isinstance(data, bool):
        number = Decimal(data)
        return number, f"{number:f}"
    raise Wrong(f"{name} is {'missing' if data is None else 'not a plain number'}.")


def _object(data: Json, name: str) -> dict[str, Json]:
    value = wire.clean(data).value
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Wrong(f"{name} is not an object.")
    return value


def _time(zone: tzinfo, data: Json, name: str) -> datetime | None:
    if data is None:
        return None
    try:
        at = datetime.fromisoformat(data) if isinstance(data, str) else None
    except ValueError:
        at = None
    if at is None or not 2000 <= at.year < 2100:
        raise Wrong(f"{name} is not a time.")
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)


def same_but_for_id(one: dict[str, Json], other: dict[str, Json]) -> bool:
    """Return whether two rows are equal if the contract's assignment ID is left out."""
    place = current().assignments.row.reference
    return _without(one, place) == _without(other, place)


def _without(data: Json, place: Place) -> Json:
    """Return a copy of an object without the value at the place."""
    if not place or not isinstance(data, dict):
        return data
    first, *rest = place
    kept = {name: value for name, value in data.items() if name != first}
    if rest and first in data:
        kept[first] = _without(data[first], tuple(rest))
    return kept


def stand_in(raw: dict[str, Json]) -> str:
    """Return the reference of a row whose assignment ID cannot be read."""
    return f"unreadable-{_digest(raw)}"


def _digest(value: Json) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
