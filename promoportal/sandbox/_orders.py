"""What can be ordered from the vendor's side, each checked with a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from promoportal.sandbox._catalogue import chosen
from promoportal.sandbox._customers import IDS, Ids
from promoportal.sandbox._notices import CASINGS, Casing
from promoportal.sandbox._outcomes import UNLUCKY, Mix, Promotion

MOST_CUSTOMERS = 5_000_000


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What every execution has."""

    promotions: Sequence[str | Promotion] = ("promo-17",)
    eligible: float = 0.8
    statuses: Mapping[str, float] = field(default_factory=lambda: dict(UNLUCKY))
    channels: Sequence[int] = (505,)
    ids: Ids = "strings"
    seed: int | None = None
    series: str | int | None = None
    announce: bool = True

    def __post_init__(self) -> None:
        """:raises ValueError: with a sentence, if it makes no sense"""
        chosen(self.promotions)
        _demand(0 <= self.eligible <= 1, "eligible must be from 0 to 1")
        _demand(_are_weights(self.statuses), "statuses must be names with weights")
        _demand(_are_whole(self.channels), "channels must be a list of numbers")
        _demand(self.ids in IDS, f"ids must be one of {', '.join(IDS)}")

    @property
    def offers(self) -> tuple[Promotion, ...]:
        return chosen(self.promotions)

    @property
    def mix(self) -> Mix:
        return Mix(self.eligible, self.statuses)


@dataclass(frozen=True, kw_only=True)
class Launch(_Order):
    """Execute a scheduled campaign over generated customers, one row for each promotion."""

    customers: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        inside = _are_whole([self.customers]) and self.customers <= MOST_CUSTOMERS
        _demand(inside, f"customers must be a number up to {MOST_CUSTOMERS}")


@dataclass(frozen=True, kw_only=True)
class Trigger(_Order):
    """Let customers, so many or these, meet the criteria of a real-time campaign."""

    customers: int | Sequence[str | int] = 1
    occurrence: str | int | None = None  # None: a fresh one
    eligible: float = 1.0
    casing: Casing = "alternate"
    listed_after: float = 0.0  # how long the list lags behind the notice, in seconds

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = _are_whole([self.customers])
        few = whole or (_is_list(self.customers) and _are_ids(self.customers))
        _demand(few, "customers must be a number or a list of ids")
        _demand(self.casing in CASINGS, f"casing must be one of {', '.join(CASINGS)}")
        _demand(self.listed_after >= 0, "listed_after must not be below zero")


def _demand(fine: bool, sentence: str) -> None:
    if not fine:
        msg = f"{sentence}."
        raise ValueError(msg)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _are_ids(values: object) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(value, str | int) and not isinstance(value, bool) for value in values
    )


def _are_whole(values: object) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(value, int) and not isinstance(value, bool) and value >= 0
        for value in values
    )


def _are_weights(values: object) -> bool:
    return (
        isinstance(values, Mapping)
        and bool(values)
        and all(isinstance(name, str) for name in values)
        and all(isinstance(weight, int | float) for weight in values.values())
    )
