"""Background tasks of this app. Each processes the rows that are due, or one row."""

from __future__ import annotations

from rewards import bulk_retry, cancellation, limits
from rewards.activation import activate as activating
from rewards.activation import in_doubt
from rewards.collection import collect as collecting


def collect() -> None:
    collecting.collect()


def activate() -> None:
    activating.activate()


def activate_one(*, pk: int) -> None:
    activating.activate_one(pk)


def follow_cancellations() -> None:
    cancellation.follow()


def follow_clearances() -> None:
    limits.release_admitted()


def settle() -> None:
    in_doubt.settle()


def retry_many() -> None:
    bulk_retry.follow()
