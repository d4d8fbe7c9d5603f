"""
Generated customers, with attributes that a games operator and a shop would have.

The values of one customer are consistent: an active customer deposits more and has a
higher tier. All amounts are in EUR, also if the customer plays in another currency.
"""

from __future__ import annotations

import random
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from math import exp
from statistics import NormalDist
from typing import NamedTuple, TypeVar

from promoportal.sandbox.engine import Value
from promoportal.sandbox.scenarios.compact_columns import MISSING, Computed, money
from promoportal.sandbox.scenarios.population import Customers

_T = TypeVar("_T")

# The day of all values. It is fixed, so that every run generates the same customers.
LOOKED_AT = date(2025, 12, 31)
_OLDEST = 3_000  # days since the first customer registered
_AT_A_TIME = 1_000
_FINE = 10_000

# Percentages of the customers.
_HOMES = [  # country, currency, language
    ("DE", "EUR", "de", 26),
    ("GB", "GBP", "en", 20),
    ("FI", "EUR", "fi", 11),
    ("SE", "SEK", "sv", 9),
    ("CA", "CAD", "en", 8),
    ("NO", "NOK", "no", 7),
    ("AT", "EUR", "de", 7),
    ("IE", "EUR", "en", 5),
    ("NL", "EUR", "nl", 5),
    ("CA", "CAD", "fr", 2),
]
_PRODUCTS = {"Slots": 46, "Sportsbook": 27, "Live casino": 14, "Bingo": 7, "Poker": 6}
_CATEGORIES = {"Fashion": 34, "Home": 22, "Electronics": 18, "Beauty": 16, "Sports": 10}
# The lowest score of a tier.
_TIERS = [
    (400_00, "Silver"),
    (2_500_00, "Gold"),
    (15_000_00, "Platinum"),
]


class Row(NamedTuple):
    """One generated customer. Amounts of money are in cents."""

    country: str
    currency: str
    language: str
    registered: date
    birth_month: int
    vip_tier: str
    deposits: int
    lifetime_deposits: int
    last_deposit: int
    days_since_last_bet: int | None
    balance: int
    favourite_product: str
    orders: int
    lifetime_orders: int
    last_order: int
    days_since_last_order: int | None
    favourite_category: str
    email_consent: bool
    sms_consent: bool


_MONEY = {
    "lifetime_deposits",
    "last_deposit",
    "balance",
    "lifetime_orders",
    "last_order",
}


def generated(count: int, seed: int) -> Customers:
    """Return the first `count` customers of a seed."""
    columns: list[list[Value] | array[int]] = [
        array("q") if name in _MONEY else [] for name in Row._fields
    ]
    draw = _Draw(seed)
    for begun in range(0, count, _AT_A_TIME):
        rows = [draw.row() for _ in range(min(_AT_A_TIME, count - begun))]
        for column, values in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(values)
    named: dict[str, Sequence[Value]] = {
        "email": Computed(count, lambda position: f"c{position + 1:07}@example.com")
    }
    for name, column in zip(Row._fields, columns, strict=True):
        named[name] = money(column) if isinstance(column, array) else column
    ids = Computed(count, lambda position: f"C{position + 1:07}")
    return Customers(ids, named, _numbered(count))


def _numbered(count: int) -> Callable[[str], int | None]:
    def find(customer: str) -> int | None:
        if not re.fullmatch(r"C\d{7,}", customer, re.ASCII):
            return None
        number = int(customer[1:])
        is_one = 1 <= number <= count and customer == f"C{number:07}"
        return number - 1 if is_one else None

    return find


class _Draw:
    """A generator of customers from one seed."""

    def __init__(self, seed: int) -> None:
        # As text: the integers -1 and 1 would seed the same customers.
        chance = random.Random(f"customers:{seed}")  # noqa: S311 - to be repeatable
        self._chance = chance.random
        self._bell = [NormalDist().inv_cdf((n + 0.5) / _FINE) for n in range(_FINE)]
        self._homes = _table((home, home[-1]) for home in _HOMES)
        self._products = _table(_PRODUCTS.items())
        self._categories = _table(_CATEGORIES.items())
        # One object for each day, which all customers of that registration day share.
        self._days = [LOOKED_AT - timedelta(days=ago) for ago in range(_OLDEST)]

    def _normal(self, spread: float = 1) -> float:
        # Several times as fast as `random.gauss`. It is called often per customer.
        return spread * self._bell[int(_FINE * self._chance())]

    def row(self) -> Row:
        chance, normal = self._chance, self._normal
        country, currency, language, _ = self._homes[int(100 * chance())]
        age = int(_OLDEST * chance() ** 1.6)  # more customers are new than old
        # Most other values depend on the customer's activity.
        activity = normal()
        deposits, lifetime, last = self._paid(
            activity, age, often=1.7, much=3.55, never=1
        )
        shop_activity = 0.3 * activity + normal(0.95)
        orders, ordered, ordered_last = self._paid(
            shop_activity, age, often=0.9, much=3.7, never=0.4
        )
        return Row(
            country,
            currency,
            language,
            self._days[age],
            1 + int(12 * chance()),
            self._tier(lifetime),
            deposits,
            lifetime,
            last,
            self._seen(activity, age) if deposits else None,
            int(lifetime * chance() ** 6 * 0.2) if deposits else 0,
            self._products[int(100 * chance())],
            orders,
            ordered,
            ordered_last,
            self._seen(shop_activity, age) if orders else None,
            self._categories[int(100 * chance())],
            chance() < 0.72,
            chance() < 0.38,
        )

    def _paid(
        self, activity: float, age: int, *, often: float, much: float, never: float
    ) -> tuple[int, int, int]:
        """Return the number of payments, their total and the last one, in cents."""
        normal = self._normal
        times = int(exp(often + 1.1 * activity) * (age / 500 + 0.2) ** 0.6 + never / 2)
        if activity < -never:
            times = 0
        if not times:
            return 0, 0, MISSING
        usual = exp(much + 0.55 * activity + normal(0.6))
        last = max(500, int(100 * usual * exp(normal(0.5))))
        rest = int(100 * usual * (times - 1) * exp(normal(0.15)))
        return times, last + rest, last

    def _seen(self, activity: float, age: int) -> int:
        """Return the days since the last activity, at most the account's `age`."""
        return min(age, int(exp(3.3 - 0.9 * activity + self._normal(1.1))))

    def _tier(self, lifetime: int) -> str:
        # Because of the random factor, the total alone does not decide the tier.
        score = lifetime * (0.7 + 0.6 * self._chance())
        return next((name for least, name in _TIERS[::-1] if score >= least), "Bronze")


def _table(weighted: Iterable[tuple[_T, int]]) -> list[_T]:
    """Return a list in which each value occurs as often as its weight."""
    return [value for value, weight in weighted for _ in range(weight)]
