"""What the queue can run of this room. Every job is a wake-up: the rows say what to do."""

from __future__ import annotations

from rewards import activating, cancelling, collecting, limits, retrying, settling


def collect() -> None:
    collecting.collect()


def activate() -> None:
    activating.activate()


def activate_one(*, pk: int) -> None:
    activating.activate_one(pk)


def follow_cancellations() -> None:
    cancelling.follow()


def follow_clearances() -> None:
    limits.follow()


def settle() -> None:
    settling.settle()


def retry_many() -> None:
    retrying.follow()
