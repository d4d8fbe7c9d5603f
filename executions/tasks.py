"""What the queue can run of this room."""

from __future__ import annotations

from executions import reading


def read_delivery(*, pk: int) -> None:
    reading.read(pk)
