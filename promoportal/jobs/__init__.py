"""
The portal's interface to django-q2.

The rows contain the state; a job only starts the work on them. A job names a function
by its dotted path, and has at most one argument: the key of one row. The job is queued
in the transaction that changes the row, so both are saved, or neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, get_args

from django.db import connection
from django.db.models.functions import Now
from django_q.models import OrmQ
from django_q.tasks import async_task

Queue = Literal["portal", "collect", "bulk"]
QUEUES: tuple[Queue, ...] = get_args(Queue)


class Task(Protocol):
    """A function that the queue can run, and that takes the key of one row."""

    __module__: str
    __qualname__: str

    def __call__(self, *, pk: int) -> None: ...


# A function that the queue can run, and that processes all due rows.
Sweep = Callable[[], None]


class NotInTransaction(Exception):
    """A job was queued outside a transaction, so it could be saved without its row."""


def enqueue(task: Task, *, pk: int, queue: Queue) -> None:
    """
    Queue one run of `task`, which starts after the current transaction commits.

    :raises NotInTransaction: outside `transaction.atomic()`
    """
    _queue(task, queue, pk=pk)


def enqueue_sweep(task: Sweep, *, queue: Queue) -> None:
    """
    Queue one run of a task that processes all due rows.

    :raises NotInTransaction: outside `transaction.atomic()`
    """
    _queue(task, queue)


def waiting(queue: Queue) -> int:
    """Return the number of jobs in the queue that are ready for a worker."""
    ready = OrmQ.objects.filter(key=queue, lock__lte=Now())
    return int(ready.count())


def _queue(task: Task | Sweep, queue: Queue, **arguments: int) -> None:
    if not connection.in_atomic_block:
        raise NotInTransaction(f"{task.__qualname__} must be queued in a transaction.")
    async_task(f"{task.__module__}.{task.__qualname__}", cluster=queue, **arguments)
