"""
The operator's platform, which credits rewards.

The ledger keeps every credit. So it shows whether the portal activated a reward twice.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from promoportal.sandbox.journal import Keep, forget
from promoportal.sandbox.messages import (
    Answer,
    Request,
    Unreadable,
    identity,
    is_same,
    reply,
)

_VALUE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_MAX_KEY_LENGTH = 255


class Capability(StrEnum):
    """The ways in which a client can resolve a request whose response was lost."""

    IDEMPOTENT = "idempotent"  # a key is credited once; it can be looked up
    KEYED = "keyed"  # a key is credited once; it cannot be looked up
    ASKABLE = "askable"  # every request is credited; a key can be looked up
    NEITHER = "neither"  # every request is credited; a key cannot be looked up

    @property
    def honours_keys(self) -> bool:
        return self in {Capability.IDEMPOTENT, Capability.KEYED}

    @property
    def can_be_asked(self) -> bool:
        return self in {Capability.IDEMPOTENT, Capability.ASKABLE}


class Credit(NamedTuple):
    """One credit of a reward."""

    reference: str
    key: str
    occurrence: str
    promotion: str
    customer: str
    category: str
    type: str
    value: Decimal
    measure: str  # the currency, or the unit
    unique_code: str
    at: float
    body: bytes  # a digest of the request's body


_NO_REWARD = ("Code", "UniqueCode", Decimal(1), "codes")


@dataclass
class Ledger:
    """Every credit, with running totals."""

    credits: list[Credit] = field(default_factory=list)
    # Number of credits by (occurrence, promotion, customer), if it is more than one.
    doubled: dict[tuple[str, str, str], int] = field(default_factory=dict)
    rewarded: int = 0
    _counts: defaultdict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    # Total values by type and currency or unit.
    sums: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def add(self, credit: Credit) -> None:
        self.credits.append(credit)
        measured = credit.type, credit.measure
        self.sums[measured] = self.sums.get(measured, Decimal(0)) + credit.value
        campaign, customer = (credit.occurrence, credit.promotion), credit.customer
        counts = self._counts[campaign]
        counts[customer] += 1
        if counts[customer] == 1:
            self.rewarded += 1
        else:
            self.doubled[*campaign, customer] = counts[customer]

    def count(self, occurrence: str, promotion: str, customer: str) -> int:
        counts = self._counts.get((occurrence, promotion))
        return counts[customer] if counts else 0

    @property
    def most(self) -> int:
        """The highest number of credits for one assignment, or 0 without credits."""
        return max(self.doubled.values(), default=1 if self.credits else 0)


@dataclass
class Platform:
    """The platform's API `/platform/rewards`, which requires a bearer token."""

    token: str
    capability: Capability = Capability.IDEMPOTENT
    ledger: Ledger = field(default_factory=Ledger)
    refused: Counter[str] = field(default_factory=Counter)  # by sentence
    keep: Keep = forget
    _by_key: dict[str, Credit] = field(default_factory=dict)

    def gate(self, request: Request) -> Answer | None:
        """Return a 401 if the request does not have the right token, or None."""
        if is_same(request.header("Authorization"), f"Bearer {self.token}"):
            return None
        return reply({"error": "The bearer token is wrong."}, 401)

    def answer(self, request: Request) -> Answer:
        resource, _, key = request.path.partition("/")
        if resource != "rewards":
            return reply({"error": "There is nothing here."}, 404)
        expected = "GET" if key else "POST"
        if request.method != expected:
            return reply({"error": f"Only {expected} is answered here."}, 405)
        return self._look_up(key) if key else self._credit_or_refuse(request)

    def forget_keys(self) -> None:
        """Forget all keys, as a platform may do after a day; the credits stay."""
        self._by_key.clear()

    def _look_up(self, key: str) -> Answer:
        credit = self._by_key.get(key) if self.capability.can_be_asked else None
        if credit is None:
            return reply({"error": "There is no such reward."}, 404)
        return reply({"reference": credit.reference})

    def _credit_or_refuse(self, request: Request) -> Answer:
        try:
            return self._credit(request)
        except (Unreadable, RecursionError) as error:
            self.refused[str(error)] += 1
            return reply({"error": str(error)}, 400)

    def _credit(self, request: Request) -> Answer:
        reference = f"R{len(self.ledger.credits) + 1:08d}"
        credit = _credit(reference, _key(request), request.fields(number=Decimal))
        earlier = self._by_key.get(credit.key) if self.capability.honours_keys else None
        if earlier:
            return self._again(earlier, credit)
        exact = {"value": str(credit.value), "body": credit.body.hex()}
        self.keep("credited", credit._asdict() | exact)
        self.record(credit)
        return reply({"reference": reference}, 201)

    def _again(self, earlier: Credit, credit: Credit) -> Answer:
        if earlier.body != credit.body:
            sentence = "The key was used before, with another body."
            self.refused[sentence] += 1
            return reply({"error": sentence}, 422)
        return reply({"reference": earlier.reference})

    def record(self, credit: Credit) -> None:
        """Add a credit to the ledger, and remember its key."""
        self.ledger.add(credit)
        self._by_key.setdefault(credit.key, credit)


def _key(request: Request) -> str:
    key = request.header("Idempotency-Key")
    if not key or len(key) > _MAX_KEY_LENGTH:
        raise Unreadable(
            f"Idempotency-Key must be given, with at most {_MAX_KEY_LENGTH} characters."
        )
    return key


def _credit(reference: str, key: str, body: Mapping[str, object]) -> Credit:
    code = body.get("uniqueCode")
    if code is not None and not isinstance(code, str):
        raise Unreadable("uniqueCode must be a string or null.")
    return Credit(
        reference,
        key,
        _id(body, "occurrenceId"),
        _id(body, "promotionId"),
        _id(body, "customerId"),
        *_reward(body.get("reward"), code or ""),
        unique_code=code or "",
        at=time.time(),
        body=_digest(body),
    )


def _id(body: Mapping[str, object], name: str) -> str:
    value = identity(body.get(name))
    if value is None:
        raise Unreadable(f"{name} must be a string or a number.")
    return sys.intern(value)  # saves memory: many credits have the same ID


def _reward(reward: object, code: str) -> tuple[str, str, Decimal, str]:
    if reward is None and code:
        return _NO_REWARD
    if not isinstance(reward, dict):
        msg = "reward must be an object, or null where there is a uniqueCode."
        raise Unreadable(msg)
    category = _word(reward, "category")
    if category not in {"Amount", "Units"}:
        raise Unreadable("reward.category must be Amount or Units.")
    measure = "currency" if category == "Amount" else "unit"
    type_ = _word(reward, "type")
    return category, type_, _value(reward.get("value")), _word(reward, measure)


def _word(reward: Mapping[str, object], name: str) -> str:
    value = reward.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"reward.{name} must be a string that is not empty.")
    return sys.intern(value)


def _value(value: object) -> Decimal:
    if isinstance(value, bool) or not _VALUE.fullmatch(str(value)):
        raise Unreadable("reward.value must be a plain number, not below zero.")
    number = Decimal(str(value))
    if not number:
        raise Unreadable("reward.value must be more than zero.")
    return number


def _digest(body: Mapping[str, object]) -> bytes:
    """Return a digest that ignores the spacing and the order of fields in a body."""
    text = json.dumps(body, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
